"""The only order there is: (epoch, decision), per lead.

The broker may deliver late, twice, or one service's event before another's. A hearer applies an
event only if its place is after the one it holds; an equal place is a repeat, an earlier one is stale.
"""

from dataclasses import dataclass
from enum import Enum


class Arrival(Enum):
    """How an event stands to what its hearer already holds."""

    NEWER = "newer"
    REPEAT = "repeat"
    STALE = "stale"


@dataclass(frozen=True, order=True)
class Place:
    """A position in one lead's history.

    ``epoch`` counts what people decided (intake-api owns it); ``decision`` counts what the
    assignment-worker decided, and never starts again.
    """

    epoch: int
    decision: int

    def meets(self, held: "Place | None") -> Arrival:
        """Say how an event at this place arrives at a hearer that holds ``held`` (None: nothing yet)."""
        if held is None or self > held:
            return Arrival.NEWER
        return Arrival.REPEAT if self == held else Arrival.STALE
