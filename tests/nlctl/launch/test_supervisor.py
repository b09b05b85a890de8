"""A supervisor with real forks: it starts, restarts, reaps and ends its members, and none outlives it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from nlctl.faults import Fault
from nlctl.launch.backend import Report
from nlctl.launch.backends.processes import Processes
from nlctl.launch.ledger import Ledger
from nlctl.launch.process import Identity, identity, title
from nlctl.launch.roster import Wanted

TRIVIAL = Path(__file__).with_name("trivial.py")
LIMIT = 120.0


class Cluster:
    """A supervisor and the configs of its members."""

    def __init__(self, home: Path) -> None:
        self.ledger = Ledger(home)
        self.ledger.prepare()
        self.backend = Processes(self.ledger, program=[str(TRIVIAL)])

    def wanted(self, name: str, does: str = "ready", after: tuple[str, ...] = ()) -> Wanted:
        """A member that does this."""
        self.ledger.config(name).write_text(does)
        return Wanted(name, str(self.ledger.config(name)), does, after)

    def until(self, good: Callable[[dict[str, Report]], bool]) -> dict[str, Report]:
        """The members once they are as asked."""
        latest: dict[str, Report] = {}
        for report in self.backend.watch(time.monotonic() + LIMIT):
            latest[report.name] = report
            if good(latest):
                return latest
        raise AssertionError(f"never came: {latest}")

    def ready(self, *names: str) -> dict[str, Report]:
        """The members once these serve."""
        return self.until(lambda latest: all(n in latest and latest[n].state == "ready" for n in names))

    def stop(self, grace: float = 5.0) -> list[str]:
        """End everything; answers who went, in order."""
        stopped = self.backend.stop(grace, time.monotonic() + LIMIT)
        return [report.name for report in stopped if report.state == "gone"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    # A path longer than a Unix socket's address can be.
    made = Cluster(tmp_path / ("long" * 30))
    yield made
    made.stop(0.1)
    assert made.ledger.leftovers() == []


def _who(report: Report) -> Identity:
    assert report.pid is not None
    found = identity(report.pid)
    assert found is not None
    return found


def _gone(who: Identity) -> bool:
    """Whether the process ended, waiting for it."""
    try:
        descriptor = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    import select

    return bool(select.select([descriptor], [], [], LIMIT)[0])


def test_members_start_run_under_their_names_and_end_in_order(cluster: Cluster) -> None:
    cluster.backend.start()
    cluster.backend.apply([cluster.wanted("cas"), cluster.wanted("worker-1", after=("cas",))], 5)
    found = cluster.ready("cas", "worker-1")
    pids = {one.pid for one in found.values()}
    assert len(pids) == 2
    assert title(_who(found["cas"]).pid).startswith("trivial /")
    assert cluster.stop() == ["worker-1", "cas"]
    assert cluster.backend.reports() is None
    assert not (cluster.ledger.run / "supervisor.sock").exists()


def test_starting_twice_keeps_the_supervisor_and_applying_twice_keeps_the_members(cluster: Cluster) -> None:
    cluster.backend.start()
    wanted = [cluster.wanted("cas")]
    cluster.backend.apply(wanted, 5)
    first, supervisor = cluster.ready("cas")["cas"].pid, cluster.backend.supervisor()
    cluster.backend.start()
    cluster.backend.apply(wanted, 5)
    assert cluster.ready("cas")["cas"].pid == first
    assert cluster.backend.supervisor() == supervisor


def test_a_killed_member_comes_back_and_the_others_stay(cluster: Cluster) -> None:
    cluster.backend.start()
    cluster.backend.apply([cluster.wanted("cas"), cluster.wanted("scheduler")], 5)
    before = cluster.ready("cas", "scheduler")
    os.kill(_who(before["cas"]).pid, signal.SIGKILL)
    after = cluster.until(lambda latest: latest["cas"].state == "ready" and latest["cas"].pid != before["cas"].pid)
    assert after["cas"].last_exit == "signal 9"
    assert after["cas"].restarts == 1
    assert after["scheduler"].pid == before["scheduler"].pid


def test_a_member_that_ends_at_once_is_reported_with_its_exit(cluster: Cluster) -> None:
    cluster.backend.start()
    cluster.backend.apply([cluster.wanted("cas", "exit 3")], 5)
    found = cluster.until(lambda latest: latest.get("cas", Report("", "")).state == "backoff")
    assert found["cas"].last_exit == "exit 3"
    assert "cas does exit" in cluster.ledger.log("cas").read_text()


def test_a_stubborn_member_is_killed_after_its_grace(cluster: Cluster) -> None:
    cluster.backend.start()
    cluster.backend.apply([cluster.wanted("cas", "stubborn")], 5)
    who = _who(cluster.ready("cas")["cas"])
    assert cluster.stop(0.2) == ["cas"]
    assert _gone(who)


def test_no_member_outlives_a_supervisor_that_is_killed(cluster: Cluster) -> None:
    cluster.backend.start()
    cluster.backend.apply([cluster.wanted("cas"), cluster.wanted("worker-1")], 5)
    found = [_who(one) for one in cluster.ready("cas", "worker-1").values()]
    supervisor = cluster.backend.supervisor()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert all(_gone(who) for who in found)
    assert cluster.backend.reports() is None
    cluster.backend.start()
    cluster.backend.apply([cluster.wanted("cas")], 5)
    cluster.ready("cas")


def test_sigterm_ends_a_supervisor_in_order(cluster: Cluster) -> None:
    cluster.backend.start()
    cluster.backend.apply([cluster.wanted("cas")], 5)
    who = _who(cluster.ready("cas")["cas"])
    supervisor = cluster.backend.supervisor()
    assert supervisor is not None
    known = identity(supervisor)
    assert known is not None
    os.kill(supervisor, signal.SIGTERM)
    assert _gone(who)
    assert _gone(known)


def test_a_supervisor_that_is_asked_for_nothing_ends(cluster: Cluster) -> None:
    cluster.backend.start()
    supervisor = cluster.backend.supervisor()
    if supervisor is not None:
        known = identity(supervisor)
        assert known is None or _gone(known)
    assert cluster.backend.reports() is None


def test_what_a_command_asked_for_that_gave_up_waiting_is_not_started(cluster: Cluster) -> None:
    cluster.backend.start()
    cluster.backend.apply([kept := cluster.wanted("kept")], 1)
    cluster.ready("kept")
    supervisor = cluster.backend.supervisor()
    assert supervisor is not None
    late = [asdict(one) for one in (kept, cluster.wanted("late"))]
    os.kill(supervisor, signal.SIGSTOP)
    with cluster.backend._connected() as line:
        assert line is not None
        line.say({"op": "apply", "members": late, "grace_seconds": 1})
    os.kill(supervisor, signal.SIGCONT)
    assert [one.name for one in cluster.backend.reports() or ()] == ["kept"]


def test_a_supervisor_that_cannot_start_is_a_fault_with_its_log(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "c")
    ledger.prepare()
    backend = Processes(ledger, program=["-c", "raise SystemExit('no engine here')"])
    backend.start()
    with pytest.raises(Fault) as caught:
        backend.apply([], 5)
    assert "no engine here" in caught.value.log


def test_a_request_that_is_no_request_is_refused_and_does_no_harm(cluster: Cluster) -> None:
    cluster.backend.start()
    cluster.backend.apply([cluster.wanted("cas")], 5)
    cluster.ready("cas")
    with pytest.raises(Fault):
        cluster.backend.restart({"nobody": ""}, 1)
    assert cluster.ready("cas")
