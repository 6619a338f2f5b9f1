"""PostgreSQL's own log is a log too: of a refused row it must not hold the row (docs/design.md, invariant 10)."""

import asyncpg
import pytest

from deploy.local.testing import MigratedDatabase


@pytest.mark.parametrize("role", ["app_url", "owner_url"])
async def test_the_server_logs_no_details_of_our_roles_errors(role: str, migrated_database: MigratedDatabase) -> None:
    connection = await asyncpg.connect(getattr(migrated_database("mailer_worker"), role))
    try:
        assert await connection.fetchval("SHOW log_error_verbosity") == "terse"
        # Values of parameters are not logged with a failed statement either: PostgreSQL's default, relied upon.
        assert await connection.fetchval("SHOW log_parameter_max_length_on_error") == "0"
    finally:
        await connection.close()
