"""Settings of the public form: caps, spam defence, scanner, who may embed it."""

from ipaddress import ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator
from service_chassis.settings import Count, Seconds

GIB = 1024**3
OFF = "off"
LIMITS = ("limit_per_client", "limit_per_recipient", "limit_overall")


class Rate(NamedTuple):
    """So many of something in so many seconds."""

    limit: int
    period: float


def parse_rate(text: str) -> Rate | None:
    """Read ``<count>/<seconds>``; None for ``off`` and for nothing. Raises ValueError."""
    if text in {"", OFF}:
        return None
    count, slash, period = text.partition("/")
    if not slash or not count.isdigit() or not period.isdigit() or not int(count) or not int(period):
        raise ValueError("must be <count>/<seconds>, such as 20/3600, or off")
    return Rate(int(count), float(period))


def listed(text: str) -> list[str]:
    """The parts of a list that is separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


class FormGroup(BaseModel):
    """The public form: what it may be used for, and by whom."""

    limit_per_client: str = Field(
        "", description="Submissions per client, <count>/<seconds> or off (not in production)"
    )
    limit_per_recipient: str = Field("", description="Submissions per prospect's address, likewise")
    limit_overall: str = Field("", description="Submissions of all, likewise")
    storage_quota: Count = Field(20 * GIB, description="Bytes of resumes taken in one day")
    trusted_proxies: str = Field(
        "", description="Networks (CIDR, separated by commas) whose X-Forwarded-For is believed; empty: nobody's"
    )
    embed_origins: str = Field(
        "", description="Origins (https://host, separated by commas) whose pages may call the form's routes"
    )
    form_secret: SecretStr = Field(
        SecretStr(""), description="Key of form tokens and of hashes in counters and log; empty: made from AUTH_SECRET"
    )
    form_token_lifetime: Seconds = Field(86_400.0, description="Seconds a rendered form may be filled in")
    form_minimum_time: float = Field(2.0, ge=0, description="Seconds below which nobody fills in a form")
    form_token_required: bool = Field(False, description="Quarantine submissions that carry no form token")
    phone_region: str = Field(
        "", pattern="^([A-Z]{2})?$", description="Country of phone numbers without +; empty: none"
    )
    scanner_url: str = Field("", description="clamd, tcp://host:port or unix:///path; empty: resumes are not scanned")
    scanner_timeout: Seconds = Field(10.0, description="Seconds a scan may take; then the resume is quarantined")
    scan_interval: Seconds = Field(60.0, description="Seconds between tries to scan quarantined resumes")
    capture_log_days: Count = Field(30, description="Days an attempt stays in the capture log")
    capture_log_rows: Count = Field(200_000, description="Attempts the capture log keeps at most")
    idempotency_max_keys: Count = Field(1_000_000, description="Idempotency-Keys kept at most; the oldest go first")

    @field_validator(*LIMITS)
    @classmethod
    def _check_rate(cls, value: str) -> str:
        parse_rate(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        for part in listed(value):
            ip_network(part)
        return value

    @field_validator("embed_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        for part in listed(value):
            url = urlsplit(part)
            if url.scheme not in {"http", "https"} or not url.netloc or part != f"{url.scheme}://{url.netloc}":
                raise ValueError(f"{part} is not an origin such as https://www.example.com")
        return value

    @field_validator("scanner_url")
    @classmethod
    def _check_scanner(cls, value: str) -> str:
        url = urlsplit(value)
        is_tcp = url.scheme == "tcp" and url.hostname and url.port
        if value and not is_tcp and not (url.scheme == "unix" and url.path):
            raise ValueError("must be tcp://host:port or unix:///path")
        return value

    def missing_limits(self) -> list[str]:
        """Names of caps that are not set: production does not start without them."""
        return [name for name in LIMITS if parse_rate(getattr(self, name)) is None]
