import pytest

from deploy.local.errors import StackError
from deploy.local.ports import PortPlan


def every_port(plan: PortPlan) -> list[int]:
    groups = (plan.rabbitmq, plan.mail, plan.seaweedfs)
    ports = [plan.api, plan.postgres, *(getattr(group, name) for group in groups for name in group.__slots__)]
    for process, room in (("intake-worker", 10), ("assignment-worker", 20), ("mailer-worker", 20), ("intake-api", 10)):
        ports += [plan.ops(process, index) for index in range(room)]
    return ports


def test_no_two_parts_share_a_port() -> None:
    ports = every_port(PortPlan(8000))
    assert len(ports) == len(set(ports))


def test_stacks_a_hundred_apart_never_meet() -> None:
    assert set(every_port(PortPlan(8000))).isdisjoint(every_port(PortPlan(8100)))


def test_published_ports_are_where_the_readme_says() -> None:
    plan = PortPlan.from_environment({})
    assert (plan.api, plan.mail.web) == (8000, 8025)


@pytest.mark.parametrize("base", ["", "9100"])
def test_the_base_comes_from_the_environment(base: str) -> None:
    assert PortPlan.from_environment({"LEADS_PORT_BASE": base}).base == int(base or "8000")


@pytest.mark.parametrize("base", ["80", "65500", "eight thousand", "-1", "8000.5", "٨٠٠٠"])
def test_a_useless_base_is_refused_by_name(base: str) -> None:
    with pytest.raises(StackError, match="LEADS_PORT_BASE"):
        PortPlan.from_environment({"LEADS_PORT_BASE": base})


def test_more_workers_than_the_plan_has_room_for_are_refused() -> None:
    with pytest.raises(StackError, match="at most 20 assignment-worker"):
        PortPlan().ops("assignment-worker", 20)
