"""The export: everything that the filters choose, as CSV, for whoever works on all leads."""

import csv
import io

import httpx
import pytest
from intake_api.csv_cells import original
from intake_api.routes import lead_lists

from .accounts import make_account
from .conftest import Intake
from .test_lists import add_leads

EXPORT = "/api/v1/leads/export.csv"


async def test_s12_an_export_is_safe_and_parses_back(intake: Intake, staff: httpx.AsyncClient) -> None:
    names = ["=1+1", "O'Neil", 'a "quoted", one', "\uff1dcmd|'/C calc'!A0", "'tis", "Ünal"]
    ids = await add_leads(intake, *({"last_name": name} for name in names))
    answer = await staff.get(EXPORT, params={"sort": "created_at"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8; header=present")
    assert answer.headers["content-disposition"] == 'attachment; filename="leads.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["id"] for row in rows] == ids
    assert [original(row["last_name"]) for row in rows] == names
    assert not [row["last_name"] for row in rows if row["last_name"][0] in "=+-@\uff1d"]


async def test_an_export_goes_on_past_its_batch(
    intake: Intake, staff: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead_lists, "EXPORT_BATCH", 2)
    ids = await add_leads(intake, *({} for _ in range(5)), {"status": "declined"})
    answer = await staff.get(EXPORT, params={"status": "registered"})
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["id"] for row in rows] == ids[4::-1]


@pytest.mark.parametrize("role", ["attorney", "operator"])
async def test_an_export_is_for_the_intake_desk(intake: Intake, staff: httpx.AsyncClient, role: str) -> None:
    headers = (await make_account(intake, role)).headers
    assert (await staff.get(EXPORT, headers=headers)).status_code == 403
    assert (await staff.get(EXPORT, headers=(await make_account(intake, "intake")).headers)).status_code == 200
