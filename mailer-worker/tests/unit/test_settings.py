import pytest
from mailer_worker.settings import MailerSettings
from pydantic import ValidationError
from service_chassis.settings import Environment, load

ENVIRONMENT = {
    "LEADS_ENVIRONMENT": "production",
    "AMQP_URL": "amqps://leads:kX3vTq9wL5sUe8Rb@broker:5672/leads",
    "MAILER_DATABASE_URL": "postgresql://mailer_app:kX3vTq9wL5sUe8Rb@db:5432/mailer?sslmode=verify-full",
    "MAILER_SMTP_HOST": "127.0.0.1",
    "MAILER_SMTP_PORT": "2525",
    "MAILER_OPS_PORT": "9070",
    "MAILER_FROM": "Intake Desk <intake@firm.example>",
    "MAILER_SUPPRESSION_SECRET": "q8Z1vX4mP0sK7dW2nB5tR9yL3hG6jC1f",
    "MAILER_PROSPECT_PAGE": "https://www.firm.example/my-inquiry",
    "LEADS_LINK_KEY": "q8Z1vX4mP0sK7dW2nB5tR9yL3hG6jC1f",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_published_names_work(environment: pytest.MonkeyPatch) -> None:
    settings = load(MailerSettings)
    assert settings.environment is Environment.PRODUCTION
    assert settings.amqp_url.get_secret_value() == ENVIRONMENT["AMQP_URL"]
    assert settings.database_url.get_secret_value() == ENVIRONMENT["MAILER_DATABASE_URL"]
    assert (settings.smtp_host, settings.smtp_port, settings.ops_port) == ("127.0.0.1", 2525, 9070)
    assert (settings.from_name, settings.from_address, settings.id_domain) == (
        "Intake Desk",
        "intake@firm.example",
        "firm.example",
    )


def test_the_defaults_are_those_of_the_design(environment: pytest.MonkeyPatch) -> None:
    settings = load(MailerSettings)
    assert (settings.smtp_deadline, settings.smtp_lease) == (60, 90)
    assert (settings.retry_first, settings.retry_longest, settings.expire_after) == (30, 1800, 172800)
    assert (settings.sender_concurrency, settings.ambiguous_policy) == (4, "resend")


def test_a_plain_address_is_named_after_the_firm(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAILER_FROM", "intake@firm.example")
    environment.setenv("MAILER_FIRM_NAME", "Diaz & Ernst")
    settings = load(MailerSettings)
    assert (settings.from_name, settings.from_address) == ("Diaz & Ernst", "intake@firm.example")


def test_our_own_broker_address_wins(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAILER_AMQP_URL", "amqps://leads:kX3vTq9wL5sUe8Rb@other:5672/")
    assert load(MailerSettings).amqp_url.get_secret_value().endswith("@other:5672/")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MAILER_SMTP_LEASE", "60", "longer than MAILER_SMTP_DEADLINE"),
        ("MAILER_SMTP_HOST", "relay.firm.example", "without TLS"),
        ("MAILER_SMTP_USERNAME", "us", "MAILER_SMTP_PASSWORD is missing"),
        ("MAILER_SMTP_PASSWORD", "ChangeMe!", "MAILER_SMTP_PASSWORD looks like a placeholder"),
        ("MAILER_DATABASE_URL", "postgresql://mailer_app:kX3vTq9w@db/mailer", "fewer than 16 characters"),
        ("MAILER_CIRCUIT_PROBE_INTERVAL", "16", "MAILER_CIRCUIT_PROBE_INTERVAL"),
        ("MAILER_AMBIGUOUS_POLICY", "guess", "MAILER_AMBIGUOUS_POLICY"),
        ("MAILER_FROM", "nobody", "MAILER_FROM"),
        ("LEADS_LINK_KEY", "", "LEADS_LINK_KEY is missing"),
        ("LEADS_LINK_KEY", "q8Z1vX4mP0sK7dW2nB5tR9yL3hG6jC1", "LEADS_LINK_KEY is shorter than 32 bytes"),
        ("LEADS_LINK_KEY", "development-default-key-of-prospects-links", "LEADS_LINK_KEY looks like a placeholder"),
        ("MAILER_PROSPECT_PAGE", "http://www.firm.example/my-inquiry", "must be an https address in production"),
        ("MAILER_PROSPECT_PAGE", "https://www.firm.example/#/my-inquiry", "without #"),
        ("MAILER_PROSPECT_PAGE", "www.firm.example", "http(s) address"),
        ("MAILER_FROM", "a@x.example, b@x.example", "MAILER_FROM"),
        ("MAILER_MESSAGE_ID_DOMAIN", "a b", "MAILER_MESSAGE_ID_DOMAIN"),
        ("MAILER_DATABASE_URL", "postgresql://mailer_app@db/mailer", "MAILER_DATABASE_URL"),
        ("AMQP_URL", "amqp://guest:guest@broker/", "AMQP_URL"),
        ("MAILER_SUPPRESSION_SECRET", "", "MAILER_SUPPRESSION_SECRET is missing"),
        ("MAILER_SUPPRESSION_SECRET", "short", "MAILER_SUPPRESSION_SECRET is shorter than 32 bytes"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load(MailerSettings)
    (line,) = capsys.readouterr().err.splitlines()
    assert (stopped.value.code, said in line) == (2, True), line


@pytest.mark.parametrize(
    "name", ["MAILER_FROM", "MAILER_PROSPECT_PAGE", "MAILER_SMTP_HOST", "MAILER_DATABASE_URL", "AMQP_URL"]
)
def test_a_missing_setting_is_named(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    environment.delenv(name)
    with pytest.raises(SystemExit):
        load(MailerSettings)
    assert name in capsys.readouterr().err


def test_tls_may_be_left_out_outside_production(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEADS_ENVIRONMENT", "test")
    environment.setenv("MAILER_SMTP_HOST", "mail")
    assert load(MailerSettings).smtp_host == "mail"


def test_a_password_at_the_relay_may_be_short_and_outside_production_anything(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAILER_SMTP_USERNAME", "us")
    environment.setenv("MAILER_SMTP_PASSWORD", "kX3v")
    assert load(MailerSettings).smtp_password is not None
    environment.setenv("LEADS_ENVIRONMENT", "development")
    environment.setenv("MAILER_SMTP_PASSWORD", "changeme")
    assert load(MailerSettings).smtp_password is not None


def test_every_setting_is_described() -> None:
    assert [name for name, field in MailerSettings.model_fields.items() if not field.description] == []


def test_a_bad_value_is_not_quoted(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAILER_FROM", "secret-thing")
    with pytest.raises(ValidationError) as caught:
        MailerSettings()
    assert "secret-thing" not in str(caught.value)
