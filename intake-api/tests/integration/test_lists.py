"""Lists: filters, order, both kinds of paging, and what they may cost."""

from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from intake_api.list_query import Sort
from intake_api.main import build
from intake_api.signer import Signer
from intake_api.signing_keys import SigningKeys

from ..documents import lead_json
from .accounts import make_account
from .conftest import Intake

LEADS = "/api/v1/leads"

INJECTIONS = [
    "' OR 1=1 --", "'; DROP TABLE leads; --", '" OR ""="', "1) UNION SELECT password_hash FROM accounts --", "%' --",
    "\\", "_%_", "$1", ":x", "created_at; SELECT pg_sleep(9)", "(SELECT 1)", "(a+)+$", ".*.*.*", "%" * 90, "é" * 90,
]  # fmt: skip


async def add_leads(intake: Intake, *rows: dict[str, Any]) -> list[str]:
    """Put leads into the table a second apart, the first one oldest."""
    ids = []
    for number, row in enumerate(rows):
        values: dict[str, Any] = {
            "first_name": "John",
            "last_name": "Doe",
            "email": f"{number}@example.com",
            "status": "registered",
        }
        values |= {k: UUID(v) if k == "assigned_to" else v for k, v in row.items()}
        values |= {"id": uuid4(), "email_key": values["email"], "trace_id": "0" * 32}
        names = list(values)
        places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
        await intake.database.execute(
            f"INSERT INTO leads ({', '.join(names)}, created_at) VALUES ({places}, "  # noqa: S608 - a test's own names
            f"timestamptz '2026-01-01 00:00:00Z' + interval '{number} s')",
            *values.values(),
        )
        ids.append(str(values["id"]))
    return ids


