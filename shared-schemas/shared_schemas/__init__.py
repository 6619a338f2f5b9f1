"""Event contracts and topology names: what the services say to each other, and where."""
