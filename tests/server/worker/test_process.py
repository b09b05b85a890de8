"""Processes: how they start, how they end, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from nlserver.errors import Code, Error
from nlserver.worker.runner import Ended, Ending, Task
from nlserver.worker.runners import orphans
from nlserver.worker.runners.process import ProcessRunner

SH = "/bin/sh"
HOME = {"PATH": "/usr/bin:/bin"}


def task(tmp_path: Path, *argv: str, env: Mapping[str, str] | None = None, timeout: float = 10) -> Task:
    return Task(argv, HOME if env is None else env, str(tmp_path), f"{tmp_path}/.out", f"{tmp_path}/.err", timeout)


def output(tmp_path: Path) -> str:
    return (tmp_path / ".out").read_text()


async def test_standard_input_is_empty_and_the_mask_is_the_usual_one(runner: ProcessRunner, tmp_path: Path) -> None:
    ended = await runner.run(task(tmp_path, SH, "-c", "cat; umask; ps -o sid= -p $$ | tr -d ' '; echo $$"))
    mask, session, pid = output(tmp_path).split()
    assert (ended.exit_code, mask, session) == (0, "0022", pid)


async def test_only_the_three_standard_descriptors_are_open(runner: ProcessRunner, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(other, True)
    await runner.run(task(tmp_path, SH, "-c", "ls /proc/$$/fd"))
    os.close(other)
    assert output(tmp_path).split() == ["0", "1", "2"]


async def test_arguments_pass_unchanged(runner: ProcessRunner, tmp_path: Path) -> None:
    odd = ["a b", "", "*", "$HOME", "é\n'\""]
    await runner.run(task(tmp_path, sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *odd, env={}))
    assert output(tmp_path) == f"{odd!a}\n"


async def test_too_much_output_ends_the_process_and_is_cut(tmp_path: Path, runner: ProcessRunner) -> None:
    small = ProcessRunner(runner._marks, 10, 10_000)
    ended = await small.run(task(tmp_path, "yes"))
    assert (ended.ending, ended.exit_code) == (Ending.TOO_LOUD, 137)
    assert (tmp_path / ".out").stat().st_size == 10_000
    assert "more than 10000 bytes" in (tmp_path / ".err").read_text()


async def test_a_process_that_ignores_signals_dies_at_its_time_limit(runner: ProcessRunner, tmp_path: Path) -> None:
    began = time.monotonic()
    ended = await runner.run(task(tmp_path, SH, "-c", "trap '' TERM INT HUP; while :; do sleep 1; done", timeout=0.2))
    assert (ended.ending, ended.exit_code) == (Ending.TIMED_OUT, 137)
    assert time.monotonic() - began < 40


async def test_a_stopped_process_dies_at_its_time_limit(runner: ProcessRunner, tmp_path: Path) -> None:
    assert (await runner.run(task(tmp_path, SH, "-c", "kill -STOP $$", timeout=0.2))).ending is Ending.TIMED_OUT


async def test_a_daemon_that_holds_the_output_does_not_delay_the_result(runner: ProcessRunner, tmp_path: Path) -> None:
    began = time.monotonic()
    ended = await runner.run(task(tmp_path, SH, "-c", "setsid sleep 60 & echo done"))
    assert (ended.exit_code, output(tmp_path)) == (0, "done\n")
    assert time.monotonic() - began < 40


async def test_nothing_that_was_started_is_left_not_even_dead(runner: ProcessRunner, tmp_path: Path) -> None:
    before = set(orphans._children())
    await runner.run(task(tmp_path, SH, "-c", "for i in 1 2 3; do (setsid sleep 60 & setsid true &) ; done; true"))
    assert [pid for pid in orphans._children() if pid not in before and orphans.mark_of(pid) is not None] == []


async def test_one_action_does_not_kill_the_daemons_of_another(runner: ProcessRunner, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "up")
    os.mkfifo(tmp_path / "gate")
    script = f"setsid {SH} -c 'echo > ../up; read x < ../gate; echo daemon >> daemon; echo > ../up' & read y < ../gate2"
    os.mkfifo(tmp_path / "gate2")
    long = asyncio.create_task(runner.run(task(tmp_path / "a", SH, "-c", script)))
    await asyncio.to_thread((tmp_path / "up").read_text)
    await runner.run(task(tmp_path, SH, "-c", "setsid sleep 60 & true"))
    await asyncio.to_thread((tmp_path / "gate").write_text, "go\n")
    await asyncio.to_thread((tmp_path / "up").read_text)
    await asyncio.to_thread((tmp_path / "gate2").write_text, "go\n")
    assert (await long).exit_code == 0
    assert (tmp_path / "a" / "daemon").read_text() == "daemon\n"


async def test_the_worker_itself_carries_no_mark(runner: ProcessRunner, tmp_path: Path) -> None:
    await runner.run(task(tmp_path, "true"))
    assert orphans.mark_of(os.getpid()) is None


async def test_arguments_that_the_kernel_refuses_are_invalid(runner: ProcessRunner, tmp_path: Path) -> None:
    with pytest.raises(Error) as caught:
        await runner.run(task(tmp_path, "true", "x" * (1 << 20)))
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(("content", "code"), [(b"\x7fELFbroken", 126), (b"#!/no/such/interpreter\n", 127)])
async def test_what_cannot_be_executed_says_so(
    runner: ProcessRunner, tmp_path: Path, content: bytes, code: int
) -> None:
    (tmp_path / "tool").write_bytes(content)
    (tmp_path / "tool").chmod(0o755)
    assert await runner.run(task(tmp_path, "./tool")) == Ended(code, Ending.NOT_STARTED)
    assert (tmp_path / ".err").read_text().startswith("./tool: ")


async def test_many_at_a_time_do_not_mix(runner: ProcessRunner, tmp_path: Path) -> None:
    async def one(number: int) -> int:
        own = tmp_path / str(number)
        own.mkdir()
        return (await runner.run(task(own, SH, "-c", f"exit {number}"))).exit_code

    assert await asyncio.gather(*(one(number) for number in range(40))) == list(range(40))


def test_leftovers_of_a_worker_that_was_killed_are_found_by_their_owner(tmp_path: Path) -> None:
    mine, other = orphans.Marks(11), orphans.Marks(12)
    with orphans.marking(mine.fresh()):
        left = subprocess.Popen(["setsid", "sleep", "60"])
    with orphans.marking(other.fresh()):
        kept = subprocess.Popen(["sleep", "60"])
    mine.kill_all(5)
    assert left.wait(5) == -9
    assert kept.poll() is None
    other.kill_all(5)
    assert kept.wait(5) == -9
