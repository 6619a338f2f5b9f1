"""Settings: one prefix per service, and a start-up that refuses what would be unsafe in production, by name."""

from typing import Self

import pytest
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from service_chassis.settings import (
    ConsumerGroup,
    DatabaseGroup,
    Environment,
    RelayGroup,
    ServiceSettings,
    amqp_url_field,
    load,
)

PASSWORD = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
GOOD = {
    "LEADS_ENVIRONMENT": "production",
    "SAMPLE_DATABASE_URL": f"postgresql://app:{PASSWORD}@db:5432/sample?sslmode=verify-full",
    "SAMPLE_AMQP_URL": f"amqps://sample:{PASSWORD}@rabbit:5672/",
    "SAMPLE_TOKEN_KEY": PASSWORD,
}


class SampleSettings(DatabaseGroup, ConsumerGroup, RelayGroup, ServiceSettings):
    """What a service's settings look like."""

    model_config = SettingsConfigDict(env_prefix="SAMPLE_")
    amqp_url: SecretStr = amqp_url_field("SAMPLE_")
    token_key: SecretStr = Field(SecretStr(""))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problem := self.secret_problem(self.token_key):
            raise ValueError(f"SAMPLE_TOKEN_KEY {problem}")
        return self


@pytest.fixture(autouse=True)
def _good_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AMQP_URL",
        "LEADS_LOG_LEVEL",
        "LEADS_NETWORK_ENCRYPTS",
        "SAMPLE_CONSUMER_PREFETCH",
        "CONSUMER_PREFETCH",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def refused(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines with which start-up refuses."""
    with pytest.raises(SystemExit) as caught:
        load(SampleSettings)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_production_starts_with_good_settings() -> None:
    assert load(SampleSettings).is_production


def test_the_environment_is_production_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADS_ENVIRONMENT")
    assert load(SampleSettings).environment is Environment.PRODUCTION


def test_each_service_reads_its_own_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUMER_PREFETCH", "7")
    assert load(SampleSettings).consumer_prefetch == 20
    monkeypatch.setenv("SAMPLE_CONSUMER_PREFETCH", "7")
    assert load(SampleSettings).consumer_prefetch == 7


def test_amqp_url_is_the_default_of_the_services_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", f"amqps://shared:{PASSWORD}@other/")
    assert load(SampleSettings).amqp_url.get_secret_value() == GOOD["SAMPLE_AMQP_URL"]
    monkeypatch.delenv("SAMPLE_AMQP_URL")
    assert load(SampleSettings).amqp_url.get_secret_value() == f"amqps://shared:{PASSWORD}@other/"


def test_s55_secrets_are_not_shown() -> None:
    settings = load(SampleSettings)
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in str(settings)


@pytest.mark.parametrize("name", ["SAMPLE_DATABASE_URL", "SAMPLE_AMQP_URL"])
def test_a_missing_address_is_one_line_naming_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(name)
    (line,) = refused(capsys)
    assert line.startswith(f"setting {name}: ")


@pytest.mark.parametrize("name", ["SAMPLE_DATABASE_URL", "SAMPLE_AMQP_URL"])
@pytest.mark.parametrize(
    "authority",
    ["guest:guest@host", "leads:changeme@host", "leads:default@host", "leads:MyPassword1@host", "leads@host", "host"],
)
def test_production_refuses_an_address_without_a_real_password(
    name: str, authority: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, f"{GOOD[name].partition(':')[0]}://{authority}/x")
    (line,) = refused(capsys)
    assert line.startswith(f"setting {name}: production refuses")
    assert authority not in line


@pytest.mark.parametrize("name", ["SAMPLE_DATABASE_URL", "SAMPLE_AMQP_URL"])
@pytest.mark.parametrize("password", ["x", "kX3vTq9w", "kX3vTq9wkX3vTq9", "%6BX3vTq9wkX3v"])
def test_production_refuses_an_address_with_a_short_password(
    name: str, password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, f"{GOOD[name].partition(':')[0]}://leads:{password}@host/x")
    assert refused(capsys) == [f"setting {name}: production refuses a password of fewer than 16 characters in the URL"]


def test_sixteen_characters_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_DATABASE_URL", f"postgresql://app:{PASSWORD[:16]}@db/sample?sslmode=verify-full")
    assert load(SampleSettings).is_production


def test_every_node_of_a_list_needs_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMPLE_AMQP_URL", f"amqps://a:{PASSWORD}@one/,amqps://guest:guest@two/")
    (line,) = refused(capsys)
    assert "SAMPLE_AMQP_URL" in line
    monkeypatch.setenv("SAMPLE_AMQP_URL", f"amqps://a:{PASSWORD}@one/,amqps://a:short@two/")
    (line,) = refused(capsys)
    assert "SAMPLE_AMQP_URL" in line


@pytest.mark.parametrize(
    ("name", "address", "problem"),
    [
        ("SAMPLE_AMQP_URL", "amqp://a:{}@mq/", "amqp to another host: give amqps"),
        ("SAMPLE_AMQP_URL", "amqps://a:{}@one/,amqp://a:{}@10.0.0.7/", "amqp to another host: give amqps"),
        ("SAMPLE_AMQP_URL", "amqps://a:{}@mq/?no_verify_ssl=1", "no_verify_ssl"),
        ("SAMPLE_DATABASE_URL", "postgresql://a:{}@db/x", "a database on another host without sslmode=verify-full"),
        (
            "SAMPLE_DATABASE_URL",
            "postgresql://a:{}@db/x?sslmode=require",
            "a database on another host without sslmode=verify-full",
        ),
    ],
)
def test_s53_production_dials_no_other_host_unencrypted(
    name: str, address: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, address.replace("{}", PASSWORD))
    assert refused(capsys) == [f"setting {name}: production refuses {problem} in the URL"]
    monkeypatch.setenv("LEADS_NETWORK_ENCRYPTS", "true")
    assert load(SampleSettings).is_production


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_s53_this_machine_itself_may_be_dialled_unencrypted(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_AMQP_URL", f"amqp://a:{PASSWORD}@{host}:5672/")
    monkeypatch.setenv("SAMPLE_DATABASE_URL", f"postgresql://a:{PASSWORD}@{host}/x")
    assert load(SampleSettings).is_production


def test_every_wrong_setting_has_its_own_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMPLE_DATABASE_URL", "postgresql://a:guest@b/c")
    monkeypatch.setenv("SAMPLE_AMQP_URL", "amqp://guest:guest@b/")
    lines = refused(capsys)
    assert [line.split(":")[0] for line in lines] == ["setting SAMPLE_DATABASE_URL", "setting SAMPLE_AMQP_URL"]


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "is missing"),
        ("short", "is shorter than 32 bytes"),
        ("x" * 31, "is shorter than 32 bytes"),
        ("change-me-change-me-change-me-now-please", "looks like a placeholder"),
        ("this-is-the-DEFAULT-key-of-the-service-0", "looks like a placeholder"),
    ],
)
def test_s55_production_refuses_a_weak_secret(
    secret: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMPLE_TOKEN_KEY", secret)
    (line,) = refused(capsys)
    assert line == f"setting SAMPLE_TOKEN_KEY {problem}"


@pytest.mark.parametrize("environment", ["development", "test"])
def test_elsewhere_weak_secrets_will_do_but_not_none_at_all(
    environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEADS_ENVIRONMENT", environment)
    monkeypatch.setenv("SAMPLE_DATABASE_URL", "postgresql://app:short@db/sample")
    assert not load(SampleSettings).is_production
    monkeypatch.setenv("SAMPLE_DATABASE_URL", "postgresql:///sample")
    monkeypatch.setenv("SAMPLE_AMQP_URL", "amqp://guest:guest@localhost/")
    monkeypatch.setenv("SAMPLE_TOKEN_KEY", "x")
    assert not load(SampleSettings).is_production
    monkeypatch.setenv("SAMPLE_TOKEN_KEY", "")
    assert refused(capsys) == ["setting SAMPLE_TOKEN_KEY is missing"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMPLE_CONSUMER_PREFETCH", "0"),
        ("SAMPLE_RELAY_BATCH", "many"),
        ("SAMPLE_DATABASE_POOL_TIMEOUT", "-1"),
        ("SAMPLE_RELAY_PUBLISH_TIMEOUT", "16.5"),
        ("LEADS_ENVIRONMENT", "staging"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_line_that_does_not_repeat_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    (line,) = refused(capsys)
    assert line.startswith(f"setting {name}: ")
    assert f"'{value}'" not in line


def test_a_relay_does_not_wait_longer_for_a_confirm_than_its_transaction_lives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMPLE_RELAY_PUBLISH_TIMEOUT", "15")
    (line,) = refused(capsys)
    assert line.startswith("setting SAMPLE_RELAY_PUBLISH_TIMEOUT: must be less than 15: ")
    monkeypatch.setenv("SAMPLE_RELAY_PUBLISH_TIMEOUT", "14.9")
    assert load(SampleSettings).relay_publish_timeout == 14.9


def test_every_setting_says_what_it_means() -> None:
    for group in (DatabaseGroup, ConsumerGroup, RelayGroup, ServiceSettings):
        for name, field in group.model_fields.items():
            assert field.description, name
