"""The public route against hostile requests: parts, names, fields, other origins, headers, problems."""

import json
import socket
import threading
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intake_api.middleware import SECURITY_HEADERS

from ..documents import DOCX, PDF, lead_json
from .conftest import Intake

LEADS = "/api/v1/leads"
FIELDS = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com"}
ORIGIN = "https://www.partner.example"


def form_of(*parts: tuple[str, str, bytes], boundary: str = "b") -> dict[str, Any]:
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{rest}\r\n\r\n'.encode() + value + b"\r\n"
        for name, rest, value in parts
    )
    return {
        "content": body + f"--{boundary}--\r\n".encode(),
        "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    }


NESTED = b'--c\r\nContent-Disposition: form-data; name="resume"\r\n\r\nx\r\n--c--\r\n'


@pytest.mark.parametrize(
    "request_",
    [
        form_of(*((f"f{number}", "", b"x") for number in range(1_001))),
        form_of(("first_name", "", b"x" * 1024 * 1024)),
        form_of(("resume", '; filename="a.pdf"', PDF), ("resume", '; filename="b.pdf"', PDF)),
        form_of(("email", "", b"a@b.example"), ("email", "", b"c@d.example")),
        form_of(("resume", "\r\nContent-Type: multipart/mixed; boundary=c", NESTED)),
        {"content": b"--b\r\nnothing", "headers": {"Content-Type": "multipart/form-data; boundary=other"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=" + "b" * 5000}},
        form_of(("\udc00".encode("utf-8", "surrogatepass").decode("latin-1"), "", b"\xff\xfe")),
    ],
)
async def test_s02_too_many_or_odd_parts_are_4xx_and_write_nothing(intake: Intake, request_: dict[str, Any]) -> None:
    answer = await intake.client.post(LEADS, **request_)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await intake.rows("submissions"), intake.stored()) == (0, [])


async def test_both_encodings_take_the_same_optional_fields(intake: Intake, staff: httpx.AsyncClient) -> None:
    more = {
        "phone": "+1 212 555 0100", "message": "one\r\ntwo", "practice_area": "employment", "language": "pt-BR",
        "source": "ad", "referrer": "https://a.example/b", "campaign": "spring", "consent": "2026-01",
        "consent_text": "I agree.",
    }  # fmt: skip
    form = await intake.client.post(LEADS, data={**FIELDS, **more}, files={"resume": ("cv.docx", DOCX)})
    text = await intake.client.post(LEADS, json=lead_json(DOCX, **FIELDS, **more, resume_filename="cv.docx"))
    assert (form.status_code, text.status_code) == (201, 201)
    shown = (await staff.get(form.headers["location"])).json()
    one, other = shown["submissions"]
    assert one["phone"] == "+12125550100"
    assert one["consent_at"] == one["received_at"]
    changing = {"id", "received_at", "resume_url", "consent_at", "reference"}
    assert {name: one[name] for name in one.keys() - changing} == {
        name: other[name] for name in other.keys() - changing
    }
    assert (shown["practice_area"], shown["language"]) == ("employment", "pt-br")


async def test_both_encodings_refuse_with_the_same_words(intake: Intake) -> None:
    wrong = {"first_name": "", "last_name": "x" * 101, "email": "nobody", "phone": "x", "language": "?"}
    form = await intake.client.post(LEADS, data=wrong, files={"resume": ("cv.exe", b"MZ\0")})
    text = await intake.client.post(LEADS, json=lead_json(b"MZ\0", **wrong, resume_filename="cv.exe"))
    assert form.json() == text.json()
    assert {one["field"] for one in form.json()["errors"]} == {*wrong, "resume"}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/x.pdf", "x.pdf"),
        ("C:\\x.pdf", "x.pdf"),
        (".htaccess", "htaccess"),
        ("x" * 4096 + ".pdf", "x" * 251 + ".pdf"),
        ("a\r\nSet-Cookie: a=b.pdf", "a__Set-Cookie_ a=b.pdf"),
        ("a\0b.pdf", "a_b.pdf"),
        ('"; filename=evil.pdf', "_; filename=evil.pdf"),
        ("🙂.pdf", "🙂.pdf"),
    ],
)
async def test_s08_a_file_name_never_reaches_a_key_or_a_header(
    intake: Intake, staff: httpx.AsyncClient, sent: str, shown: str
) -> None:
    answer = await intake.client.post(LEADS, json=lead_json(resume_filename=sent))
    row = await intake.database.fetchrow("SELECT id, resume_key, resume_filename FROM submissions")
    assert (row["resume_key"], row["resume_filename"]) == (f"submissions/{row['id']}", shown)
    download = await staff.get(answer.json()["resume_url"])
    header = download.headers["content-disposition"]
    assert header.startswith("attachment; filename*=UTF-8''")
    assert not set(header) & set('\r\n\0"')


