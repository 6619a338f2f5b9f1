"""How an event of intake-api stands to the lead that this service holds (docs/design.md, Order).

intake-api owns the epoch; decisions are ours. Within one epoch it cannot know more than we do, unless our
rows were lost: so an event of the held epoch is a repeat, be its ``decision_seen`` behind ours or level
with it, and news only when ``decision_seen`` is ahead. An older epoch is stale whatever it has seen.
"""

from shared_schemas.events import LeadClosed, LeadState
from shared_schemas.order import Arrival, Place


def arrival(event: LeadState | LeadClosed, held: Place | None) -> Arrival:
    """Say whether the event is newer than, a repeat of, or older than what is held (None: nothing yet)."""
    decision = max(event.decision_seen, held.decision if held else 0)
    return Place(event.epoch, decision).meets(held)
