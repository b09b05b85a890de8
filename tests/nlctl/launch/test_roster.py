"""The supervisor's decisions: what starts when, what ends when, and how soon the failed come back."""

from __future__ import annotations

import pytest

from nlctl.launch.roster import Changed, Effect, Roster, Start, State, Terminate, Wanted, delay_seconds

CAS = Wanted("cas", "cas.json5", "a")
SCHEDULER = Wanted("scheduler", "scheduler.json5", "a")
WORKER = Wanted("worker-1", "worker-1.json5", "a", ("cas", "scheduler"))
ALL = [CAS, SCHEDULER, WORKER]


def _starts(effects: list[Effect]) -> list[str]:
    return [one.wanted.name for one in effects if isinstance(one, Start)]


def _ends(effects: list[Effect]) -> list[tuple[str, bool]]:
    return [(one.name, one.kill) for one in effects if isinstance(one, Terminate)]


def _running(wanted: list[Wanted] | None = None) -> Roster:
    """A roster whose members all serve since second 0."""
    roster = Roster()
    roster.apply(wanted or ALL, 0, 30)
    for number, one in enumerate(wanted or ALL):
        roster.started(one.name, 100 + number, 0)
        roster.ready(one.name, 0)
    return roster


def test_workers_start_once_cas_and_scheduler_are_ready() -> None:
    roster = Roster()
    assert _starts(roster.apply(ALL, 0, 30)) == ["cas", "scheduler"]
    roster.started("cas", 1, 0)
    roster.started("scheduler", 2, 0)
    assert _starts(roster.ready("cas", 1)) == []
    assert _starts(roster.ready("scheduler", 1)) == ["worker-1"]


def test_applying_the_same_set_changes_nothing() -> None:
    assert _running().apply(ALL, 5, 30) == []


def test_a_changed_config_restarts_that_member_alone() -> None:
    roster = _running()
    changed = Wanted("worker-1", "worker-1.json5", "b", WORKER.after)
    assert _ends(roster.apply([CAS, SCHEDULER, changed], 5, 30)) == [("worker-1", False)]
    effects = roster.exited("worker-1", 143, 6)
    assert [one.wanted for one in effects if isinstance(one, Start)] == [changed]
    assert roster.units["worker-1"].runs == changed


def test_a_removed_worker_is_asked_to_end_and_killed_after_the_grace() -> None:
    roster = _running()
    assert _ends(roster.apply([CAS, SCHEDULER], 5, 30)) == [("worker-1", False)]
    assert roster.deadline() == 35
    assert _ends(roster.settle(34.9)) == []
    assert _ends(roster.settle(35)) == [("worker-1", True)]
    assert Changed("worker-1", gone=True) in roster.exited("worker-1", -9, 36)
    assert "worker-1" not in roster.units


def test_everything_ends_only_after_those_that_lean_on_it() -> None:
    roster = _running()
    assert _ends(roster.apply([], 5, 30)) == [("worker-1", False)]
    assert _ends(roster.exited("worker-1", 143, 6)) == [("cas", False), ("scheduler", False)]
    roster.exited("cas", 143, 7)
    roster.exited("scheduler", 143, 7)
    assert roster.empty


def test_a_member_that_never_started_is_gone_at_once() -> None:
    roster = Roster()
    roster.apply(ALL, 0, 30)
    assert Changed("worker-1", gone=True) in roster.apply([CAS, SCHEDULER], 1, 30)


def test_a_crash_is_answered_by_a_new_start_after_a_growing_delay() -> None:
    roster = _running([CAS])
    now = 10.0
    for failures, delay in enumerate([1, 2, 4, 8, 16, 30, 30], start=1):
        roster.exited("cas", 1, now)
        assert roster.units["cas"].state is State.BACKOFF
        assert roster.deadline() == now + delay
        assert _starts(roster.settle(now + delay - 0.1)) == []
        now += delay
        assert _starts(roster.settle(now)) == ["cas"]
        roster.started("cas", 200 + failures, now)
    assert roster.units["cas"].restarts == 7


def test_serving_for_a_minute_makes_the_delay_begin_anew() -> None:
    roster = _running([CAS])
    for _ in range(4):
        roster.exited("cas", 1, 1)
        roster.settle(100)
        roster.started("cas", 7, 100)
    roster.ready("cas", 100)
    roster.exited("cas", -11, 161)
    assert roster.deadline() == 162


def test_a_wrong_config_is_not_tried_again_until_it_changes() -> None:
    roster = _running([CAS])
    roster.exited("cas", 13, 10)
    assert roster.units["cas"].state is State.FAILED
    assert roster.deadline() is None
    assert _starts(roster.settle(1000)) == []
    assert _starts(roster.apply([Wanted("cas", "cas.json5", "b")], 1001, 30)) == ["cas"]


def test_asking_again_gives_a_failing_member_another_chance_at_once() -> None:
    roster = _running([CAS])
    roster.exited("cas", 1, 10)
    assert _starts(roster.apply([CAS], 10.1, 30)) == ["cas"]


def test_a_restart_ends_and_starts_without_a_failure() -> None:
    roster = _running([CAS])
    assert _ends(roster.restart({"cas": ""}, 5, 30)) == [("cas", False)]
    assert _starts(roster.exited("cas", 143, 6)) == ["cas"]
    assert roster.units["cas"].failures == 0


def test_restarting_everything_ends_workers_first_and_starts_them_last() -> None:
    roster = _running()
    assert _ends(roster.restart(dict.fromkeys(["cas", "scheduler", "worker-1"], ""), 5, 30)) == [("worker-1", False)]
    effects = roster.exited("worker-1", 143, 6)
    assert _ends(effects) == [("cas", False), ("scheduler", False)]
    assert _starts(effects) == []
    assert _starts(roster.exited("cas", 143, 7)) == ["cas"]
    roster.started("cas", 8, 7)
    assert _starts(roster.ready("cas", 8)) == []
    assert _starts(roster.exited("scheduler", 143, 9)) == ["scheduler"]
    roster.started("scheduler", 9, 9)
    assert _starts(roster.ready("scheduler", 10)) == ["worker-1"]


def test_restarting_a_failing_member_gives_it_another_chance_at_once() -> None:
    roster = _running([CAS])
    roster.exited("cas", 1, 5)
    assert _starts(roster.restart({"cas": ""}, 5.1, 30)) == ["cas"]
    assert roster.units["cas"].failures == 0


def test_a_member_that_says_ready_late_changes_nothing() -> None:
    roster = _running([CAS])
    roster.apply([], 5, 30)
    assert roster.ready("cas", 6) == []
    assert roster.units["cas"].state is State.STOPPING


def test_a_worker_waits_while_the_scheduler_is_being_restarted() -> None:
    roster = _running()
    roster.exited("scheduler", 1, 10)
    roster.exited("worker-1", 1, 10)
    assert _starts(roster.settle(11)) == ["scheduler"]
    roster.started("scheduler", 9, 11)
    assert _starts(roster.ready("scheduler", 12)) == ["worker-1"]


@pytest.mark.parametrize(("failures", "delay"), [(1, 1), (2, 2), (5, 16), (6, 30), (50, 30)])
def test_delays_double_up_to_half_a_minute(failures: int, delay: float) -> None:
    assert delay_seconds(failures) == delay
