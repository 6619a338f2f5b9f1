"""The receipt of a submission, by its private link: public routes whose token is the permission."""

import asyncio
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from intake_api.receipt_link import PREFIX, ReceiptLink, reference_of
from intake_api.routes.context import Client, Outside, World
from intake_api.routes.schemas import problems
from intake_api.routes.submission_schema import RESUME_SCHEMA
from intake_api.signer import LONGEST
from intake_api.use_cases.take_allowance import take_allowance
from intake_api.use_cases.use_receipt import ReceiptState, read_receipt, replace_resume, revoke_link, withdraw_resume

router = APIRouter(prefix=PREFIX, tags=["receipts"])

Token = Annotated[str, Path(max_length=LONGEST, description="The last part of `receipt_url`")]


class ReceiptBody(BaseModel):
    """A submission as its prospect sees it: nothing of who works on it. No ``resume_filename``: it was withdrawn."""

    reference: str
    received_at: datetime
    seen: bool
    resume_filename: str | None

    @classmethod
    def of(cls, state: ReceiptState) -> Self:
        """Encode a receipt."""
        return cls(
            reference=reference_of(state.submission_id),
            received_at=state.received_at,
            seen=state.is_seen,
            resume_filename=state.resume_filename,
        )


def _link(world: Outside, token: str) -> ReceiptLink:
    return ReceiptLink.read(world.receipt_signer, token)


@router.get("/{token}", response_model=ReceiptBody, responses=problems(404, 422))
async def get_receipt(world: World, token: Token) -> ReceiptBody:
    """Tell whether the submission was seen, and which resume is there."""
    return ReceiptBody.of(await read_receipt(world.sessions, _link(world, token)))


@router.put(
    "/{token}/resume",
    response_model=ReceiptBody,
    responses=problems(404, 408, 409, 413, 415, 422, 429, 503),
    openapi_extra=RESUME_SCHEMA,
)
async def put_resume(request: Request, world: World, client: Client, token: Token) -> ReceiptBody:
    """Put another document in the place of the resume."""
    link = _link(world, token)
    await take_allowance(world.sessions, world.form.per_client(world.form.hash_client(client)))
    async with world.uploads.read_resume(request) as resume, asyncio.timeout(world.settings.request_deadline):
        state = await replace_resume(world.sessions, world.store, world.scanner, link, resume)
    return ReceiptBody.of(state)


@router.delete("/{token}/resume", status_code=204, responses=problems(404, 409, 422, 503))
async def delete_resume(world: World, token: Token) -> None:
    """Withdraw the resume: it is deleted, the submission stays."""
    await withdraw_resume(world.sessions, world.store, _link(world, token))


@router.delete("/{token}", status_code=204, responses=problems(404, 422))
async def delete_receipt(world: World, token: Token) -> None:
    """Revoke the link, for instance because it got into other hands. Nobody can use it any more."""
    await revoke_link(world.sessions, _link(world, token))
