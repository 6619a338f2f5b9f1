"""Breaks the product on purpose and sees the named test go red: the proof that the tests test."""
