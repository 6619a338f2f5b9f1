"""Whatever people, services, time and deaths do, and in whatever order: nothing lost, doubled or stuck."""

import asyncio

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from lead_model.machine import LeadMachine
from lead_model.world import World


def test_the_invariants_hold_in_every_history(world: World, runner: asyncio.Runner, model_settings: settings) -> None:
    class Machine(LeadMachine):
        pass

    Machine.world, Machine.runner = world, runner
    run_state_machine_as_test(Machine, settings=model_settings)
