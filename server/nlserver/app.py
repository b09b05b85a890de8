"""The composition root: configs become a running process, and a signal becomes an orderly stop.

One process may run several configs, each with its own names, as one `nlserver A.json5 B.json5` does.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from nlserver import log
from nlserver.cluster import Config, ConfigError, judge, load, render
from nlserver.errors import Error
from nlserver.part import Part

INVALID: Final = 13
"""Exit code for a config that is wrong."""
FAILED: Final = 1
_BY_SIGNAL: Final = {signal.SIGTERM: 143, signal.SIGINT: 130}
_FILES_WANTED: Final = 24_576
READY_FD: Final = "NLSERVER_READY_FD"
"""Environment variable: the number of a descriptor that is told `READY=1` once everything serves."""


def main(paths: Sequence[Path], *, part: str = "") -> int:
    """Run these configs in this process until a signal ends it; returns the exit code.

    13 when a config is wrong, 1 when it cannot start or a part of it fails, 143 after SIGTERM and 130 after SIGINT
    as NativeLink does. `part` names the process in its log.
    """
    import uvloop

    log.configure(part)
    try:
        configs = [load(path, os.environ) for path in paths]
        problems = [problem for config in configs for problem in judge(config)]
    except ConfigError as error:
        problems = error.problems
    if any(problem.fatal for problem in problems):
        sys.stderr.write(render(problems))
        return INVALID
    _raise_file_limit(max(_files_wanted(config) for config in configs))
    return uvloop.run(_serve(configs))


def _files_wanted(config: Config) -> int:
    return (config.globals.max_open_files if config.globals else 0) or _FILES_WANTED


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= granted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


async def _serve(configs: Sequence[Config]) -> int:
    stopping: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _on_signals(stopping)
    started = time.time()
    tasks: set[asyncio.Task[None]] = set()

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        tasks.add(task)
        task.add_done_callback(lambda done: _ended(done, tasks, stopping))

    parts = [Part(config, spawn, started, version("nlctl")) for config in configs]
    try:
        for part in parts:
            await part.start()
        await _ready(parts, stopping)
        code = await stopping
    except Error as error:
        sys.stderr.write(f"error: {error}\n" + (f"  fix: {error.remedy}\n" if error.remedy else ""))
        code = FAILED
    await _stop(parts, tasks)
    return code


async def _ready(parts: Sequence[Part], stopping: asyncio.Future[int]) -> None:
    registered = asyncio.gather(*(part.registered() for part in parts))
    stopping.add_done_callback(lambda _: registered.cancel())
    try:
        await registered
    except asyncio.CancelledError:
        if not stopping.done():
            raise
        return
    if descriptor := os.environ.get(READY_FD):
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
