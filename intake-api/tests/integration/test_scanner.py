"""The malware scanner (S07): its verdict is kept, and its silence is no verdict."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest
from intake_api.scanner import Verdict, make_scanner
from intake_api.use_cases.scan_quarantined import scan_quarantined

from deploy.local.testing import MigratedDatabase

from ..clamd_stub import EICAR, ClamdStub, clamd
from ..documents import PDF, lead_json
from .accounts import make_account
from .conftest import Intake, running

LEADS = "/api/v1/leads"
ACTIVE = PDF.replace(b"/Type/Catalog", b"/Type/Catalog/OpenAction<</S/JavaScript>>")
Scanned = tuple[Intake, ClamdStub]


@pytest.fixture
async def scanned(migrated_database: MigratedDatabase, tmp_path: Path) -> AsyncIterator[Scanned]:
    addresses = migrated_database("intake_api")
    async with clamd() as (stub, url), running(addresses, tmp_path / "objects", scanner_url=url) as intake:
        yield intake, stub


async def submit(intake: Intake, content: bytes) -> httpx.Response:
    answer = await intake.client.post(LEADS, json=lead_json(content))
    assert (answer.status_code, answer.json()["status"]) == (201, "registered")
    return answer


async def resume_of(intake: Intake, submitted: httpx.Response) -> tuple[str, list[str], httpx.Response]:
    staff = (await make_account(intake, "intake")).headers
    shown = (await intake.client.get(submitted.headers["location"], headers=staff)).json()["submissions"][0]
    return (
        shown["resume_state"],
        shown["resume_flags"],
        await intake.client.get(submitted.json()["resume_url"], headers=staff),
    )


async def test_s07_a_clean_resume_is_scanned_whole_and_given_out(scanned: Scanned) -> None:
    intake, stub = scanned
    content = PDF + b"\n%" + b"x" * 200_000
    state, flags, download = await resume_of(intake, await submit(intake, content))
    assert (state, flags, download.status_code) == ("accepted", [], 200)
    assert stub.scanned == [content]


async def test_s07_malware_is_kept_from_staff_and_the_lead_is_kept(scanned: Scanned) -> None:
    intake, _ = scanned
    state, flags, download = await resume_of(intake, await submit(intake, EICAR))
    assert (state, flags) == ("quarantined", ["malware"])
    assert (download.status_code, download.json()["type"]) == (409, "urn:problem:resume-quarantined")
    assert EICAR not in download.content
    assert await intake.rows("outbox") == 1


@pytest.mark.parametrize("reply", [None, b"stream: scan ERROR", b"INSTREAM size limit exceeded. ERROR"])
async def test_s07_a_scanner_without_a_verdict_leaves_the_resume_quarantined_until_it_has_one(
    scanned: Scanned, reply: bytes | None
) -> None:
    intake, stub = scanned
    stub.reply = reply
    submitted = await submit(intake, PDF)
    state, flags, download = await resume_of(intake, submitted)
    assert (state, flags, download.status_code) == ("quarantined", ["unscanned"], 409)
    scanner = make_scanner(intake.settings.scanner_url, 2)
    assert await scan_quarantined(intake.sessions, intake.store, scanner) == 0
    stub.reply = b""
    assert await scan_quarantined(intake.sessions, intake.store, scanner) == 1
    state, flags, download = await resume_of(intake, submitted)
    assert (state, flags, download.content) == ("accepted", [], PDF)


async def test_s07_a_resume_that_never_gets_a_verdict_keeps_no_later_one_quarantined(scanned: Scanned) -> None:
    intake, stub = scanned
    stub.reply, stub.unreadable = None, ACTIVE
    await submit(intake, ACTIVE)
    await submit(intake, PDF)
    stub.reply = b""
    assert await scan_quarantined(intake.sessions, intake.store, make_scanner(intake.settings.scanner_url, 2)) == 1
    rows = await intake.database.fetch("SELECT resume_state FROM submissions ORDER BY received_at")
    assert [row["resume_state"] for row in rows] == ["quarantined", "accepted"]


async def test_s07_malware_found_later_stays_quarantined(scanned: Scanned) -> None:
    intake, stub = scanned
    stub.reply = None
    submitted = await submit(intake, EICAR)
    stub.reply = b""
    await scan_quarantined(intake.sessions, intake.store, make_scanner(intake.settings.scanner_url, 2))
    assert (await resume_of(intake, submitted))[:2] == ("quarantined", ["malware"])


async def replace(intake: Intake, submitted: httpx.Response, content: bytes) -> None:
    url = f"{submitted.json()['receipt_url']}/resume"
    answer = await intake.client.put(url, json={"resume": base64.b64encode(content).decode()})
    assert answer.status_code == 200


async def test_s07_a_replacement_is_scanned_like_a_first_resume(scanned: Scanned) -> None:
    intake, _ = scanned
    submitted = await submit(intake, PDF)
    await replace(intake, submitted, EICAR)
    state, flags, download = await resume_of(intake, submitted)
    assert (state, flags, download.status_code) == ("quarantined", ["malware"], 409)
    await replace(intake, submitted, ACTIVE)
    state, flags, download = await resume_of(intake, submitted)
    assert (state, flags, download.content) == ("flagged", ["active-content"], ACTIVE)


async def test_s07_the_verdict_on_a_resume_is_none_on_what_took_its_place_meanwhile(scanned: Scanned) -> None:
    intake, stub = scanned
    stub.reply = None
    submitted = await submit(intake, PDF)

    class ReplacedMeanwhile:
        async def scan(self, content: BinaryIO) -> Verdict:
            await replace(intake, submitted, EICAR)
            stub.reply = b""
            return await make_scanner(intake.settings.scanner_url, 2).scan(content)

        async def is_up(self) -> bool:
            return True

    await scan_quarantined(intake.sessions, intake.store, ReplacedMeanwhile())
    assert (await resume_of(intake, submitted))[:2] == ("quarantined", ["unscanned"])


@pytest.mark.parametrize("intake", [{"scanner_url": "tcp://127.0.0.1:1"}], indirect=True)
async def test_s07_a_scanner_that_is_down_costs_no_lead(intake: Intake) -> None:
    state, flags, download = await resume_of(intake, await submit(intake, PDF))
    assert (state, flags, download.status_code) == ("quarantined", ["unscanned"], 409)


async def test_s07_without_a_scanner_flags_alone_decide(intake: Intake) -> None:
    submitted = await submit(intake, ACTIVE)
    state, flags, download = await resume_of(intake, submitted)
    assert (state, flags, download.status_code) == ("flagged", ["active-content"], 200)
