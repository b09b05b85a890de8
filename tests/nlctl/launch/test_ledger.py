"""What was started is written so that a crash leaves the old or the new, and one command at a time changes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.launch.ledger import Ledger, Record, known, write
from nlctl.launch.process import identity
from nlctl.launch.wish import Ports

RECORD = Record("dev", ("worker-1", "worker-4"), "10gb", Ports(1, 2, 3), 1.5, {"cas": "abc"})
_HOLD = """
import sys
from pathlib import Path
from nlctl.launch.ledger import Ledger
with Ledger(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "clusters" / "dev")
    made.prepare()
    return made


def test_a_record_comes_back_as_it_was(ledger: Ledger) -> None:
    assert ledger.load() is None
    ledger.save(RECORD)
    assert ledger.load() == RECORD
    assert known(ledger.home.parent.parent) == ["dev"]


def test_a_record_of_the_first_schema_counts_its_workers(ledger: Ledger) -> None:
    """Statement 58."""
    old = {"schema": 1, "name": "dev", "workers": 2, "cas_size": "1gb", "created": 1.0, "generated": {}}
    ports = {"cas": 1, "scheduler": 2, "worker_api": 3}
    (ledger.home / "cluster.json").write_text(json.dumps({**old, "ports": ports}))
    assert ledger.load() == Record("dev", ("worker-1", "worker-2"), "1gb", Ports(1, 2, 3), 1.0, {})


def test_a_newer_record_is_refused_and_not_misread(ledger: Ledger) -> None:
    """Statement 58."""
    (ledger.home / "cluster.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(Fault) as caught:
        ledger.load()
    assert caught.value.exit is Exit.CONFLICT


def test_writing_leaves_no_second_file(tmp_path: Path) -> None:
    write(tmp_path / "a", "one")
    write(tmp_path / "a", "two")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "two"


def test_a_held_lock_names_its_owner_and_goes_with_it(ledger: Ledger) -> None:
    command = [sys.executable, "-c", _HOLD, str(ledger.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(Fault) as caught, ledger.locked():
            pass
        assert caught.value.exit is Exit.CONFLICT
        assert f"pid {owner.pid}" in caught.value.why
        owner.kill()
        owner.wait()
    with ledger.locked():
        pass


def test_only_processes_that_still_are_the_same_count_as_left_over(ledger: Ledger) -> None:
    me = identity(os.getpid())
    assert me is not None
    others = [{"pid": me.pid, "start": me.start}, {"pid": me.pid, "start": me.start - 1}, {"pid": 2**22, "start": 1}]
    write(ledger.run / "members.json", json.dumps(others))
    assert ledger.leftovers() == [me]


def test_forgetting_keeps_the_data_unless_told(ledger: Ledger) -> None:
    ledger.save(RECORD)
    (ledger.data / "blob").write_bytes(b"x" * 10_000)
    ledger.forget(data=False)
    assert ledger.bytes_of_data() >= 10_000
    assert ledger.exists
    ledger.forget(data=True)
    assert not ledger.home.exists()


def test_read_only_folders_of_an_action_can_be_removed(ledger: Ledger) -> None:
    folder = ledger.data / "work" / "inputs"
    folder.mkdir(parents=True)
    (folder / "a").write_text("x")
    folder.chmod(0o555)
    ledger.forget(data=True)
    assert not ledger.home.exists()
