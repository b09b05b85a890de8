"""The shape of a cluster decides its members and their configs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.launch.templates import template
from nlctl.launch.wish import Ports, Wish, checked_name, members, rendered, resized

WISH = Wish("dev", ("worker-1", "worker-2"), "10gb", Ports(1, 2, 3), Path("/tmp/x"))


def test_a_cluster_is_cas_scheduler_and_workers_that_wait_for_both() -> None:
    made = members(WISH)
    assert [one.name for one in made] == ["cas", "scheduler", "worker-1", "worker-2"]
    assert made[0].after == made[1].after == ()
    assert made[2].after == ("cas", "scheduler")


def test_rendered_configs_refer_to_no_variable_and_hold_their_values() -> None:
    for member in members(WISH):
        text = rendered(template(member.template), member.values)
        assert "$" not in text
        for value in member.values.values():
            assert value in text


def test_what_no_value_is_given_for_keeps_its_default() -> None:
    assert rendered('a: "${A:-x}", b: "${B:-y}"', {"B": "z"}) == 'a: "x", b: "z"'


@pytest.mark.parametrize("value", ['a"b', "a\\b", "$HOME", "a\nb", "a'b"])
def test_values_that_a_config_would_read_differently_are_refused(value: str) -> None:
    with pytest.raises(Fault) as caught:
        rendered("", {"DATA": value})
    assert caught.value.exit is Exit.USAGE


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "A", "a b", "x" * 41, ".hidden"])
def test_a_name_that_is_no_safe_folder_is_refused(name: str) -> None:
    with pytest.raises(Fault, match="cannot name a cluster"):
        checked_name(name)


@pytest.mark.parametrize("count", [-1, 501])
def test_numbers_of_workers_have_bounds(count: int) -> None:
    with pytest.raises(Fault):
        resized(("worker-1",), count)


def test_new_workers_take_the_lowest_free_numbers() -> None:
    assert resized((), 2) == ("worker-1", "worker-2")
    assert resized(("worker-1", "worker-4", "worker-2"), 5) == (
        "worker-1",
        "worker-4",
        "worker-2",
        "worker-3",
        "worker-5",
    )


def test_the_youngest_go_and_idle_ones_before_others() -> None:
    names = resized((), 5)
    assert resized(names, 3) == names[:3]
    assert resized(names, 3, idle={"worker-1", "worker-2", "worker-3"}) == ("worker-1", "worker-4", "worker-5")
    assert resized(names, 1, idle={"worker-1"}) == ("worker-2",)
    assert resized(names, 0) == ()
