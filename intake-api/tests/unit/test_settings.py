"""Settings come from the environment, and production takes no weak ones."""

import pytest
from intake_api.settings import IntakeSettings, ResumeStorageSettings
from pydantic import ValidationError

GOOD = {
    "INTAKE_DATABASE_URL": "postgresql://intake_app:f3k9d0s8a7w5q2z6@db/intake?sslmode=verify-full",
    "AMQP_URL": "amqps://leads:f3k9d0s8a7w5q2z6@mq/",
    "INTAKE_AUTH_SECRET": "q8Z1vX4mP0sK7dW2nB5tR9yL3hG6jC1f",
    "LEADS_LINK_KEY": "vX4mP0sK7dW2nB5tR9yL3hG6jC1fq8Z1",
    "INTAKE_LIMIT_PER_CLIENT": "20/3600",
    "INTAKE_LIMIT_PER_RECIPIENT": "5/86400",
    "INTAKE_LIMIT_OVERALL": "2000/3600",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("LEADS_ENVIRONMENT", raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_production_is_the_default_and_takes_strong_secrets(environment: pytest.MonkeyPatch) -> None:
    settings = IntakeSettings()
    assert settings.is_production
    assert settings.amqp_url.get_secret_value() == GOOD["AMQP_URL"]
    assert GOOD["INTAKE_AUTH_SECRET"] not in repr(settings)
    environment.setenv("INTAKE_AMQP_URL", "amqps://intake:f3k9d0s8a7w5q2z6@other/")
    assert "other" in IntakeSettings().amqp_url.get_secret_value()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("INTAKE_AUTH_SECRET", "", "is missing"),
        ("INTAKE_AUTH_SECRET", "short", "shorter than 32 bytes"),
        ("INTAKE_AUTH_SECRET", "please-change-me-please-change-me-now", "placeholder"),
        ("LEADS_LINK_KEY", "", "LEADS_LINK_KEY is missing"),
        ("LEADS_LINK_KEY", "short", "LEADS_LINK_KEY is shorter than 32 bytes"),
        ("LEADS_LINK_KEY", "development-default-key-of-prospects-links", "LEADS_LINK_KEY looks like a placeholder"),
        ("AMQP_URL", "amqp://guest:guest@mq/", "refuses"),
        ("INTAKE_DATABASE_URL", "postgresql://intake_app@db/intake", "refuses"),
        ("INTAKE_IDEMPOTENCY_LEASE", "10", "INTAKE_REQUEST_DEADLINE"),
        ("INTAKE_HTTP_PORT", "70000", "65535"),
        ("INTAKE_LIMIT_PER_CLIENT", "", "INTAKE_LIMIT_PER_CLIENT is missing"),
        ("INTAKE_LIMIT_PER_RECIPIENT", "off", "INTAKE_LIMIT_PER_RECIPIENT is missing"),
        ("INTAKE_LIMIT_OVERALL", "many", "<count>/<seconds>"),
        ("INTAKE_TRUSTED_PROXIES", "proxy.example", "does not appear to be an IPv4 or IPv6 network"),
        ("INTAKE_EMBED_ORIGINS", "https://www.example.com/path", "is not an origin"),
        ("INTAKE_SCANNER_URL", "clamd:3310", "tcp://host:port"),
        ("INTAKE_ORPHAN_GRACE", "10", "INTAKE_REQUEST_DEADLINE"),
        ("INTAKE_DEAD_LETTER_DAYS", "45", "must be less than 45"),
    ],
)
def test_weak_settings_are_refused_in_production(
    environment: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError, match=said):
        IntakeSettings()


def test_a_scan_ends_before_its_request(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("INTAKE_SCANNER_TIMEOUT", "60")
    IntakeSettings()
    environment.setenv("INTAKE_SCANNER_URL", "tcp://scanner:3310")
    with pytest.raises(ValidationError, match="INTAKE_SCANNER_TIMEOUT must be shorter than INTAKE_REQUEST_DEADLINE"):
        IntakeSettings()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RESUMES_S3_ENDPOINT": "127.0.0.1:9000"}, "RESUMES_S3_ENDPOINT"),
        ({"RESUMES_S3_ENDPOINT": "http://s3:8333"}, "RESUMES_S3_ENDPOINT: production refuses http to another host"),
        ({"RESUMES_S3_ACCESS_KEY": ""}, "RESUMES_S3_ACCESS_KEY"),
        ({"RESUMES_S3_SECRET_KEY": ""}, "RESUMES_S3_SECRET_KEY is missing"),
        ({"RESUMES_S3_SECRET_KEY": "short"}, "RESUMES_S3_SECRET_KEY is shorter"),
        ({"RESUMES_S3_SECRET_KEY": "change-me-change-me-change-me-change-me"}, "RESUMES_S3_SECRET_KEY looks like"),
        ({"RESUMES_STORE": "filesystem"}, "RESUMES_PATH"),
        ({"RESUMES_STORE": "tape"}, "filesystem"),
    ],
)
def test_s53_a_store_without_its_address_keys_or_tls_is_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str
) -> None:
    monkeypatch.delenv("LEADS_ENVIRONMENT", raising=False)
    good = {
        "RESUMES_S3_ENDPOINT": "https://s3:8333",
        "RESUMES_S3_ACCESS_KEY": "a",
        "RESUMES_S3_SECRET_KEY": "kD3vX8mQ1zR5tY7wB2nL9sJ4hG6fC0aE",
    }
    for name, value in {**good, **changes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=said):
        ResumeStorageSettings()
