"""S37, S38: how passwords are kept, and which are refused."""

import asyncio
import unicodedata

import pytest
from argon2 import extract_parameters
from intake_api.exceptions import InvalidFieldsError, TooManyLoginsError
from intake_api.passwords import MOST_WAITING, SHORTEST, Passwords, check_new_password
from intake_api.settings import IntakeSettings
from pydantic import ValidationError
from zxcvbn.frequency_lists import FREQUENCY_LISTS

EMAIL = "ada.marlowe@firm.test"


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(19_456, 2, 2)


async def test_s37_hashes_are_argon2id_of_the_least_cost_or_more(passwords: Passwords) -> None:
    hashed = await passwords.hash("seven lamps by the canal")
    assert hashed.startswith("$argon2id$")
    found = extract_parameters(hashed)
    assert (found.memory_cost >= 19 * 1024, found.time_cost >= 2, found.parallelism) == (True, True, 1)
    assert await passwords.verify(hashed, "seven lamps by the canal")
    assert not await passwords.verify(hashed, "seven lamps by the canal.")
    assert not passwords.is_outdated(hashed)
    assert Passwords(32_768, 3, 2).is_outdated(hashed)


@pytest.mark.parametrize("weaker", [{"auth_hash_memory_kib": 8192}, {"auth_hash_passes": 1}])
def test_s37_settings_cannot_ask_for_less(weaker: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        IntakeSettings.model_validate(
            {"environment": "test", "database_url": "x", "amqp_url": "x", "auth_secret": "x", **weaker}
        )


async def test_s37_hashing_is_bounded_and_so_is_the_queue_for_it(passwords: Passwords) -> None:
    inside, most, refused = 0, 0, 0

    async def one() -> None:
        nonlocal inside, most, refused
        try:
            async with passwords.place():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1
        except TooManyLoginsError:
            refused += 1

    await asyncio.gather(*(one() for _ in range(MOST_WAITING + 10)))
    assert most == 2
    assert refused == 8


async def test_s40_nobodys_password_costs_what_somebodys_does(passwords: Passwords) -> None:
    somebodys = await passwords.hash("seven lamps by the canal")
    assert extract_parameters(passwords._nobodys) == extract_parameters(somebodys)
    assert not await passwords.verify(None, "no account has this password")


async def refused(password: str) -> str:
    with pytest.raises(InvalidFieldsError) as caught:
        await check_new_password(password, EMAIL)
    [error] = caught.value.errors
    assert error.field == "password"
    return error.detail


@pytest.mark.parametrize(
    "password",
    [
        "seven lamps by the canal",
        "lamp canal x",
        "vorhang" * 3 + "tuch und stuhl",
        "gänse über dem fluss",
        "一二三四 五六七八 九十百千",
        "q" + "zr mond tinte laub feder " * 30,
    ],
)
async def test_s38_any_characters_and_any_length_are_taken(password: str) -> None:
    await check_new_password(password, EMAIL)


async def test_s38_short_and_common_ones_are_refused() -> None:
    assert SHORTEST >= 8
    assert "characters" in await refused("k7#Qz!pL2x")
    common = FREQUENCY_LISTS["passwords"][:3000]
    assert len(common) == 3000
    for password in common:
        await refused(password)
    long_enough = [one for one in FREQUENCY_LISTS["passwords"] if len(one) >= SHORTEST]
    assert long_enough
    for password in long_enough:
        assert "too easy" in await refused(password)


@pytest.mark.parametrize("password", ["passwordpassword", "aaaaaaaaaaaaaaaa", "Password1234", "qwertyuiopasdf", EMAIL])
async def test_s38_patterns_and_the_address_are_refused(password: str) -> None:
    assert "too easy" in await refused(password)


async def test_s38_nothing_is_cut_off(passwords: Passwords) -> None:
    long = "k" * 72 + "the end that counts"
    hashed = await passwords.hash(long)
    assert not await passwords.verify(hashed, long[:72])
    assert not await passwords.verify(hashed, long[:-1])
    assert await passwords.verify(hashed, long)


async def test_s38_another_keyboards_spelling_is_the_same_password(passwords: Passwords) -> None:
    typed = "gänse über dem fluss"
    hashed = await passwords.hash(unicodedata.normalize("NFD", typed))
    assert await passwords.verify(hashed, unicodedata.normalize("NFC", typed))