async def test_s09_a_download_renders_nowhere(intake: Intake, staff: httpx.AsyncClient) -> None:
    answer = await intake.client.post(LEADS, json=lead_json(b"See <script>alert(1)</script>", resume_filename="cv.txt"))
    download = await staff.get(answer.json()["resume_url"])
    assert download.headers["content-type"].startswith("text/plain")
    assert download.headers["content-disposition"].startswith("attachment")
    assert download.headers["x-content-type-options"] == "nosniff"
    assert download.headers["cache-control"] == "no-store"
    assert download.headers["content-security-policy"] == "sandbox; default-src 'none'"


async def test_s10_a_resume_is_given_out_byte_for_byte(intake: Intake, staff: httpx.AsyncClient) -> None:
    tagged = PDF.replace(b"/Type/Catalog", b"/Type/Catalog/Author(Jane Roe)")
    answer = await intake.client.post(LEADS, json=lead_json(tagged))
    assert (await staff.get(answer.json()["resume_url"])).content == tagged


ODD = st.sampled_from(
    ["\0", "\ud800", "x" * 70_000, "\uff21", "\u0410nn", "\x1b[31m", "'; DROP TABLE leads;--", "\u2028", "\u202e"]
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from([*FIELDS, "phone", "message", "resume_filename", "consent"]), text=ODD | st.text())
async def test_s11_no_text_is_a_5xx_or_echoed(intake: Intake, field: str, text: str) -> None:
    body = json.dumps(lead_json(**{field: text}))  # httpx itself would refuse lone surrogates
    answer = await intake.client.post(LEADS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {201, 415, 422}
    if answer.status_code != 201 and len(text) > 20:
        assert text not in answer.text


@pytest.mark.parametrize(
    "changes",
    [{"first_name": f"A{mark}Bcc: x@example.com"} for mark in ("\r\n", "\n", "\x85", "\u2028")]
    + [{"email": "a@example.com, evil@example.com"}, {"email": "a@example.com\nevil@example.com"}],
)
async def test_s13_nothing_that_could_split_a_header_is_stored(intake: Intake, changes: dict[str, str]) -> None:
    answer = await intake.client.post(LEADS, json=lead_json(**changes))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, next(iter(changes)))
    assert await intake.rows("leads") == 0


async def test_s14_markup_in_a_name_waits_for_staff_and_reaches_no_mail(intake: Intake) -> None:
    for name in ("<script>x</script>", "<a href=javascript:x>", "{{7*7}}", "{% import 'os' %}"):
        assert (await intake.client.post(LEADS, json=lead_json(first_name=name))).status_code == 201
    assert (await intake.rows("leads"), await intake.rows("outbox")) == (4, 0)


async def test_s16_nothing_typed_is_ever_fetched(intake: Intake) -> None:
    hits: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(1)
        listener = threading.Thread(target=lambda: _accept(canary, hits))
        listener.start()
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/"
        answer = await intake.client.post(
            LEADS, json=lead_json(message=url, referrer=url, source=url, first_name=url, resume_filename=f"{url}a.pdf")
        )
        listener.join()
    assert answer.status_code == 201
    assert hits == []


def _accept(canary: socket.socket, hits: list[object]) -> None:
    try:
        hits.append(canary.accept())
    except TimeoutError:
        return


