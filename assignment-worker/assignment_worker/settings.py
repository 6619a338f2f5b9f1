"""Settings of the assignment-worker: environment variables ``ASSIGNMENT_...``, built once in the composition root."""

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from service_chassis.settings import (
    ConsumerGroup,
    DatabaseGroup,
    Port,
    RelayGroup,
    Seconds,
    ServiceSettings,
    WatchdogGroup,
    amqp_url_field,
)


class AssignmentSettings(DatabaseGroup, ConsumerGroup, RelayGroup, WatchdogGroup, ServiceSettings):
    """Everything an assignment-worker can be told."""

    model_config = SettingsConfigDict(env_prefix="ASSIGNMENT_")

    amqp_url: SecretStr = amqp_url_field("ASSIGNMENT_")
    ops_host: str = Field("127.0.0.1", description="Address of the ops port (livez, readyz, metrics, leads)")
    ops_port: Port = Field(8050, description="Ops port; each worker on one machine needs its own")
    choice_batch: Annotated[int, Field(ge=1, le=200)] = Field(
        200, description="Leads chosen for in one transaction at most"
    )
    choice_tick: Seconds = Field(10.0, description="Seconds between looks at waiting leads when nothing wakes us")
    housekeeping_interval: Seconds = Field(3600.0, description="Seconds between rounds of forgetting old messages")
