"""S62: a person's data, complete and nobody else's, for an admin to hand over; on record."""

import io
import json
import zipfile
from uuid import UUID

import httpx

from ..documents import DOCX, PDF, lead_json
from .conftest import Intake

LEADS = "/api/v1/leads"


async def export(staff: httpx.AsyncClient, lead: str) -> tuple[dict[str, object], dict[str, bytes]]:
    answer = await staff.get(f"{LEADS}/{lead}/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("lead.json")), files


async def test_s62_the_export_is_complete_and_only_the_persons_own(intake: Intake, staff: httpx.AsyncClient) -> None:
    other = lead_json(email="other@example.com", first_name="Somebodyelse")
    assert (await staff.post(LEADS, json=other)).status_code == 201
    lead = (await staff.post(LEADS, json=lead_json(first_name="Zoë"))).json()["id"]
    assert (await staff.post(LEADS, json=lead_json(DOCX, first_name="Zoe"))).json()["id"] == lead

    content, files = await export(staff, lead)

    text = json.dumps(content, ensure_ascii=False)
    assert ("Zoë" in text, "Zoe" in text, "Somebodyelse" in text) == (True, True, False)
    assert isinstance(content["submissions"], list)
    assert len(content["submissions"]) == 2
    resumes = {name: body for name, body in files.items() if name.startswith("resumes/")}
    assert sorted(resumes.values()) == sorted([PDF, DOCX])
    acts = await intake.database.fetch("SELECT lead_id, result FROM audit WHERE action = 'get_export'")
    assert [(str(row["lead_id"]), row["result"]) for row in acts] == [(lead, 200)]


async def test_a_missing_resume_is_named_and_a_typed_name_is_no_path(intake: Intake, staff: httpx.AsyncClient) -> None:
    lead = (await staff.post(LEADS, json=lead_json())).json()["id"]
    await intake.database.execute("UPDATE submissions SET resume_filename = '../../etc/x.p/f'")
    _, files = await export(staff, lead)
    assert [name.count("/") for name in files if name != "README.txt"] == [1]
    for path in intake.stored():
        path.unlink()
    content, files = await export(staff, lead)
    submission = await intake.database.fetchval("SELECT id FROM submissions WHERE lead_id = $1", UUID(lead))
    assert (content["missing_resumes"], list(files)) == ([str(submission)], ["README.txt"])
