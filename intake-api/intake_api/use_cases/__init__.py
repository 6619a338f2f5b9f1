"""What intake-api can do: one module per verb, one transaction each."""
