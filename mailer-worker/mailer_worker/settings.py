"""Settings of the mailer: prefix ``MAILER_``. A test prints every field, so each one is described."""

from email.headerregistry import Address, AddressHeader, HeaderRegistry
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict
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
    is_loopback,
)

ProbeSeconds = Annotated[float, Field(gt=0, le=15)]


class MailServerGroup(BaseModel):
    """Mail server: the relay that takes our mail, and what one attempt may take."""

    smtp_host: str = Field(min_length=1, description="Host name or address of the mail relay")
    smtp_port: Port = Field(25, description="Port of the mail relay")
    smtp_username: str | None = Field(None, description="User name at the relay; none: no authentication")
    smtp_password: SecretStr | None = Field(None, description="Password at the relay")
    smtp_tls: Literal["none", "starttls", "implicit"] = Field(
        "none", description="none, starttls or implicit; production refuses none unless the relay is on loopback"
    )
    smtp_deadline: Seconds = Field(
        60.0, description="Seconds one attempt may take, from connecting to the relay's answer"
    )
    smtp_lease: Seconds = Field(
        90.0,
        description="Seconds an attempt keeps its delivery; then it counts as ambiguous. More than the deadline",
    )
    from_mailbox: str = Field(
        validation_alias=AliasChoices("MAILER_FROM", "from_mailbox"),
        description="Whom the mail comes from: intake@firm.example, or Name <intake@firm.example>",
    )
    firm_name: str = Field(
        "Our Law Firm", min_length=1, max_length=80, description="The firm's name as prospects read it"
    )
    prospect_page: str = Field(
        description="Page of the firm's site that opens prospects' private links; a link's token comes behind its #"
    )
    message_id_domain: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.-]{1,120}$",
        description="Domain of Message-IDs; none: the domain of the From address",
    )

    @field_validator("from_mailbox")
    @classmethod
    def _refuse_what_is_no_mailbox(cls, value: str) -> str:
        if len(_mailboxes(value)) != 1 or not _mailboxes(value)[0].domain or not value.isprintable():
            raise ValueError("must be one address with a domain, with or without a name")
        return value

    @field_validator("prospect_page")
    @classmethod
    def _refuse_what_is_no_page(cls, value: str) -> str:
        url = urlsplit(value)
        is_plain = value.isascii() and value.isprintable() and not set(value) & set(' #<>"')
        if url.scheme not in {"http", "https"} or not url.hostname or not is_plain:
            raise ValueError("must be an http(s) address without #, such as https://www.firm.example/my-inquiry")
        return value

    @property
    def from_address(self) -> str:
        """The address in the From header and in MAIL FROM."""
        return _mailboxes(self.from_mailbox)[0].addr_spec

    @property
    def from_name(self) -> str:
        """The name in the From header."""
        return _mailboxes(self.from_mailbox)[0].display_name or self.firm_name

    @property
    def id_domain(self) -> str:
        """The domain of our Message-IDs."""
        return self.message_id_domain or _mailboxes(self.from_mailbox)[0].domain


class SenderGroup(BaseModel):
    """Sender: how many attempts at once, when the next one comes, and when it is the last."""

    sender_concurrency: Count = Field(4, description="Attempts at once in this process")
    sender_tick: Seconds = Field(
        1.0, description="Seconds between looks for due deliveries when nothing wakes the sender"
    )
    sender_grace: Annotated[float, Field(gt=0, le=12)] = Field(
        12.0, description="Seconds attempts in flight get to finish on stop; a process waits 15 for its loops"
    )
    retry_first: Seconds = Field(30.0, description="Seconds before the second attempt; doubled for each further one")
    retry_longest: Seconds = Field(1800.0, description="Seconds between attempts at most")
    expire_after: Seconds = Field(172800.0, description="Seconds after which a mail that is put off has failed")
    circuit_probe_interval: ProbeSeconds = Field(
        15.0, description="Seconds between looks at most while the relay is away"
    )
    ambiguous_policy: Literal["resend", "hold"] = Field(
        "resend",
        description="resend an attempt of unknown outcome (same Message-ID and bytes), or hold it for a person",
    )
    ambiguous_limit: Count = Field(5, description="Attempts of unknown outcome after which a delivery is held anyway")
    housekeeping_interval: Seconds = Field(3600.0, description="Seconds between rounds of the housekeeping jobs")
    contact_retention_days: Count = Field(
        30, description="Days after which a finished delivery loses names, address and mail"
    )
    suppression_secret: SecretStr = Field(
        SecretStr(""),
        description="Key of the hashes that the list of refused addresses consists of, 32 bytes or more; another "
        "one empties the list: each refused address is tried once more",
    )

    @property
    def suppression_key(self) -> bytes:
        """The key that `repository.address_hash` takes."""
        return self.suppression_secret.get_secret_value().encode()


class MailerSettings(
    DatabaseGroup,
    ConsumerGroup,
    RelayGroup,
    WatchdogGroup,
    MailServerGroup,
    SenderGroup,
    LinkKeyGroup,
    ServiceSettings,
):
    """Everything the mailer is told from outside."""

    model_config = SettingsConfigDict(env_prefix="MAILER_")

    amqp_url: SecretStr = amqp_url_field("MAILER_")
    ops_host: str = Field("127.0.0.1", description="Address of the ops port")
    ops_port: Port = Field(8070, description="Ops port: /livez, /readyz, /metrics, /internal/leads/{id}")

    @model_validator(mode="after")
    def _refuse_what_cannot_work(self) -> Self:
        if self.smtp_lease <= self.smtp_deadline:
            raise ValueError("MAILER_SMTP_LEASE must be longer than MAILER_SMTP_DEADLINE")
        if self.smtp_username and self.smtp_password is None:
            raise ValueError("MAILER_SMTP_PASSWORD is missing: MAILER_SMTP_USERNAME is set")
        if problem := self.placeholder_problem(self.smtp_password):
            raise ValueError(f"MAILER_SMTP_PASSWORD {problem}")
        if problem := self.secret_problem(self.suppression_secret):
            raise ValueError(f"MAILER_SUPPRESSION_SECRET {problem}: give 32 or more random bytes")
        if self.is_production and self.smtp_tls == "none" and not is_loopback(self.smtp_host):
            raise ValueError("MAILER_SMTP_TLS: production refuses mail without TLS to another host")
        if problem := self.secret_problem(self.link_key):
            raise ValueError(f"LEADS_LINK_KEY {problem}: give 32 or more random bytes, the same as to intake-api")
        if self.is_production and not self.prospect_page.startswith("https://"):
            raise ValueError("MAILER_PROSPECT_PAGE must be an https address in production")
        return self


def _mailboxes(value: str) -> tuple[Address, ...]:
    header = HeaderRegistry()("From", value)
    return tuple(header.addresses) if isinstance(header, AddressHeader) and not header.defects else ()
