"""Mails each prospect once, and says so."""