async def test_s17_fields_that_are_not_the_publics_change_nothing(intake: Intake) -> None:
    columns = [row["name"] for row in await intake.database.fetch(
        "SELECT column_name AS name FROM information_schema.columns WHERE table_name IN ('leads', 'submissions')"
    )]  # fmt: skip
    typed = {"first_name", "last_name", "email", "message", "practice_area", "language", "source", "referrer",
             "campaign", "phone", "consent_text", "resume_filename"}  # fmt: skip
    extra = dict.fromkeys({*columns, "role", "attorney_id"} - typed, "00000000-0000-4000-8000-000000000001")
    assert {"status", "assigned_to", "id", "created_at"} <= extra.keys()
    answer = await intake.client.post(LEADS, json=lead_json(**extra))
    assert answer.status_code == 201
    row = await intake.database.fetchrow("SELECT * FROM leads")
    assert (row["status"], row["assigned_to"], row["epoch"]) == ("registered", None, 0)
    assert "00000000-0000-4000-8000-000000000001" not in str(dict(row))


@pytest.mark.parametrize("consent", [{}, [], 7, False])
async def test_s11_a_consent_that_is_no_text_is_named_once(intake: Intake, consent: object) -> None:
    answer = await intake.client.post(LEADS, json=lead_json(consent=consent, consent_text="I agree."))
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, ["consent"])


async def test_s18_a_known_address_answers_like_a_new_one(intake: Intake) -> None:
    new = await intake.client.post(LEADS, json=lead_json())
    known = await intake.client.post(LEADS, json=lead_json())
    suspect = await intake.client.post(LEADS, json=lead_json(website="x"))
    assert new.status_code == known.status_code == suspect.status_code
    changing = {"id", "created_at", "updated_at", "resume_url", "reference", "receipt_url"}
    bodies = [{k: v for k, v in one.json().items() if k not in changing} for one in (new, known, suspect)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert set(new.headers) == set(known.headers) == set(suspect.headers)


async def test_s26_every_error_is_a_problem_that_echoes_nothing(intake: Intake) -> None:
    secret = "Zebulon-Canary"
    answers = [
        await intake.client.post(LEADS, json=lead_json(first_name=secret, email=f"{secret}@@x")),
        await intake.client.post(LEADS, content=f'{{"{secret}"', headers={"Content-Type": "application/json"}),
        await intake.client.post(LEADS, content=secret, headers={"Content-Type": f"text/{secret}"}),
        await intake.client.post(LEADS, json=lead_json(), headers={"Idempotency-Key": f"{secret} "}),
        await intake.client.get(f"/{secret}"),
        await intake.client.delete(LEADS),
        await intake.client.get(f"{LEADS}/{secret}"),
        await intake.client.options(LEADS, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        assert answer.json()["status"] == answer.status_code
        assert secret not in answer.text
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("intake", [{"embed_origins": ORIGIN}], indirect=True)
async def test_s57_pages_of_listed_origins_alone_may_submit(intake: Intake) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    ours = await intake.client.options(LEADS, headers={"Origin": ORIGIN, **preflight})
    assert (ours.status_code, ours.headers["access-control-allow-origin"]) == (200, ORIGIN)
    foreign = await intake.client.options(LEADS, headers={"Origin": "https://evil.example", **preflight})
    assert (foreign.status_code, foreign.json()["type"]) == (400, "urn:problem:cross-origin-refused")
    assert "access-control-allow-origin" not in foreign.headers
    with_token = {**preflight, "Access-Control-Request-Headers": "authorization"}
    assert (await intake.client.options(LEADS, headers={"Origin": ORIGIN, **with_token})).status_code == 400
    read = await intake.client.post(LEADS, json=lead_json(), headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in read.headers


async def test_s57_a_form_post_to_a_json_route_is_refused_and_cookies_do_nothing(
    intake: Intake, staff: httpx.AsyncClient
) -> None:
    token = staff.headers.pop("Authorization").removeprefix("Bearer ")
    cookies = {"Cookie": f"access_token={token}; Authorization=Bearer {token}"}
    assert (await staff.get(LEADS, headers=cookies)).status_code == 401
    assert "set-cookie" not in (await intake.client.post(LEADS, json=lead_json())).headers
    encoded = await intake.client.post(LEADS, data=FIELDS)
    assert encoded.status_code == 415
