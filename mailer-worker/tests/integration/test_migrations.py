from service_chassis import migrate

from deploy.local.service_addresses import ServiceName
from deploy.local.testing import MigratedDatabase

SERVICE: ServiceName = "mailer_worker"


def test_models_and_migrations_agree(migrated_database: MigratedDatabase) -> None:
    assert migrate.differences(SERVICE, migrated_database(SERVICE).owner_url) == []


def test_down_takes_everything_and_up_brings_it_back(migrated_database: MigratedDatabase) -> None:
    url = migrated_database(SERVICE).owner_url

    migrate.downgrade(SERVICE, url)
    missing = {change[1].name for change in migrate.differences(SERVICE, url) if change[0] == "add_table"}
    migrate.upgrade(SERVICE, url)

    assert {"deliveries", "outbox", "erased_leads", "suppressions", "outreach_cancellations"} <= missing
    assert migrate.differences(SERVICE, url) == []
