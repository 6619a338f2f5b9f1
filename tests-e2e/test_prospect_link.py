"""A prospect asks for the link of their address, reads it in their mail, sees where the lead is, withdraws, erases.

Whoever only knows the address learns nothing; the link's token is nowhere but in that mail.
"""

import uuid
from email.message import EmailMessage

import httpx
from e2e import evidence, search
from e2e.checker import Scenario
from e2e.clients import submit
from e2e.documents import small_pdf
from e2e.eventually import eventually
from e2e.mailboxes import Mailboxes
from e2e.stack import Stack

PROSPECTS = "/api/v1/prospects"


def token_in(mail: EmailMessage) -> str:
    plain = mail.get_body(("plain",))
    assert plain is not None
    (line,) = (line for line in plain.get_content().splitlines() if line.startswith("https://"))
    return str(line.partition("#")[2])


async def test_a_link_mailed_to_the_address_itself_shows_withdraws_and_erases(
    stack: Stack, scenario: Scenario, public: httpx.AsyncClient, staff: httpx.AsyncClient, mailboxes: Mailboxes
) -> None:
    person, stranger = scenario.crowd.person(), scenario.crowd.person()
    posted = await submit(public, scenario.log, person, small_pdf(uuid.uuid4().hex))
    lead = str(posted.json()["id"])
    await scenario.settle()

    answers = [
        await public.post(f"{PROSPECTS}/links", json={"email": email})
        for email in (stranger.email, person.email.upper())
    ]
    assert [(one.status_code, one.content) for one in answers] == [(202, b"")] * 2

    mails = await eventually(lambda: mailboxes.read(person.email), lambda seen: len(seen) == 2, what="the link's mail")
    (mail,) = (one for one in mails if "private link" in str(one["Subject"]))
    assert mail["Auto-Submitted"] == "auto-generated"
    token = token_in(mail)
    link = {"Prospect-Link": token}

    seen = await public.get(f"{PROSPECTS}/leads", headers=link)
    assert (seen.status_code, [one["standing"] for one in seen.json()["items"]]) == (200, ["answered"])
    withdrawn = await public.post(f"{PROSPECTS}/withdrawals", headers=link)
    assert [one["standing"] for one in withdrawn.json()["items"]] == ["closed"]
    assert (await staff.get(f"/api/v1/leads/{lead}")).json()["status"] == "declined"
    await scenario.verify(final=("declined",))
    assert await search.everywhere(stack, [token, token[-24:]]) == []

    assert (await public.post(f"{PROSPECTS}/erasures", headers=link)).status_code == 202
    assert (await public.get(f"{PROSPECTS}/leads", headers=link)).status_code == 404

    async def receipt() -> str:
        return str((await staff.get(f"/api/v1/erasures/{lead}")).json()["status"])

    await eventually(receipt, lambda status: status == "complete", what="the receipt is complete")
    await eventually(lambda: evidence.undrained(stack), lambda left: not left, what="queues and outboxes are drained")
    assert await search.everywhere(stack, [person.email, stranger.email, scenario.crowd.canary, token]) == []
    assert await mailboxes.read(stranger.email) == []
