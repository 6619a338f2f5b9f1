"""Orphan objects are swept after a grace; rows whose object is gone are reported."""

import io

import pytest
from intake_api.exceptions import StorageAwayError
from intake_api.use_cases.sweep_resumes import sweep_resumes

from ..documents import lead_json
from .conftest import Intake


async def test_orphans_go_after_their_grace_and_resumes_stay(intake: Intake) -> None:
    await intake.client.post("/api/v1/leads", json=lead_json())
    await intake.store.put("submissions/orphan", io.BytesIO(b"x"), 1, "text/plain")
    assert (await sweep_resumes(intake.sessions, intake.store, grace=3600)).orphans == 0
    swept = await sweep_resumes(intake.sessions, intake.store, grace=-60)
    assert (swept.orphans, swept.dangling) == (1, ())
    assert len(intake.stored()) == 1


async def test_an_orphan_that_the_store_does_not_let_go_hides_nothing_and_holds_up_no_other(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await intake.client.post("/api/v1/leads", json=lead_json())
    [path] = intake.stored()
    path.unlink()
    for name in ("submissions/kept", "submissions/orphan"):
        await intake.store.put(name, io.BytesIO(b"x"), 1, "text/plain")
    delete = intake.store.delete

    async def refusing(key: str) -> None:
        if key == "submissions/kept":
            raise StorageAwayError
        await delete(key)

    monkeypatch.setattr(intake.store, "delete", refusing)
    swept = await sweep_resumes(intake.sessions, intake.store, grace=-60)
    assert (swept.orphans, len(swept.dangling)) == (1, 1)
    assert [path.name for path in intake.stored()] == ["kept"]


async def test_a_row_without_its_object_is_named(intake: Intake) -> None:
    await intake.client.post("/api/v1/leads", json=lead_json())
    [path] = intake.stored()
    path.unlink()
    swept = await sweep_resumes(intake.sessions, intake.store, grace=-60)
    assert swept.dangling == (await intake.database.fetchval("SELECT resume_key FROM submissions"),)
    assert await intake.rows("submissions") == 1
