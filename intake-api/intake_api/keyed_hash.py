"""Hashes with a key: they tell clients and addresses apart and show neither to whoever reads a table."""

import hashlib

from intake_api.settings import IntakeSettings

_PURPOSE = b"intake-api public form"


def form_key(settings: IntakeSettings) -> bytes:
    """The key of form tokens and of hashes: the form's own secret, else one made from the tokens' secret.

    A new secret starts all counters anew, puts open forms into quarantine and ends all receipt links; no lead is lost.
    """
    own = settings.form_secret.get_secret_value() or settings.auth_secret.get_secret_value()
    return hashlib.blake2b(_PURPOSE, key=hashlib.sha512(own.encode()).digest(), digest_size=32).digest()


def keyed_hash(key: bytes, kind: str, value: str) -> str:
    """Hash ``value`` so that the same value of two kinds differs."""
    text = f"{kind}\0{value}".encode(errors="replace")
    return hashlib.blake2b(text, key=key, digest_size=16).hexdigest()
