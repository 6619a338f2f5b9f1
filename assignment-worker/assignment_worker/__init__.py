"""The assignment-worker: picks the least busy attorney for each lead, and says who or why nobody."""
