"""A world for each test, over fresh databases of the real migrations, and the event loop that it lives in."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from lead_model.world import SERVICES, World

from deploy.local.testing import MigratedDatabase

settings.register_profile(
    "model",
    derandomize=True,
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "deep",
    settings.get_profile("model"),
    derandomize=False,
    max_examples=int(os.environ.get("MODEL_EXAMPLES") or 1000),
    stateful_step_count=60,
    print_blob=True,
)


@pytest.fixture
def model_settings() -> settings:
    """How hard the machine looks: a fixed, short search, or with MODEL_EXAMPLES a random one of that length."""
    return settings.get_profile("deep" if os.environ.get("MODEL_EXAMPLES") else "model")


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def world(migrated_database: MigratedDatabase, runner: asyncio.Runner) -> Iterator[World]:
    world = World({service: migrated_database(service) for service in SERVICES})
    yield world
    runner.run(world.close())
