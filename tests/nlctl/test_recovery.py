"""Whatever happens to a cluster or to what starts it: the next `up` mends all of it, and `down` leaves nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from nlctl.launch.backends.processes import Processes
from nlctl.launch.ledger import Ledger
from nlctl.launch.process import title
from tests.nlctl.conftest import Cli

UP = ("up", "--workers", "2", "--base-port", "auto")


def _ledger(cli: Cli) -> Ledger:
    return Ledger(cli.state / "clusters" / "dev")


def _pids(cli: Cli) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in cli("ps", "-o", "json").document["items"]}


def _ours(cli: Cli) -> list[str]:
    """The processes that know of this home."""
    titles = [title(int(name)) for name in os.listdir("/proc") if name.isdigit()]
    return [text for text in titles if str(cli.home) in text]


def _kill(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    import select

    assert select.select([descriptor], [], [], 60)[0]
    os.close(descriptor)


def _works(cli: Cli) -> None:
    assert cli("run", "--no-cache", "--", "/bin/echo", "it works").out == "it works\n"
    assert {one["state"] for one in cli("ps", "-o", "json").document["items"]} == {"ready"}
    cli("status")


@pytest.mark.slow
def test_up_that_is_ended_at_any_moment_leaves_what_up_and_down_can_handle(tmp_path: Path) -> None:
    """Statement 29."""
    cli = Cli(tmp_path)
    chance = random.Random(29)
    try:
        for number in range(20):
            starting = cli.popen(*UP, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.0, 2.5))
            starting.send_signal((signal.SIGINT, signal.SIGKILL, signal.SIGTERM)[number % 3])
            starting.wait(60)
        cli(*UP)
        _works(cli)
        assert len(_pids(cli)) == 4
    finally:
        cli("down", "--wipe", "--yes", code=None)
    assert list((cli.state / "clusters").iterdir()) == []
    assert _ours(cli) == []


@pytest.mark.slow
def test_of_two_ups_at_once_one_wins_and_the_other_names_it(tmp_path: Path) -> None:
    """Statement 30."""
    cli = Cli(tmp_path)
    try:
        both = [cli.popen(*UP, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
        said = [one.communicate(timeout=120)[1].decode() for one in both]
        codes = [one.returncode for one in both]
        # On a machine that is busy enough the second may begin when the first is done.
        assert sorted(codes) in ([0, 7], [0, 0])
        for loser in [number for number, code in enumerate(codes) if code == 7]:
            assert f"pid {both[1 - loser].pid}" in said[loser]
        _works(cli)
    finally:
        cli("down", "--wipe", "--yes", code=None)


@pytest.mark.slow
def test_up_mends_what_was_killed(tmp_path: Path) -> None:
    """Statement 28."""
    cli = Cli(tmp_path)
    try:
        cli(*UP)
        for part in ("cas", "scheduler", "worker-1"):
            before = _pids(cli)
            _kill(before[part])
            cli("up")
            after = _pids(cli)
            assert {name for name in after if after[name] != before[name]} == {part}
            _works(cli)
        supervisor = Processes(_ledger(cli)).supervisor()
        assert supervisor is not None
        _kill(supervisor)
        cli("up")
        _works(cli)
        supervisor = Processes(_ledger(cli)).supervisor()
        assert supervisor is not None
        for pid in (supervisor, *_pids(cli).values()):
            if title(pid):
                _kill(pid)
        cli("up")
        _works(cli)
    finally:
        cli("down", "--wipe", "--yes", code=None)
    assert _ours(cli) == []
