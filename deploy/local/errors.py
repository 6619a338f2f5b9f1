"""The one error that ends a command: a sentence for the person at the keyboard."""


class StackError(Exception):
    """Says in one line what is wrong and what to do; commands print it and exit 1."""
