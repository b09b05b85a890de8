"""Actions are matched by the properties that an operator makes of theirs."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.clock import SystemClock
from nlserver.dispatch.effects import Start
from nlserver.dispatch.model import ActionRequest, Limits, Properties, Stage, WorkerOffer
from nlserver.dispatch.properties import PropertyKind
from nlserver.reapi.digest import of
from nlserver.schedulers.property_modifier import (
    AddSpec,
    ModificationSpec,
    PropertyModifier,
    PropertyModifierSpec,
    ReplaceSpec,
    modified,
)
from nlserver.schedulers.simple import SimpleScheduler, SimpleSpec
from nlserver.spec import Site

HAS = (("os", "linux"), ("cpu", "4"))


def add(name: str, value: str) -> ModificationSpec:
    return ModificationSpec(add=AddSpec(name=name, value=value))


def remove(name: str) -> ModificationSpec:
    return ModificationSpec(remove=name)


def replace(name: str, new_name: str, value: str | None = None, new_value: str | None = None) -> ModificationSpec:
    return ModificationSpec(replace=ReplaceSpec(name=name, value=value, new_name=new_name, new_value=new_value))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], {"os": "linux", "cpu": "4"}),
        ([add("gpu", "1")], {"os": "linux", "cpu": "4", "gpu": "1"}),
        ([add("os", "mac")], {"os": "mac", "cpu": "4"}),
        ([remove("os")], {"cpu": "4"}),
        ([remove("absent")], {"os": "linux", "cpu": "4"}),
        ([replace("os", "system")], {"system": "linux", "cpu": "4"}),
        ([replace("os", "os", new_value="mac")], {"os": "mac", "cpu": "4"}),
        ([replace("os", "system", value="linux", new_value="mac")], {"system": "mac", "cpu": "4"}),
        ([replace("os", "system", value="linux", new_value="")], {"system": "", "cpu": "4"}),
        ([replace("os", "system", value="mac", new_value="x")], {"os": "linux", "cpu": "4"}),
        ([replace("absent", "os", new_value="x")], {"os": "linux", "cpu": "4"}),
        ([replace("os", "cpu")], {"cpu": "linux"}),
        ([remove("os"), add("os", "mac")], {"os": "mac", "cpu": "4"}),
        ([add("os", "mac"), remove("os")], {"cpu": "4"}),
        ([add("a", "1"), replace("a", "b"), replace("b", "c", value="1", new_value="2")], {**dict(HAS), "c": "2"}),
    ],
)
def test_changes_are_made_in_their_order(changes: list[ModificationSpec], expected: dict[str, str]) -> None:
    assert dict(modified(HAS, changes)) == expected


def test_of_a_name_that_comes_twice_the_last_value_counts() -> None:
    twice: Properties = (("os", "mac"), ("os", "linux"))
    assert modified(twice, [replace("os", "system", value="linux")]) == (("system", "linux"),)
    assert modified(twice, [replace("os", "system", value="mac")]) == (("os", "linux"),)


NAMES = st.sampled_from(["a", "b", "c"])
CHANGES = st.lists(
    st.builds(add, NAMES, NAMES)
    | st.builds(remove, NAMES)
    | st.builds(replace, NAMES, NAMES, st.none() | NAMES, st.none() | NAMES)
)


@settings(deadline=None)
@given(st.dictionaries(NAMES, NAMES), CHANGES)
def test_no_name_comes_twice_and_unnamed_properties_stay(has: dict[str, str], changes: list[ModificationSpec]) -> None:
    made = modified((*has.items(), ("other", "x")), changes)
    assert len(dict(made)) == len(made)
    assert dict(made)["other"] == "x"


async def test_actions_go_where_their_changed_properties_lead() -> None:
    simple = SimpleScheduler(Limits(), {"os": PropertyKind.EXACT, "cpu": PropertyKind.MINIMUM}, SystemClock())
    scheduler = PropertyModifier(simple, [replace("OSFamily", "os"), remove("gpu"), add("cpu", "2")])
    assert (await scheduler.abilities("")).property_names == ("OSFamily", "cpu", "gpu", "os")
    assert scheduler.takes_workers
    seat = scheduler.join(WorkerOffer("worker", (("os", "linux"), ("cpu", "2"))))
    request = ActionRequest("", of(b"action"), (("OSFamily", "linux"), ("gpu", "1"), ("cpu", "one")))
    async with aclosing(scheduler.submit(request)) as states:
        assert (await anext(states)).stage is Stage.EXECUTING
        order = await anext(aiter(seat.orders()))
    assert isinstance(order, Start)
    assert dict(order.request.properties) == {"os": "linux", "cpu": "2"}
    assert order.request.key == request.key
    await simple.close()


async def test_a_config_builds_it() -> None:
    site = Site()
    assert isinstance(PropertyModifierSpec(modifications=(), scheduler=SimpleSpec()).build(site), PropertyModifier)
    await site.close()
