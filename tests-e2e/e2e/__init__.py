"""What the end-to-end tests stand on: stacks, clients, mail readers, and the checker."""
