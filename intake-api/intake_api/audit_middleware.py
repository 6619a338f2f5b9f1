"""Every request of somebody known, and every login, is in the audit before its answer leaves: reads included.

A use case that changes a lead records its act in its own transaction; all others are recorded here. When the row
cannot be written, the answer is withheld: 503.
"""

import contextlib
from typing import Any
from uuid import UUID

import structlog
from service_chassis.database import Sessions
from service_chassis.telemetry import log_fields
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intake_api import audit
from intake_api.problems import dependency_problem

log = structlog.get_logger(__name__)

LOGIN = "post_token"
"""The route that is audited although nobody may be known: a failed login. Guessing is throttled, so is this."""


class Audit:
    """Writes the audit row of each request when its answer begins."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        act = audit.Act(origin=audit.network_of(client[0] if client else None))
        audit.begin(act)
        withheld = False

        async def send_recorded(message: Message) -> None:
            nonlocal withheld
            if withheld:
                return
            if message["type"] == "http.response.start" and _is_audited(act, scope, message["status"]):
                try:
                    await self._record(act, scope, message["status"])
                except Exception as error:
                    if message["status"] < 500:
                        withheld = True
                        log.error("answer_withheld", reason="not audited", **log_fields(error))
                        await dependency_problem(error)(scope, receive, send)
                        return
            await send(message)

        await self._app(scope, receive, send_recorded)

    async def _record(self, act: audit.Act, scope: Scope, status: int) -> None:
        act.action = _action(scope)
        lead_id = _lead_id(scope.get("path_params") or {})
        async with self._sessions.begin() as session:
            await audit.record(session, act, lead_id=lead_id, result=status, detail={})


def _is_audited(act: audit.Act, scope: Scope, status: int) -> bool:
    if act.is_recorded and status < 400:
        return False
    return act.actor != audit.NOBODY or (_action(scope) == LOGIN and status != 429)


def _action(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "name", audit.NOBODY))


def _lead_id(parameters: dict[str, Any]) -> UUID | None:
    with contextlib.suppress(ValueError):
        return UUID(str(parameters.get("lead_id")))
    return None
