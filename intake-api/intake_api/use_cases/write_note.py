"""Staff write something down about a lead. It stays here: no event carries it, no mail, no log."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from service_chassis.database import Sessions
from sqlalchemy import select

from intake_api import repository, timeline
from intake_api.caller import Caller
from intake_api.models import LeadNote

MOST_NOTES = 500
"""Notes shown of one lead; the latest."""


async def write_note(sessions: Sessions, caller: Caller, lead_id: UUID, text: str) -> LeadNote:
    """Add a note. The timeline says that there is one, not what it says. Raises LeadNotFoundError."""
    async with sessions.begin() as session:
        await repository.find_lead(session, lead_id, caller)
        note = LeadNote(id=uuid4(), lead_id=lead_id, author=caller.actor, text=text)
        session.add(note)
        await session.flush()
        await timeline.record(
            session, lead_id, "note.written", actor=caller.actor, detail={"note_id": str(note.id)}, at=note.created_at
        )
    return note


async def read_notes(sessions: Sessions, caller: Caller, lead_id: UUID) -> Sequence[LeadNote]:
    """The latest notes of a lead, oldest of them first. Raises LeadNotFoundError."""
    async with sessions() as session:
        await repository.find_lead(session, lead_id, caller)
        latest = await session.scalars(
            select(LeadNote)
            .where(LeadNote.lead_id == lead_id)
            .order_by(LeadNote.created_at.desc(), LeadNote.id.desc())
            .limit(MOST_NOTES)
        )
    return latest.all()[::-1]
