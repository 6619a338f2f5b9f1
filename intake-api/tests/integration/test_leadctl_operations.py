"""leadctl's operations against a served application: trouble is a line, and the exit code tells a program."""

import json
from functools import partial
from uuid import UUID

import httpx
import pytest
from intake_api.models import Lead
from intake_api.routes import operations
from intake_api.use_cases import reconcile
from service_chassis.database import make_engine, make_sessions
from service_chassis.ops import ops_app
from starlette.responses import PlainTextResponse

from .conftest import Intake, settings_for
from .served import Command, served
from .test_change_lead import new_lead
from .test_dead_letters import bury
from .test_reconcile import age

NOWHERE = "http://127.0.0.1:9"


async def test_explain_names_a_worker_whose_database_is_away_and_one_that_fails_or_is_down(
    intake: Intake, staff: httpx.AsyncClient, leadctl: Command
) -> None:
    """A real ops port over a database that refuses; one that answers like a crash; one that is not there."""
    lead = await new_lead(intake)
    away = make_engine(settings_for("postgresql://nobody:nothing@127.0.0.1:1/nothing"), "tests")

    async def describe(lead_id: UUID) -> None:
        async with make_sessions(away)() as session:
            await session.get_one(Lead, lead_id)

    crashed = PlainTextResponse("Internal Server Error", status_code=500)
    async with served(ops_app(ready={}, alive={}, describe_lead=describe)) as no_database, served(crashed) as failing:
        explain = partial(
            leadctl.run, "stuck", "explain", lead,
            LEADCTL_INTAKE_OPS_URL=no_database, LEADCTL_ASSIGNMENT_OPS_URL=failing, LEADCTL_MAILER_OPS_URL=NOWHERE,
        )  # fmt: skip
        code, out, err = await explain("--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["intake"], told["assignment"]) == ("does not answer (503)", "does not answer (500)")
    assert told["mailer"] == "does not answer (ConnectError)"
    assert told["stopped_at"].startswith("the intake worker does not answer (503): start it, or")


async def test_an_address_that_is_not_the_apis_is_a_line(leadctl: Command) -> None:
    async with served(PlainTextResponse("welcome to nginx")) as other:
        for url, said in (
            (other, "check the address"),
            ("http://a:port", "LEADCTL_API_URL"),
            (NOWHERE, "does not answer"),
        ):
            code, out, err = await leadctl.run("stuck", "list", LEADCTL_TOKEN="t", LEADCTL_API_URL=url)
            assert (code, out, len(err.splitlines()), said in err) == (2, "", 1, True), err


async def test_a_replay_that_leaves_some_behind_is_exit_1(
    intake: Intake, staff: httpx.AsyncClient, leadctl: Command
) -> None:
    sent, discarded = await bury(intake), await bury(intake)
    await staff.post(f"/api/v1/dead-letters/{discarded}/discard", json={"reason": "made by a test"})
    code, out, _ = await leadctl.run("dead-letters", "replay", discarded)
    assert (code, out) == (1, f"{discarded} is discarded\n")
    assert (await leadctl.run("dead-letters", "replay", sent))[0] == 0
    await bury(intake)
    await bury(intake, body_truncated=True)
    code, out, _ = await leadctl.run("dead-letters", "replay", "--all", "--json")
    assert (code, json.loads(out)) == (1, {"replayed": 1, "not_replayable": 1})
    code, _, err = await leadctl.run("dead-letters", "discard", sent, "--reason", "too late")
    assert (code, "409" in err, "replayed" in err) == (2, True, True)


async def test_a_dry_run_is_no_rebuild(intake: Intake, staff: httpx.AsyncClient, leadctl: Command) -> None:
    await new_lead(intake)
    code, out, err = await leadctl.run("reconcile", "--dry-run", "--rebuild", "assignment")
    assert (code, out, "leave one of them out" in err) == (2, "", True)
    assert await intake.rows("outbox") == 0


async def test_reconcile_repairs_the_leads_of_every_page(
    intake: Intake, staff: httpx.AsyncClient, leadctl: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of the five became stuck at the same instant, on either side of a page's end."""
    monkeypatch.setattr(operations, "STUCK_PAGE", 2)
    leads = [await new_lead(intake) for _ in range(5)]
    for lead, minutes in zip(leads, (50, 40, 40, 30, 20), strict=True):
        await age(intake, lead, minutes)
    tied = "(SELECT updated_at FROM leads WHERE id = $1)"
    await intake.database.execute(f"UPDATE leads SET updated_at = {tied} WHERE id = $2", *map(UUID, leads[1:3]))  # noqa: S608 - a test's own words
    await bury(intake, lead_id=UUID(leads[3]))
    assert (await staff.get("/api/v1/stuck-leads")).json()["total"] == 5
    code, out, _ = await leadctl.run("reconcile", "--json")
    repaired = {item["lead_id"]: item["repaired"] for item in json.loads(out)["items"]}
    assert (code, repaired) == (1, {lead: lead != leads[3] for lead in leads})
    assert await intake.database.fetchval("SELECT count(DISTINCT lead_id) FROM outbox") == 4


async def test_a_cursor_that_is_none_of_ours_is_refused(staff: httpx.AsyncClient) -> None:
    answer = await staff.get("/api/v1/stuck-leads", params={"cursor": "x"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


async def test_a_rebuild_goes_on_batch_by_batch(
    intake: Intake, staff: httpx.AsyncClient, leadctl: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "REBUILD_BATCH", 2)
    leads = {await new_lead(intake) for _ in range(5)}
    code, out, err = await leadctl.run("reconcile", "--rebuild", "assignment", "--json")
    assert (code, json.loads(out)) == (0, {"attorneys": 0, "leads": 5})
    assert err.splitlines() == [f"leadctl: {so_far} leads so far" for so_far in (2, 4, 5)]
    rows = await intake.database.fetch("SELECT lead_id FROM outbox")
    assert sorted(str(row["lead_id"]) for row in rows) == sorted(leads)
