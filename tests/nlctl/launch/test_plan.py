"""A plan says what would happen to each member."""

from __future__ import annotations

from nlctl.launch.plan import Running, Sign, Wanted, steps


def test_new_changed_kept_and_removed_members_are_told_apart() -> None:
    wanted = [
        Wanted("cas", "a"),
        Wanted("scheduler", "b"),
        Wanted("worker-1", "c", edited=True),
        Wanted("worker-2", "d"),
    ]
    running = {
        "cas": Running("a", "ready"),
        "scheduler": Running("old", "ready"),
        "worker-1": Running("old", "ready"),
        "worker-3": Running("e", "ready"),
        "worker-4": Running("f", "ready"),
    }
    assert [(one.sign, one.member) for one in steps(wanted, running)] == [
        (Sign.KEEP, "cas"),
        (Sign.CHANGE, "scheduler"),
        (Sign.CHANGE, "worker-1"),
        (Sign.ADD, "worker-2"),
        (Sign.REMOVE, "worker-4"),
        (Sign.REMOVE, "worker-3"),
    ]
    assert steps(wanted, running)[2].reason == "config file was edited"


def test_a_failing_member_is_started_again_and_a_starting_one_left_alone() -> None:
    wanted = [Wanted("cas", "a"), Wanted("scheduler", "b")]
    found = steps(wanted, {"cas": Running("a", "backoff"), "scheduler": Running("b", "starting")})
    assert [one.sign for one in found] == [Sign.CHANGE, Sign.KEEP]


def test_nothing_to_do_has_no_changes() -> None:
    assert not any(one.changes for one in steps([Wanted("cas", "a")], {"cas": Running("a", "ready")}))
