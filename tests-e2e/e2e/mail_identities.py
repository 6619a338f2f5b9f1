"""I6-I8: what deliveries say against what the mail server got. Pure, as `checker.judge` is."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from e2e.histories import WELCOME, History
from e2e.mailboxes import by_address
from e2e.rows import DeliveryRow, Evidence


def ghosts(seen: Evidence) -> Iterable[str]:
    """I6: what is called sent has arrived, and whose timeline says that the welcome mail went out was sent it."""
    arrived = {(mail.address, mail.message_id) for mail in seen.mails}
    for delivery in seen.deliveries:
        if delivery.state == "sent" and (delivery.address, delivery.message_id) not in arrived:
            yield f"delivery {delivery.id} says sent, and {delivery.message_id} never arrived"
    sent = {one.lead_id for one in seen.deliveries if one.kind == WELCOME and one.state == "sent"}
    for lead in seen.leads:
        if lead.id not in sent and seen.histories.get(lead.id, History()).says_reached:
            yield f"lead {lead.id} is told as reached, and no welcome delivery of it says sent"


def mailed_twice(seen: Evidence) -> Iterable[str]:
    """I7: one welcome mail per lead; one mail per link or mail that was asked for, however many those are."""
    copies = Counter(mail.message_id for mail in seen.mails)
    mails: dict[str, int] = defaultdict(int)
    ambiguous: set[str] = set()
    for delivery in seen.deliveries:
        of = f"lead {delivery.lead_id}" if _is_unasked(delivery) else f"{delivery.kind} {delivery.id}"
        mails[of] += copies[delivery.message_id or ""]
        if delivery.ambiguous:
            ambiguous.add(of)
    return (
        f"{of} got {count} mails, and no delivery of it is ambiguous"
        for of, count in mails.items()
        if count > 1 and of not in ambiguous
    )


def unexplained_mails(seen: Evidence) -> Iterable[str]:
    """Mails that none of our deliveries has sent."""
    known = {delivery.message_id for delivery in seen.deliveries}
    return (f"{mail.message_id} belongs to no delivery" for mail in seen.mails if mail.message_id not in known)


def ambiguous_copies(seen: Evidence) -> Iterable[str]:
    """I8: copies that are allowed, because nobody could know."""
    copies = Counter(mail.message_id for mail in seen.mails)
    for delivery in seen.deliveries:
        count = copies[delivery.message_id or ""]
        if delivery.ambiguous and count > 1:
            yield f"{count} copies of {delivery.message_id}, flagged ambiguous"


def copies_that_differ(seen: Evidence) -> Iterable[str]:
    """I8: a copy is the same mail, or it is a second one."""
    for address, mails in by_address(seen.mails).items():
        for message_id in {mail.message_id for mail in mails}:
            hashes = {mail.content_hash for mail in mails if mail.message_id == message_id}
            if len(hashes) > 1:
                yield f"{len(hashes)} different mails {message_id} to {address}"
    yield from _other_mails(seen)


def _other_mails(seen: Evidence) -> Iterable[str]:
    """A second welcome mail that nobody asked for, ambiguous or not, must be the first one's copy."""
    arrived = {mail.message_id for mail in seen.mails}
    mails: dict[str, set[str]] = defaultdict(set)
    for delivery in seen.deliveries:
        if _is_unasked(delivery) and delivery.message_id in arrived:
            mails[delivery.lead_id].add(delivery.message_id)
    return (f"lead {lead} got the welcome mails {sorted(ids)}" for lead, ids in mails.items() if len(ids) > 1)


def _is_unasked(delivery: DeliveryRow) -> bool:
    """The welcome mail that every lead gets, and no link or repetition that a person has asked for."""
    return delivery.kind == WELCOME and not delivery.asked_for
