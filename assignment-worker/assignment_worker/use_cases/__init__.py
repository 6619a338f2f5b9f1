"""What the assignment-worker can do: one verb per module, each in one transaction that the caller opens."""
