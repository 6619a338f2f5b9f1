import json
from pathlib import Path

import pytest

from deploy.local import run_file
from deploy.local.configuration import Configuration, configure
from deploy.local.errors import StackError
from deploy.local.layout import Home

BASE = {"LEADS_PORT_BASE": "9900"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def configured(home: Home, **given: str) -> Configuration:
    return configure(home, {**BASE, **given})


def test_the_run_file_has_the_published_shape_and_is_private(home: Home) -> None:
    configuration = configured(home)
    pids = {name: [number] for number, name in enumerate(run_file.PROCESSES)}
    run_file.write(configuration, pids)
    content = json.loads(home.run_file.read_text())
    assert home.run_file.stat().st_mode & 0o777 == 0o600
    assert content["api_url"] == "http://127.0.0.1:9900"
    assert content["mail"] == {
        "smtp_host": "127.0.0.1",
        "smtp_port": 9926,
        "web_url": "http://127.0.0.1:9925",
        "imap_port": 9927,
    }
    assert content["amqp_url"].startswith("amqp://leads:")
    assert content["amqp_url"].endswith("@127.0.0.1:9911/")
    assert content["amqp_management_url"] == "http://127.0.0.1:9912"
    assert sorted(content["databases"]) == ["assignment", "intake", "mailer"]
    assert content["databases"]["intake"].endswith("@127.0.0.1:9910/intake")
    assert sorted(content["s3"]) == ["access_key", "bucket", "endpoint", "secret_key"]
    assert content["ops_urls"]["mailer"] == "http://127.0.0.1:9970"
    assert sorted(content["admin"]) == ["email", "password"]
    assert content["processes"] == pids


def test_writing_the_run_file_leaves_nothing_beside_it(home: Home) -> None:
    configuration = configured(home)
    before = sorted(home.folder.iterdir())
    run_file.write(configuration, {})
    assert sorted(home.folder.iterdir()) == sorted([*before, home.run_file])


def test_generated_secrets_are_stable_private_and_not_shared_between_homes(home: Home, tmp_path: Path) -> None:
    first = configured(home).secrets
    assert configured(home).secrets == first
    assert home.secrets_file.stat().st_mode & 0o777 == 0o600
    assert configured(Home(tmp_path / "other")).secrets != first


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"AMQP_URL": "amqp://u:p@host/"}, "rabbitmq"),
        ({"MAILER_SMTP_HOST": "host", "MAILER_SMTP_PORT": "25"}, "mail"),
        (
            {"RESUMES_S3_ENDPOINT": "http://host", "RESUMES_S3_ACCESS_KEY": "a", "RESUMES_S3_SECRET_KEY": "s"},
            "seaweedfs",
        ),
        ({f"{name}_DATABASE_URL": "postgresql://u:p@h/d" for name in ("INTAKE", "ASSIGNMENT", "MAILER")}, "postgres"),
    ],
)
def test_a_given_address_replaces_its_part_only(home: Home, given: dict[str, str], part: str) -> None:
    configuration = configured(home, **given)
    parts = {name: getattr(configuration, name) for name in ("postgres", "rabbitmq", "seaweedfs", "mail")}
    assert [name for name, started in parts.items() if started is None] == [part]
    assert {name: configuration.settings[name] for name in given} == given


def test_one_given_database_is_migrated_by_its_own_address_while_the_others_are_ours(home: Home) -> None:
    configuration = configured(home, INTAKE_DATABASE_URL="postgresql://u:p@elsewhere/i")
    assert configuration.postgres is not None
    assert configuration.settings["INTAKE_MIGRATION_DATABASE_URL"] == "postgresql://u:p@elsewhere/i"
    assert "mailer_owner:" in configuration.settings["MAILER_MIGRATION_DATABASE_URL"]
    assert "mailer_app:" in configuration.settings["MAILER_DATABASE_URL"]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"RESUMES_S3_ENDPOINT": "http://host", "RESUMES_S3_ACCESS_KEY": "a"}, "RESUMES_S3_SECRET_KEY"),
        ({"MAILER_SMTP_HOST": "host"}, "MAILER_SMTP_PORT"),
    ],
)
def test_half_an_address_is_refused_by_name(home: Home, given: dict[str, str], missing: str) -> None:
    with pytest.raises(StackError, match=missing):
        configured(home, **given)


def test_without_an_object_store_resumes_go_to_a_folder(home: Home) -> None:
    configuration = configured(home, RESUMES_STORE="filesystem")
    assert configuration.seaweedfs is None
    assert configuration.settings["RESUMES_PATH"] == str(home.data / "resumes")
    assert run_file.content(configuration, {})["s3"] == dict.fromkeys(
        ("endpoint", "access_key", "secret_key", "bucket")
    )
