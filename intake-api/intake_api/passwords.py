"""Passwords: how they are hashed, and which are too easy to guess (NIST SP 800-63B-4 s. 3.1.1, OWASP ASVS 6.2)."""

import asyncio
import functools
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from intake_api.exceptions import FieldError, InvalidFieldsError, TooManyLoginsError
from intake_api.settings import IntakeSettings

SHORTEST = 12
LONGEST = 1024
MOST_WAITING = 50
"""Logins that wait for a place at most; one takes about 30 ms."""
LEAST_GUESSES = 10**8
"""Guesses that an attacker who knows lists, keyboards, dates and the account's address needs (zxcvbn's 3)."""
_ESTIMATED = 72
"""Characters that the estimate looks at, because its time grows fast; the hash is of the whole password."""


class Passwords:
    """argon2id (RFC 9106) with the given cost, a few at once: memory is bounded however many log in."""

    def __init__(self, memory_kib: int, passes: int, at_once: int) -> None:
        self._hasher = _hasher(memory_kib, passes)
        self._nobodys = _nobodys_hash(memory_kib, passes)
        self._places = asyncio.Semaphore(at_once)
        self._waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place to hash in, which `verify` expects its caller to hold. Raises TooManyLoginsError."""
        if self._waiting >= MOST_WAITING:
            raise TooManyLoginsError(1)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the hashed one. Without a hash the answer is no, and costs the same."""
        matches = await asyncio.to_thread(self._matches, password_hash or self._nobodys, password)
        return matches and password_hash is not None

    async def hash(self, password: str) -> str:
        """Hash a new password."""
        async with self.place():
            return await asyncio.to_thread(self._hasher.hash, _normalized(password))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _normalized(password))
        except (VerificationError, InvalidHashError):
            return False


def _hasher(memory_kib: int, passes: int) -> PasswordHasher:
    return PasswordHasher(memory_cost=memory_kib, time_cost=passes, parallelism=1)


@functools.cache
def _nobodys_hash(memory_kib: int, passes: int) -> str:
    """What an unknown account's password is held against: a hash of the same cost as everybody's."""
    return _hasher(memory_kib, passes).hash("no account has this password")


async def check_new_password(password: str, email: str, field: str = "password") -> None:
    """Refuse what is too short, too long, or too easy. No rule says which characters. Raises InvalidFieldsError."""
    problem = None
    if len(password) < SHORTEST:
        problem = f"needs {SHORTEST} characters or more: a few unrelated words will do"
    elif len(password) > LONGEST:
        problem = f"may have {LONGEST} characters"
    elif await asyncio.to_thread(_is_easy, password, email):
        problem = "is too easy to guess (common, a pattern, or like your address): take a few unrelated words"
    if problem:
        raise InvalidFieldsError([FieldError(field, problem)])


def _is_easy(password: str, email: str) -> bool:
    name, _, domain = email.lower().partition("@")
    known = [email.lower(), name, domain, *name.replace("_", ".").split("."), *domain.split(".")]
    estimate = zxcvbn(_normalized(password)[:_ESTIMATED], user_inputs=[word for word in known if word])
    return bool(estimate["guesses"] < LEAST_GUESSES)


def _normalized(password: str) -> str:
    """The same password typed on another keyboard is the same bytes (RFC 8265 s. 4.2.2)."""
    return unicodedata.normalize("NFC", password)


def make_passwords(settings: IntakeSettings) -> Passwords:
    """Hashing as the settings ask."""
    return Passwords(settings.auth_hash_memory_kib, settings.auth_hash_passes, settings.auth_hashes_at_once)
