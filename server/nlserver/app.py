"""The composition root: configs become a running process, and a signal becomes an orderly stop.

One process may run several configs, each with its own names, as one `nlserver A.json5 B.json5` does.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from nlserver import fs, log, memory, metrics
from nlserver.board import BEAT_SECONDS, Board, Phase, Row
from nlserver.cluster import Config, ConfigError, judge, load, render
from nlserver.division import indivisible
from nlserver.errors import Error
from nlserver.part import Part
from nlserver.unix_listener import UnixListener, numbered

INVALID: Final = 13
"""Exit code for a config that is wrong."""
FAILED: Final = 1
_BY_SIGNAL: Final = {signal.SIGTERM: 143, signal.SIGINT: 130}
_FILES_WANTED: Final = 24_576
READY_FD: Final = "NLSERVER_READY_FD"
"""Environment variable: the number of a descriptor that is told `READY=1` once everything serves."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How configs are run, beyond what they say.

    `part` names the process in its log. `processes` serve together. `admin_socket` is where operators ask, None for
    nowhere. `tidy` is called about once a second in each process, for whoever looks after the log's file.
    """

    part: str = ""
    processes: int = 1
    admin_socket: Path | None = None
    tidy: Callable[[], None] = lambda: None


def main(paths: Sequence[Path], manner: Manner) -> int:
    """Run these configs until a signal ends it; returns the exit code.

    13 when a config is wrong, 1 when it cannot start or a part of it fails, 143 after SIGTERM and 130 after SIGINT
    as NativeLink does.
    """
    log.configure(manner.part)
    memory.prepare()
    try:
        configs = [load(path, os.environ) for path in paths]
        problems = [problem for config in configs for problem in judge(config)]
        if manner.processes > 1:
            problems += [problem for config in configs for problem in indivisible(config)]
    except ConfigError as error:
        problems = error.problems
    if any(problem.fatal for problem in problems):
        sys.stderr.write(render(problems))
        return INVALID
    _raise_file_limit(max(_files_wanted(config) for config in configs))
    board = Board(manner.processes)
    return _serve_together(configs, board, manner) if board.shared else _serve_alone(configs, board, 0, manner)


def _serve_alone(configs: Sequence[Config], board: Board, index: int, manner: Manner) -> int:
    import uvloop

    row = board.rows[index]
    row.begin(os.getpid(), time.monotonic())
    metrics.keep_in(row.counts)
    return uvloop.run(_serve(configs, board, index, manner))


def _serve_together(configs: Sequence[Config], board: Board, manner: Manner) -> int:
    from nlserver.group import Group

    try:
        reserved = [_reserved(config) for config in configs]
    except Error as error:
        _say(error)
        return FAILED
    addressed = [config for config, _ in reserved]

    def serve(index: int, ready: int) -> int:
        if awaited := os.environ.get(READY_FD):
            os.close(int(awaited))
        os.environ[READY_FD] = str(ready)
        return _serve_alone(addressed, board, index, manner)

    return Group(board, serve, [one for _, held in reserved for one in held], _tell_ready, manner.tidy).run()


def _reserved(config: Config) -> tuple[Config, list[socket.socket]]:
    """The config with the addresses that were taken for it, and what holds them. Raises Error."""
    from nlserver.listener import reserve

    taken = [reserve(server.listener) for server in config.servers]
    servers = tuple(
        replace(server, listener=replace(server.listener, socket_address=address))
        for server, (address, _) in zip(config.servers, taken, strict=True)
    )
    return replace(config, servers=servers), [held for _, held in taken]


def _files_wanted(config: Config) -> int:
    return (config.globals.max_open_files if config.globals else 0) or _FILES_WANTED


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= granted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


async def _serve(configs: Sequence[Config], board: Board, index: int, manner: Manner) -> int:
    row = board.rows[index]
    stopping: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _on_signals(stopping)
    started = time.time()
    tasks: set[asyncio.Task[None]] = set()

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        tasks.add(task)
        task.add_done_callback(lambda done: _ended(done, tasks, stopping))

    parts = [Part(config, spawn, started, version("nlctl"), board) for config in configs]
    sockets = [_admin_socket(part, manner, index + number) for number, part in enumerate(parts)]
    try:
        for part in parts:
            await part.start()
        for socket_ in filter(None, sockets):
            await socket_.start()
        spawn(_beat(row, manner.tidy), "beat")
        await _ready(parts, stopping, row)
        code = await stopping
    except Error as error:
        _say(error)
        code = FAILED
    row.enter(Phase.DRAINING, time.monotonic())
    await _stop(parts, tasks)
    for socket_ in filter(None, sockets):
        await socket_.stop()
    return code


def _admin_socket(part: Part, manner: Manner, number: int) -> UnixListener | None:
    if manner.admin_socket is None:
        return None
    from nlserver.services import admin

    service = admin.build(part.site, part=part.describe, roles=part.roles)
    return UnixListener(numbered(manner.admin_socket, number), [service], [part.status])


def _say(error: Error) -> None:
    sys.stderr.write(f"error: {error}\n" + (f"  fix: {error.remedy}\n" if error.remedy else ""))


async def _beat(row: Row, tidy: Callable[[], None]) -> None:
    surplus = memory.Surplus()
    while True:
        now = time.monotonic()
        row.beat(now)
        tidy()
        if surplus.due(now, before := memory.resident()):
            await fs.in_thread(memory.give_back)
            surplus.gave_back(now, before - memory.resident())
        await asyncio.sleep(BEAT_SECONDS)


async def _ready(parts: Sequence[Part], stopping: asyncio.Future[int], row: Row) -> None:
    registered = asyncio.gather(*(part.registered() for part in parts))
    stopping.add_done_callback(lambda _: registered.cancel())
    try:
        await registered
    except asyncio.CancelledError:
        if not stopping.done():
            raise
        return
    row.enter(Phase.SERVING, time.monotonic())
    _tell_ready()


def _tell_ready() -> None:
    if descriptor := os.environ.pop(READY_FD, None):
        os.write(int(descriptor), b"READY=1\n")
        os.close(int(descriptor))


async def _stop(parts: Sequence[Part], tasks: set[asyncio.Task[None]]) -> None:
    await asyncio.gather(*(part.drain() for part in parts), return_exceptions=True)
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for part in reversed(parts):
        await part.close()


def _ended(task: asyncio.Task[None], tasks: set[asyncio.Task[None]], stopping: asyncio.Future[int]) -> None:
    """A task that fails takes the process down: half a server is worse than one that its supervisor restarts."""
    tasks.discard(task)
    if task.cancelled() or (failure := task.exception()) is None:
        return
    log.error("A part of this process failed", cause=failure, task=task.get_name())
    if not stopping.done():
        stopping.set_result(FAILED)


def _on_signals(stopping: asyncio.Future[int]) -> None:
    loop = asyncio.get_running_loop()

    def caught(number: signal.Signals) -> None:
        if stopping.done():
            os._exit(_BY_SIGNAL[number])
        log.info("Stopping", signal=number.name)
        stopping.set_result(_BY_SIGNAL[number])

    for number in _BY_SIGNAL:
        loop.add_signal_handler(number, caught, number)
