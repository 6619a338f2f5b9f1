"""Where leadctl speaks to: the API with an operator's token, and the workers' ops ports.

Addresses come from options or the environment (LEADCTL_API_URL, LEADCTL_EMAIL, LEADCTL_PASSWORD or
LEADCTL_TOKEN, LEADCTL_ASSIGNMENT_OPS_URL, LEADCTL_MAILER_OPS_URL).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

TIMEOUT_S = 30.0


class Trouble(Exception):  # noqa: N818 - what an operator reads, not what went wrong in the code
    """Something an operator must know; its text is the whole message."""


class ConnectionSettings(BaseSettings):
    """Addresses and credentials of an operator."""

    model_config = SettingsConfigDict(env_prefix="LEADCTL_", hide_input_in_errors=True)

    api_url: str = Field("http://127.0.0.1:8000", description="Origin of the lead API")
    email: str = Field("", description="Operator's account, when there is no token")
    password: SecretStr = Field(SecretStr(""), description="Its password")
    token: SecretStr = Field(SecretStr(""), description="An access token, instead of an account")
    intake_ops_url: str = Field("http://127.0.0.1:8040", description="Ops port of an intake-worker")
    assignment_ops_url: str = Field("http://127.0.0.1:8050", description="Ops port of an assignment-worker")
    mailer_ops_url: str = Field("http://127.0.0.1:8070", description="Ops port of a mailer-worker")


class Connection:
    """A logged-in client of the API. Every failure is a `Trouble` that says what to do."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        try:
            self._client = httpx.Client(base_url=settings.api_url, timeout=TIMEOUT_S)
        except httpx.InvalidURL as error:
            raise Trouble(f"LEADCTL_API_URL is no address: {error}") from error

    def request(self, method: str, path: str, *, json: object = None, params: Mapping[str, Any] | None = None) -> Any:
        """Call the API; the answer's JSON, None when it has no content. Raises Trouble."""
        given = {key: value for key, value in (params or {}).items() if value is not None}
        answer = self._send(method, f"/api/v1{path}", json=json, params=given, headers=self._authorization())
        return self._read(answer) if answer.content else None

    def download(self, path: str, target: Path) -> None:
        """Write an answer's bytes to a new file that only its owner reads. Raises Trouble."""
        answer = self._send("GET", f"/api/v1{path}", headers=self._authorization())
        try:
            with target.open("xb") as file:
                target.chmod(0o600)
                file.write(answer.content)
        except OSError as error:
            raise Trouble(f"{target}: {error.strerror}") from error

    def ask_workers(self, lead_id: str) -> dict[str, Any]:
        """Ask each service for its own state of a lead: the state, or one line saying why there is none."""
        workers = {
            "intake": self._settings.intake_ops_url,
            "assignment": self._settings.assignment_ops_url,
            "mailer": self._settings.mailer_ops_url,
        }
        return {name: self._ask(url, lead_id) for name, url in workers.items()}

    def _ask(self, url: str, lead_id: str) -> Any:
        try:
            answer = self._client.get(f"{url.rstrip('/')}/internal/leads/{lead_id}")
            if answer.status_code == 404:
                return "knows no such lead"
            return answer.json() if answer.is_success else f"does not answer ({answer.status_code})"
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return f"does not answer ({type(error).__name__})"

    def _authorization(self) -> dict[str, str]:
        token = self._settings.token.get_secret_value()
        if not token:
            if not self._settings.email:
                raise Trouble("give LEADCTL_TOKEN, or LEADCTL_EMAIL and LEADCTL_PASSWORD")
            form = {"username": self._settings.email, "password": self._settings.password.get_secret_value()}
            token = str(self._read(self._send("POST", "/api/v1/auth/token", data=form))["access_token"])
            self._settings.token = SecretStr(token)
        return {"Authorization": f"Bearer {token}"}

    def _read(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise Trouble(
                f"{self._settings.api_url} does not answer as the lead API does: check the address"
            ) from error

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Trouble(f"{self._settings.api_url} does not answer ({type(error).__name__})") from error
        if answer.is_error:
            try:
                detail = answer.json()["detail"]
            except (ValueError, KeyError, TypeError):
                detail = answer.text[:200]
            raise Trouble(f"{answer.status_code}: {detail}")
        return answer
