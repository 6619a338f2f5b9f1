"""Settings of intake-api's two processes (prefix ``INTAKE_``) and of the resume storage (``RESUMES_``)."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from service_chassis.inbox import RETENTION_DAYS as INBOX_DAYS
from service_chassis.prospect_link import LinkKeyGroup
from service_chassis.settings import (
    ConsumerGroup,
    Count,
    DatabaseGroup,
    Port,
    RelayGroup,
    Seconds,
    ServiceSettings,
    WatchdogGroup,
    amqp_url_field,
)

from intake_api.form_settings import FormGroup
from intake_api.lead_status import CLOSED, LeadStatus
from intake_api.signing_keys import parse_keys

MIB = 1024 * 1024

RETAINABLE = CLOSED | {LeadStatus.QUARANTINED, LeadStatus.DISCARDED, LeadStatus.OUTREACH_FAILED, LeadStatus.REACHED_OUT}
"""Statuses that retention may end. A lead that still waits for its attorney or mail never goes by age."""


class IntakeSettings(FormGroup, DatabaseGroup, ConsumerGroup, RelayGroup, WatchdogGroup, LinkKeyGroup, ServiceSettings):
    """What the HTTP process and the message process need to know."""

    model_config = SettingsConfigDict(env_prefix="INTAKE_")

    database_pool_timeout: Seconds = Field(
        15.0, description="Seconds to wait for a free connection: on a busy day requests queue rather than fail"
    )
    amqp_url: SecretStr = amqp_url_field("INTAKE_")

    http_host: str = Field("127.0.0.1", description="Address the API listens on")
    http_port: Port = Field(8000, description="Port the API listens on; several processes may share it")
    http_grace: Seconds = Field(15.0, description="Seconds requests in flight get to finish on stop")
    ops_host: str = Field("127.0.0.1", description="Address of the ops ports (probes, metrics): never public")
    api_ops_port: Port = Field(8090, description="Ops port of the HTTP process")
    worker_ops_port: Port = Field(8040, description="Ops port of the message process")

    api_docs: bool = Field(True, description="Serve /docs, /redoc and /openapi.json")

    auth_secret: SecretStr = Field(SecretStr(""), description="Key that signs access tokens (HS256), 32 bytes or more")
    auth_keys_file: Path | None = Field(
        None,
        description="Instead of the secret, a file of kid:secret lines, read again when it changes: "
        "the first key signs, all of them verify",
    )
    auth_token_lifetime: Annotated[float, Field(ge=1, le=86_400)] = Field(
        1800.0, description="Seconds an access token is valid"
    )
    auth_session_lifetime: Seconds = Field(43_200.0, description="Seconds from a login until it has to be made again")
    auth_hash_memory_kib: Annotated[int, Field(ge=19_456)] = Field(
        19_456, description="KiB that hashing one password takes (argon2id)"
    )
    auth_hash_passes: Annotated[int, Field(ge=2)] = Field(2, description="Passes of hashing one password (argon2id)")
    auth_hashes_at_once: Count = Field(2, description="Passwords hashed at once by one process")
    login_failures_per_client: Count = Field(
        30, description="Failed logins that a client has free in an hour, over all accounts; then it waits"
    )
    oidc_issuer: str = Field("", description="Issuer URL of an OpenID provider that may log staff in; empty: none")
    oidc_client_id: str = Field("", description="Our client id there: the `aud` of its ID tokens")
    auth_issuer: str = Field("intake-api", description="`iss` and `aud` of access tokens")

    upload_limit: Count = Field(10 * MIB, description="Largest resume in bytes")
    upload_deadline: Seconds = Field(60.0, description="Seconds a request's body may take to arrive")
    request_deadline: Seconds = Field(30.0, description="Seconds a submission may take once its body is here")
    idempotency_lease: Seconds = Field(60.0, description="Seconds a running submission keeps its Idempotency-Key")
    idempotency_lifetime: Seconds = Field(86400.0, description="Seconds an Idempotency-Key replays its answer")
    same_lead_window_days: Count = Field(30, description="Days in which the same address joins its open lead")

    stuck_after: Seconds = Field(900.0, description="Seconds without owner, reason or next mail that make a lead stuck")
    reconcile_interval: Seconds = Field(60.0, description="Seconds between rounds that look for stuck leads")
    orphan_grace: Seconds = Field(3600.0, description="Seconds before a resume object without a row is swept")
    sweep_interval: Seconds = Field(3600.0, description="Seconds between sweeps of the resume store")
    dead_letter_days: Count = Field(30, description="Days a dead letter is kept after its last failure")
    housekeeping_interval: Seconds = Field(600.0, description="Seconds between rounds of clean-up jobs")
    erasure_interval: Seconds = Field(10.0, description="Seconds between rounds that see erasures through")
    retention_days: dict[LeadStatus, Count] = Field(
        {}, description='Days a lead is kept in a status, as JSON: {"declined": 730}; a status not named is kept'
    )
    retention_interval: Seconds = Field(3600.0, description="Seconds between rounds of retention")
    link_lifetime: Annotated[float, Field(ge=60, le=604_800)] = Field(
        86_400.0, description="Seconds for which a link mailed to a prospect is valid"
    )
    link_interval: Seconds = Field(2.0, description="Seconds between rounds that answer wishes for prospects' links")
    roster_interval: Seconds = Field(86400.0, description="Seconds between re-statements of every attorney")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_keys()
        if problem := self.secret_problem(self.link_key):
            raise ValueError(f"LEADS_LINK_KEY {problem}: give 32 or more random bytes, the same as to mailer-worker")
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("INTAKE_OIDC_CLIENT_ID is missing: without it tokens made for others would be taken")
        if self.oidc_issuer and self.is_production and not self.oidc_issuer.startswith("https://"):
            raise ValueError("INTAKE_OIDC_ISSUER must be an https address in production")
        if unfinished := sorted(self.retention_days.keys() - RETAINABLE):
            raise ValueError(
                f"INTAKE_RETENTION_DAYS: leads still at work are not erased by age: {', '.join(unfinished)}"
            )
        if self.idempotency_lease <= self.request_deadline:
            raise ValueError("INTAKE_IDEMPOTENCY_LEASE must be longer than INTAKE_REQUEST_DEADLINE")
        if self.orphan_grace < 2 * self.request_deadline:
            # A sweep must never meet a resume whose commit is still to come; the rest allows for clocks that differ.
            raise ValueError("INTAKE_ORPHAN_GRACE must be at least twice INTAKE_REQUEST_DEADLINE")
        if self.dead_letter_days >= INBOX_DAYS:
            raise ValueError(
                f"INTAKE_DEAD_LETTER_DAYS must be less than {INBOX_DAYS}: no hearer knows a later replay for a repeat"
            )
        self._check_form()
        return self

    def _check_form(self) -> None:
        if self.is_production and (missing := self.missing_limits()):
            raise ValueError(
                "\n".join(
                    f"INTAKE_{name.upper()} is missing: give <count>/<seconds>, such as 20/3600" for name in missing
                )
            )
        if self.form_secret.get_secret_value():
            if problem := self.secret_problem(self.form_secret):
                raise ValueError(f"INTAKE_FORM_SECRET {problem}: give 32 or more random bytes")
        elif self.is_production and not self.auth_secret.get_secret_value():
            raise ValueError("INTAKE_FORM_SECRET is missing: give 32 or more random bytes")
        if self.scanner_url and self.scanner_timeout >= self.request_deadline:
            raise ValueError("INTAKE_SCANNER_TIMEOUT must be shorter than INTAKE_REQUEST_DEADLINE")

    def _check_keys(self) -> None:
        if self.auth_keys_file is None:
            if problem := self.secret_problem(self.auth_secret):
                raise ValueError(f"INTAKE_AUTH_SECRET {problem}: give 32 or more random bytes")
            return
        try:
            parse_keys(self.auth_keys_file.read_text(encoding="utf-8"), self.secret_problem)
        except OSError as error:
            raise ValueError(f"INTAKE_AUTH_KEYS_FILE cannot be read ({type(error).__name__})") from error
        except ValueError as error:
            raise ValueError(f"INTAKE_AUTH_KEYS_FILE: {error}") from error


class StoreKind(StrEnum):
    """Where resumes are kept."""

    S3 = "s3"
    FILESYSTEM = "filesystem"


class ResumeStorageSettings(ServiceSettings):
    """Where resumes go: any S3, or a folder on one machine."""

    model_config = SettingsConfigDict(env_prefix="RESUMES_")

    store: StoreKind = Field(StoreKind.S3, description="s3 or filesystem")
    path: Path | None = Field(None, description="Folder of the filesystem store")
    s3_endpoint: str = Field("", description="http(s)://host:port of the S3 service")
    s3_access_key: str = Field("", description="S3 access key")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="S3 secret key")
    s3_bucket: str = Field("resumes", description="Bucket, made when missing")
    s3_region: str = Field("us-east-1", description="S3 region")
    s3_timeout: Seconds = Field(10.0, description="Seconds to wait for the S3 service to answer")
    concurrency: Count = Field(4, description="Transfers at once per process; each may hold one resume in memory")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.store is StoreKind.FILESYSTEM and self.path is None:
            raise ValueError("RESUMES_PATH is missing: give the folder of the filesystem store")
        if self.store is StoreKind.S3:
            if not self.s3_endpoint.startswith(("http://", "https://")):
                raise ValueError("RESUMES_S3_ENDPOINT is missing or not an http(s) address")
            if problem := self.plain_hop_problem(self.s3_endpoint):
                raise ValueError(f"RESUMES_S3_ENDPOINT: production refuses {problem}")
            if not self.s3_access_key:
                raise ValueError("RESUMES_S3_ACCESS_KEY is missing: S3 without keys lets everyone in")
            if problem := self.secret_problem(self.s3_secret_key):
                raise ValueError(f"RESUMES_S3_SECRET_KEY {problem}: give 32 or more random bytes")
        return self
