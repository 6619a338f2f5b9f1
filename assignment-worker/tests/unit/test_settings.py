"""Settings come from the environment under documented names; what is wrong is one line."""

import pytest
from assignment_worker.settings import AssignmentSettings
from pydantic import SecretStr
from service_chassis.settings import Environment, load

URL = "postgresql://assignment_app:Xk29vmQ1zzpLrTw8@db:5432/assignment?sslmode=verify-full"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("ASSIGNMENT_DATABASE_URL", "ASSIGNMENT_AMQP_URL", "AMQP_URL", "LEADS_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSIGNMENT_DATABASE_URL", URL)
    monkeypatch.setenv("AMQP_URL", "amqps://leads:Yw81kslQmmv0cE5n@mq:5672/")
    return monkeypatch


def test_the_documented_names_are_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASSIGNMENT_OPS_PORT", "9050")
    environment.setenv("ASSIGNMENT_CHOICE_BATCH", "50")
    environment.setenv("LEADS_ENVIRONMENT", "test")
    settings = load(AssignmentSettings)
    assert settings.database_url == SecretStr(URL)
    assert settings.amqp_url.get_secret_value() == "amqps://leads:Yw81kslQmmv0cE5n@mq:5672/"
    assert (settings.ops_host, settings.ops_port, settings.choice_batch) == ("127.0.0.1", 9050, 50)
    assert settings.environment is Environment.TEST


def test_a_broker_of_its_own_goes_before_the_shared_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASSIGNMENT_AMQP_URL", "amqps://own:Yw81kslQmmv0cE5n@mq2:5672/")
    assert "mq2" in load(AssignmentSettings).amqp_url.get_secret_value()


def test_a_missing_database_is_one_line_and_exit_2(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.delenv("ASSIGNMENT_DATABASE_URL")
    with pytest.raises(SystemExit) as ended:
        load(AssignmentSettings)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "setting ASSIGNMENT_DATABASE_URL: Field required\n"


def test_a_batch_over_200_is_refused(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environment.setenv("ASSIGNMENT_CHOICE_BATCH", "201")
    with pytest.raises(SystemExit):
        load(AssignmentSettings)
    assert "ASSIGNMENT_CHOICE_BATCH" in capsys.readouterr().err


def test_production_refuses_a_default_broker_password(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("AMQP_URL", "amqp://guest:guest@mq:5672/")
    with pytest.raises(SystemExit):
        load(AssignmentSettings)
    shown = capsys.readouterr().err
    assert "ASSIGNMENT_AMQP_URL" in shown
    assert "guest" not in shown


def test_every_setting_says_what_it_means() -> None:
    unexplained = [name for name, field in AssignmentSettings.model_fields.items() if not field.description]
    assert unexplained == []
