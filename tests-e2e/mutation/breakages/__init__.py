"""The breakages: each a patch of the product in this folder, and the test that must notice."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
_CHASSIS = "service-chassis/tests/integration/"
_MAILER = "mailer-worker/tests/integration/"


@dataclass(frozen=True)
class Breakage:
    """A deliberate fault. ``words``: a regular expression that the failure must match, so that it is the right one."""

    name: str
    test: str
    words: str
    folder: Path = FOLDER

    @property
    def patch(self) -> Path:
        """The file that `git apply` takes; what stands before its first diff says what is broken."""
        return self.folder / f"{self.name}.patch"

    @property
    def files(self) -> list[str]:
        """The files it changes."""
        lines = self.patch.read_text().splitlines()
        return [line.removeprefix("+++ b/") for line in lines if line.startswith("+++ b/")]


BREAKAGES = (
    Breakage(
        "ack-before-commit",
        f"{_CHASSIS}test_deaths.py::test_a_process_that_dies_around_its_commit_has_made_one_effect[before commit]",
        r"assert \['later'\] == \['die before",
    ),
    Breakage(
        "no-keys",
        f"{_MAILER}test_duplicates.py::test_an_assignment_delivered_five_times_is_mailed_once",
        r"assert 5 == 1\b",
    ),
    Breakage(
        "unroutable-not-raised",
        f"{_CHASSIS}test_relay.py::test_an_unroutable_event_stays_until_the_binding_is_back",
        r"not right after 15 s; last seen: 0\.0",
    ),
    Breakage(
        "transient-publish",
        f"{_CHASSIS}test_relay.py::test_a_confirmed_event_has_arrived_whole_and_its_row_is_gone",
        r"assert <DeliveryMode\.NOT_PERSISTENT: 1> == 2",
    ),
    Breakage(
        "no-sending-commit",
        f"{_MAILER}test_ambiguity.py::test_a_process_that_died_leaves_an_attempt_that_is_flagged_and_sent_again",
        r"assert 0 == 1\b",
    ),
    Breakage(
        "message-id-per-attempt",
        f"{_MAILER}test_ambiguity.py::test_the_second_copy_has_the_message_id_of_the_first",
        r"assert '<[^>]+>' == '<[^>]+>'",
    ),
    Breakage(
        "publish-in-the-request",
        "intake-api/tests/integration/test_post_lead.py::test_a_submission_never_speaks_to_the_broker",
        r"assert \(\d+, [1-9]\d*\) == \(201, 0\)",
    ),
    Breakage(
        "cursor-by-id",
        f"{_CHASSIS}test_relay.py::test_a_row_that_commits_after_a_later_one_is_not_skipped",
        r"not right after 15 s; last seen: 0\b",
    ),
)
