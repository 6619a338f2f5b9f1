"""What the mailer can do, one verb per module, each in the transaction of whoever calls it."""
