"""Notes on a lead."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from intake_api.plain_text import LINES_NOT_BLANK_PATTERN, has_controls
from intake_api.routes.context import LeadReader, LeadWriter, World
from intake_api.routes.schemas import problems
from intake_api.use_cases.write_note import read_notes, write_note

router = APIRouter(prefix="/api/v1/leads", tags=["leads"])

NOTE_LENGTH = 4000


def _lines(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    if has_controls(lines.replace("\n", "").replace("\t", "")):
        raise ValueError("must not contain control characters other than tabs and line ends")
    return lines


NoteText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=NOTE_LENGTH),
    AfterValidator(_lines),
    Field(json_schema_extra={"pattern": LINES_NOT_BLANK_PATTERN}),
]


class NewNote(BaseModel):
    """A note to write."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "Asked to be called after 5"}]})

    text: NoteText


class NoteBody(BaseModel):
    """A note, who wrote it and when."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    author: str
    text: str
    created_at: datetime


class NoteList(BaseModel):
    """Notes of a lead, oldest first; the latest 500."""

    items: list[NoteBody]


@router.get("/{lead_id}/notes", response_model=NoteList, responses=problems(401, 403, 404, 422))
async def get_notes(world: World, caller: LeadReader, lead_id: UUID) -> NoteList:
    """Read the notes on a lead."""
    notes = await read_notes(world.sessions, caller, lead_id)
    return NoteList(items=[NoteBody.model_validate(note) for note in notes])


@router.post("/{lead_id}/notes", status_code=201, response_model=NoteBody, responses=problems(401, 403, 404, 422))
async def post_note(world: World, caller: LeadWriter, lead_id: UUID, body: NewNote) -> NoteBody:
    """Write a note on a lead. The prospect never gets to read it by this system's mail."""
    return NoteBody.model_validate(await write_note(world.sessions, caller, lead_id, body.text))
