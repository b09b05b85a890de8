"""What `up` would do, seen from files and ports alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.launch.backend import Report
from nlctl.launch.ledger import Ledger, Record
from nlctl.launch.reconcile import Asked, plan
from nlctl.launch.wish import Ports


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "dev")
    made.prepare()
    return made


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def _recorded(ledger: Ledger, ports: Ports, workers: int = 1) -> None:
    made = plan(ledger, Asked(workers=workers, base_port="auto"), None)
    generated = {config.member.name: config.generated for config in made.configs}
    ledger.save(Record("dev", made.wish.workers, "10gb", ports, 0.0, generated))


def test_a_new_cluster_has_three_workers() -> None:
    made = plan(Ledger(Path("/nonexistent/dev")), Asked(base_port="auto"), None)
    assert made.names == ["cas", "scheduler", "worker-1", "worker-2", "worker-3"]
    assert {str(step.sign) for step in made.steps} == {"+"}


def test_taken_ports_are_replaced_by_free_ones_and_it_says_who_has_them(ledger: Ledger, taken: int) -> None:
    _recorded(ledger, Ports(taken, taken, taken))
    made = plan(ledger, Asked(), None)
    assert taken not in made.wish.ports.all()
    assert len(set(made.wish.ports.all())) == 3
    [note] = made.notes
    assert f"pid {os.getpid()}" in note
    assert str(taken) in note


def test_ports_of_a_running_cluster_are_kept_although_they_are_taken(ledger: Ledger, taken: int) -> None:
    _recorded(ledger, Ports(taken, taken, taken))
    made = plan(ledger, Asked(base_port="auto"), [Report("cas", "ready")])
    assert made.wish.ports.cas == taken
    assert made.notes == []


def test_a_taken_port_that_was_asked_for_is_a_conflict(ledger: Ledger, taken: int) -> None:
    with pytest.raises(Fault) as caught:
        plan(ledger, Asked(base_port=str(taken)), None)
    assert caught.value.exit is Exit.CONFLICT
    assert f"pid {os.getpid()}" in caught.value.why


@pytest.mark.parametrize("base", ["80", "70000", "x", "-1", ""])
def test_a_base_that_is_no_port_is_a_usage_fault(ledger: Ledger, base: str) -> None:
    with pytest.raises(Fault) as caught:
        plan(ledger, Asked(base_port=base), None)
    assert caught.value.exit is Exit.USAGE


def test_an_edited_config_is_kept_until_the_wish_itself_changes(ledger: Ledger) -> None:
    first = plan(ledger, Asked(workers=1, base_port="auto"), None)
    for config in first.configs:
        ledger.config(config.member.name).write_text(config.text)
    generated = {config.member.name: config.generated for config in first.configs}
    ledger.save(Record("dev", ("worker-1",), "10gb", first.wish.ports, 0.0, generated))
    edited = ledger.config("cas").read_text() + "// mine\n"
    ledger.config("cas").write_text(edited)
    kept = plan(ledger, Asked(), None)
    assert [config.text for config in kept.configs if config.edited] == [edited]
    with pytest.raises(Fault) as caught:
        plan(ledger, Asked(cas_size="20gb"), None)
    assert caught.value.exit is Exit.CONFLICT
    assert str(ledger.config("cas")) in caught.value.message


def test_planning_writes_nothing(ledger: Ledger) -> None:
    before = sorted(path for path in ledger.home.rglob("*"))
    plan(ledger, Asked(base_port="auto"), None)
    assert sorted(path for path in ledger.home.rglob("*")) == before
