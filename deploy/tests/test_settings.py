import json

import pytest

from deploy.local import env_file, settings_table
from deploy.local.layout import ENVIRONMENTS

STACK_ONLY = {"INTAKE_SEED_ADMIN_PASSWORD"}


def known_names() -> set[str]:
    return {name for row in settings_table.rows() for name in (row.name, *row.also)}


@pytest.mark.parametrize("profile", ["dev", "test"])
def test_every_name_in_a_profile_is_a_setting_of_some_service(profile: str) -> None:
    path = ENVIRONMENTS / f"{profile}.env"
    assert set(env_file.parse(path.read_text(), path.name)) - STACK_ONLY - known_names() == set()


@pytest.mark.parametrize("profile", ["dev", "test"])
def test_profiles_hold_no_secrets(profile: str) -> None:
    path = ENVIRONMENTS / f"{profile}.env"
    secret = {row.name for row in settings_table.rows() if "secret" in row.type}
    assert set(env_file.parse(path.read_text(), path.name)) & secret == set()


def test_every_setting_says_what_it_means() -> None:
    assert [row.name for row in settings_table.rows() if not row.meaning] == []


def test_the_table_for_programs_has_the_same_rows_as_the_one_for_people() -> None:
    names = [row["name"] for row in json.loads(settings_table.as_json())]
    text = settings_table.as_text()
    assert names
    assert all(name in text for name in names)