async def shown(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get(LEADS, params=params)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def new_attorney(staff: httpx.AsyncClient) -> str:
    body = {"name": "Ada", "email": f"{uuid4()}@firm.test"}
    return str((await staff.post("/api/v1/attorneys", json=body)).json()["id"])


async def test_every_filter_chooses(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada = await new_attorney(staff)
    ids = await add_leads(
        intake,
        {"status": "assigned", "assigned_to": ada},
        {"waiting_reason": "nobody_available"},
        {"status": "quarantined"},
        {"first_name": "Zoë", "last_name": "Quartermaine", "email": "zq@elsewhere.test"},
    )
    assert await shown(staff) == ids[::-1]
    assert await shown(staff, status=["assigned", "quarantined"]) == [ids[2], ids[0]]
    assert await shown(staff, attorney=ada) == [ids[0]]
    assert await shown(staff, waiting=True) == [ids[1]]
    assert await shown(staff, waiting=False, status="registered") == [ids[3]]
    assert await shown(staff, quarantined=True) == [ids[2]]
    assert ids[2] not in await shown(staff, quarantined=False)
    assert await shown(staff, created_from="2026-01-01T00:00:01Z", created_to="2026-01-01T00:00:03Z") == [
        ids[2],
        ids[1],
    ]
    assert await shown(staff, q="QUARTER zoë") == [ids[3]]
    assert await shown(staff, q="elsewhere.test") == [ids[3]]
    assert await shown(staff, q="doe quarter") == []
    assert await shown(staff, q="%%") == []


async def test_practice_area_and_source_choose(intake: Intake, staff: httpx.AsyncClient) -> None:
    fields = {"practice_area": "immigration", "source": "newsletter"}
    lead = (await intake.client.post(LEADS, json=lead_json(email="a@example.com", **fields))).json()["id"]
    await intake.client.post(LEADS, json=lead_json(email="b@example.com"))
    assert await shown(staff, practice_area="immigration") == await shown(staff, source="newsletter") == [lead]
    assert await shown(staff, practice_area="tax") == await shown(staff, source="news") == []


async def test_a_search_uses_the_index(intake: Intake) -> None:
    await intake.database.execute("SET enable_seqscan = off")
    plan = await intake.database.fetch(
        "EXPLAIN SELECT id FROM leads WHERE lower(leads.first_name || ' ' || leads.last_name || ' ' || leads.email) "
        "LIKE '%doe%'"
    )
    assert "ix_leads_search" in str(plan)


@pytest.mark.parametrize("sort", list(Sort))
async def test_cursors_visit_every_lead_once_in_every_order(
    intake: Intake, staff: httpx.AsyncClient, sort: Sort
) -> None:
    names = [{"last_name": name} for name in ("Ng", "Ng", "Ng", "Ab", "Zu", "Ng", "Li")]
    ids = await add_leads(intake, *names)
    whole = await shown(staff, sort=sort)
    assert sorted(whole) == sorted(ids)
    found: list[str] = []
    page = (await staff.get(LEADS, params={"sort": sort, "limit": 2})).json()
    found += [item["id"] for item in page["items"]]
    while page["next_cursor"]:
        page = (await staff.get(LEADS, params={"sort": sort, "limit": 2, "cursor": page["next_cursor"]})).json()
        found += [item["id"] for item in page["items"]]
    assert found == whole


async def test_a_cursor_is_stable_under_new_leads(intake: Intake, staff: httpx.AsyncClient) -> None:
    ids = await add_leads(intake, {}, {}, {})
    page = (await staff.get(LEADS, params={"limit": 1})).json()
    await intake.client.get("/livez")
    await intake.database.execute("UPDATE leads SET created_at = now() WHERE id = $1", UUID(ids[2]))
    later = (await staff.get(LEADS, params={"limit": 5, "cursor": page["next_cursor"]})).json()
    assert [item["id"] for item in later["items"]] == [ids[1], ids[0]]
    assert (later["next_cursor"], later["total"]) == (None, 3)


async def test_a_cursor_that_is_not_ours_or_of_another_question_is_422(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    await add_leads(intake, {}, {})
    cursor = (await staff.get(LEADS, params={"limit": 1})).json()["next_cursor"]
    settings = intake.settings
    other = Signer(SigningKeys(settings.auth_secret, None, settings.secret_problem).secrets).sign(
        "another-purpose", [1]
    )
    bad: list[dict[str, Any]] = [
        {"cursor": cursor + "x"}, {"cursor": "x" + cursor}, {"cursor": "e30.x"}, {"cursor": "\x00"}, {"cursor": ""},
        {"cursor": other}, {"cursor": "A" * 5000}, {"cursor": cursor, "sort": "status"}, {"cursor": cursor, "q": "doe"},
    ]  # fmt: skip
    for params in bad:
        answer = await staff.get(LEADS, params=params)
        assert answer.status_code == 422, params
        assert [error["field"] for error in answer.json()["errors"]] == ["cursor"]


async def test_fields_and_total_are_optional(intake: Intake, staff: httpx.AsyncClient) -> None:
    [lead] = await add_leads(intake, {})
    page = (await staff.get(LEADS, params={"fields": "last_name,status", "total": False})).json()
    assert page["items"] == [{"id": lead, "last_name": "Doe", "status": "registered"}]
    assert page["total"] is None
    unknown = await staff.get(LEADS, params={"fields": "email_key"})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "fields")


async def test_links_lead_through_the_pages(intake: Intake, staff: httpx.AsyncClient) -> None:
    await add_leads(intake, *({} for _ in range(5)))
    answer = await staff.get(LEADS, params={"limit": 2, "offset": 2, "status": "registered"})
    links = {rel: link["url"] for rel, link in answer.links.items() if rel}
    offsets = {rel: parse_qs(urlsplit(url).query)["offset"] for rel, url in links.items()}
    assert offsets == {"first": ["0"], "prev": ["0"], "next": ["4"], "last": ["4"]}
    assert [len((await staff.get(url)).json()["items"]) for url in links.values()] == [2, 2, 1, 1]
    by_cursor = await staff.get(
        LEADS, params={"limit": 2, "status": "registered", "cursor": answer.json()["next_cursor"]}
    )
    assert set(by_cursor.links) == {"first"}


PARAMETERS = ["status", "attorney", "waiting", "quarantined", "practice_area", "source", "created_from", "created_to",
              "q", "sort", "fields", "cursor", "limit", "offset", "total"]  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
async def test_s23_no_parameter_of_a_list_reaches_sql(intake: Intake, staff: httpx.AsyncClient, name: str) -> None:
    await add_leads(intake, {}, {})
    for path in (LEADS, f"{LEADS}/export.csv"):
        for text in INJECTIONS:
            answer = await staff.get(path, params={name: text})
            assert answer.status_code in {200, 422}, (path, text, answer.text)
            if answer.status_code == 200:
                assert name in {"q", "practice_area", "source"}
                assert (await shown(staff, **{name: text})) == []
            else:
                assert answer.json()["errors"][0]["field"].split(".")[0] == name
    assert await intake.rows("leads") == 2


async def test_s23_sorting_by_a_column_that_is_not_listed_is_422(staff: httpx.AsyncClient) -> None:
    for column in ("email_key", "id", "trace_id", "random()", "created_at,id"):
        assert (await staff.get(LEADS, params={"sort": column})).status_code == 422


@pytest.mark.parametrize("text", ["0.5", "1767225600", "2026-01-01", "2026-01-01T00:00:00", "yesterday"])
async def test_a_time_is_one_with_its_offset(staff: httpx.AsyncClient, text: str) -> None:
    answer = await staff.get(LEADS, params={"created_to": text})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "created_to")


async def test_a_parameter_that_is_not_known_is_422(staff: httpx.AsyncClient) -> None:
    answer = await staff.get(LEADS, params={"statsu": "assigned"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "statsu")


async def test_s24_pages_are_bounded(intake: Intake, staff: httpx.AsyncClient) -> None:
    await add_leads(intake, {})
    for query in ("limit=1000000000", "limit=501", "offset=1000001", "q=a b c d e f g", f"q={'x' * 101}", "q=x"):
        answer = await staff.get(f"{LEADS}?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["errors"][0]["field"] == query.split("=", maxsplit=1)[0]
    deepest = await staff.get(LEADS, params={"offset": 1_000_000, "limit": 500})
    assert (deepest.status_code, deepest.json()["items"]) == (200, [])


async def test_s24_a_question_that_takes_too_long_is_ended_and_said(intake: Intake, staff: httpx.AsyncClient) -> None:
    await add_leads(intake, {})
    settings = intake.settings.model_copy(update={"database_statement_timeout": 0.2})
    app = build(settings, intake.store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://intake", headers=staff.headers) as client,
        app.router.lifespan_context(app),
    ):
        await intake.database.execute("ALTER TABLE leads ENABLE ROW LEVEL SECURITY")
        await intake.database.execute("CREATE POLICY slowly ON leads USING (pg_sleep(2) IS NOT NULL)")
        for path in (LEADS, f"{LEADS}/export.csv"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:problem:query-too-costly")
            assert "retry-after" in answer.headers
        await intake.database.execute("ALTER TABLE leads DISABLE ROW LEVEL SECURITY")
        assert (await client.get(LEADS)).status_code == 200


async def test_an_attorney_lists_and_pages_their_own_leads_only(intake: Intake, staff: httpx.AsyncClient) -> None:
    ada, ben = await new_attorney(staff), await new_attorney(staff)
    own = await add_leads(intake, {"status": "assigned", "assigned_to": ada})
    await add_leads(intake, {"status": "assigned", "assigned_to": ben, "email": "b@example.com"})
    headers = (await make_account(intake, "attorney", attorney=ada)).headers
    page = (await staff.get(LEADS, headers=headers)).json()
    assert ([item["id"] for item in page["items"]], page["total"]) == (own, 1)
    assert (await staff.get(LEADS, params={"attorney": ben}, headers=headers)).json()["items"] == []
