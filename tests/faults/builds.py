"""A load: Bazel builds one workspace over and over, from nothing each time, with the lines that `nlctl bazelrc` writes.

Every program that is built prints a number that is known beforehand, so a build is either right, or refused with an
error, or the cluster is wrong.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nlserver.reapi.digest import of

from nlctl.clients.bazel import options
from nlctl.clients.client import Server
from tests.faults.load import Load
from tests.faults.promises import Promises
from tests.real import build
from tests.real.bazel import Bazel
from tests.real.workspace import Workspace

BUILD_SECONDS: Final = 400.0
"""The longest that a build may take, faults included: it is done by then or was refused."""
_CONFIG: Final = "nl"
_PROGRAM: Final = 1
_TARGETS: Final = (f"//app:main{_PROGRAM}", "//gen/...")
_OUTPUTS: Final = ("*.o", "*.a", "*.txt")
_BEGUN: Final = b"SUBCOMMAND: "
_DONE, _BUILD_FAILED, _REMOTE_ERROR, _REMOTE_CACHE_ERROR = 0, 1, 34, 38
_REFUSALS: Final = (_BUILD_FAILED, _REMOTE_ERROR, _REMOTE_CACHE_ERROR)
# As Bazel writes statuses of calls, and those in the responses of operations.
_REASONS: Final = {
    "UNAVAILABLE": re.compile(r"UNAVAILABLE|^Unavailable: |io exception|Connection refused", re.MULTILINE),
    "DEADLINE_EXCEEDED": re.compile("DEADLINE_EXCEEDED|^Deadline Exceeded: ", re.MULTILINE),
    "RESOURCE_EXHAUSTED": re.compile("RESOURCE_EXHAUSTED|^Resource Exhausted: ", re.MULTILINE),
    "FAILED_PRECONDITION": re.compile("FAILED_PRECONDITION|^Failed Precondition: ", re.MULTILINE),
    "ABORTED": re.compile("ABORTED|^Aborted: ", re.MULTILINE),
    "CANCELLED": re.compile("CANCELLED|^Cancelled: ", re.MULTILINE),
    "INTERNAL": re.compile("^Internal: .{10}", re.MULTILINE),
    "several": re.compile("errors during bulk transfer"),
    "evicted": re.compile("evicts files during builds|Missing digest|CacheNotFoundException|not found in the CAS"),
}
_ACTION_FAILED: Final = re.compile(r"\(Exit [1-9]\d*\): \w+ failed")
_LEAKS: Final = re.compile(r"Traceback|Unexpected <class|Exception calling|object at 0x|KeyError|FATAL: bazel crashed")
_MOST_TEXT: Final = 8_000


@dataclass(frozen=True)
class Plan:
    """One build. With `sources` another project is written before, which shares no action with the one before."""

    sources: int | None
    words: tuple[str, ...]
    brings_outputs: bool
    runs_everything: bool


def plans(seed: int) -> Iterator[Plan]:
    """The builds of this seed, in order, for ever. Pure."""
    rng = random.Random(seed)
    sources: int | None = rng.getrandbits(32)
    while True:
        again = sources is None and rng.random() < 0.5
        minimal = rng.random() < 0.2
        words = (
            *(["--noremote_accept_cached"] if again else []),
            *(["--remote_download_minimal"] if minimal else []),
        )
        yield Plan(sources, words, not minimal, sources is not None or again)
        sources = rng.getrandbits(32) if rng.random() < 0.5 else None


class Builds(Load):
    """One Bazel server, and one build after the other; `cas` and `executor` are what Bazel is told."""

    counted = "builds"
    stride = 12

    def __init__(self, cas: str, executor: str, made: Iterator[Plan], promises: Promises, home: Path) -> None:
        super().__init__()
        for needed in ("bazel", "gcc", "g++"):
            assert shutil.which(needed), f"{needed} is not installed: run `make test-real`"
        self._plans = made
        self._promises = promises
        self._home = home
        self._server = Server(cas, executor)
        self._bazel = Bazel(Workspace(home / "workspace"), home / "state")
        self._open = asyncio.Event()
        self._resting = asyncio.Event()
        self._resting.set()
        self._task: asyncio.Task[None] | None = None
        self._begun = 0
        self._number = 0
        self._troubled = False
        self._struck = False
        self._spoiled = False

    async def __aenter__(self) -> Builds:
        self._home.mkdir()
        self._task = asyncio.create_task(self._build_for_ever(), name="builds")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def resume(self) -> None:
        """Let builds begin."""
        self._open.set()

    async def pause(self) -> None:
        """Let no other build begin, and return when this one is over: within BUILD_SECONDS."""
        self._open.clear()
        await self._resting.wait()

    def trouble(self) -> None:
        """A build that this meets may be refused."""
        self._troubled = self._struck = True

    def peace(self) -> None:
        """A build that begins now must end well."""
        self._troubled = False

    def processes(self) -> Collection[int]:
        """The Bazel server."""
        return [int(path.read_text()) for path in self._home.glob("state/*/server/server.pid.txt")]

    @property
    def over(self) -> int:
        """Actions begun and builds ended."""
        return self._begun + super().over

    async def _build_for_ever(self) -> None:
        while True:
            await self._open.wait()
            self._resting.clear()
            try:
                await self._one(next(self._plans))
            except Exception as failure:
                self.wrong.append(f"a build: {type(failure).__name__}: {failure}")
            finally:
                self._resting.set()
            await self._came_further()

    async def _one(self, plan: Plan) -> None:
        self._number += 1
        self._struck, self._spoiled = self._troubled, self.spoils
        if plan.sources is not None:
            await asyncio.to_thread(self._write, plan.sources)
        kind = " ".join(("new" if plan.sources is not None else "again", *plan.words))
        code, text = await self._run("clean")
        if code == _DONE:
            code, text = await self._run("build", *_TARGETS, f"--config={_CONFIG}", "--subcommands", *plan.words)
        self._spoiled |= self.spoils
        if code == _DONE:
            self.done[kind] += 1
            if plan.brings_outputs:
                await asyncio.to_thread(self._look, plan)
            return
        reason, problem = judged(code, text, struck=self._struck, spoiled=self._spoiled)
        self.errors[f"{kind}: {reason}"] += 1
        if problem:
            path = self._home / f"build-{self._number}.log"
            path.write_text(text)
            self.wrong.append(f"build {self._number} ({kind}): {problem}; {path}:\n{_errors(text)}")

    def _write(self, sources: int) -> None:
        workspace = Workspace(self._home / "workspace", sources)
        workspace.write()
        flags = [*options(self._server), "--spawn_strategy=remote"]
        workspace.cluster("".join(f"build:{_CONFIG} {flag}\n" for flag in flags))
        self._bazel = Bazel(workspace, self._home / "state")

    def _look(self, plan: Plan) -> None:
        """Judge what was built, and remember of what the cluster said that it has it."""
        try:
            build.program_is_right(self._bazel, _PROGRAM)
            build.generated_files_are_right(self._bazel)
        except (AssertionError, OSError) as wrong:
            self.wrong.append(f"build {self._number} brought the wrong outputs: {wrong}")
        if not plan.runs_everything:
            return
        for folder in ("app", "gen", "src"):
            for pattern in _OUTPUTS:
                for path in self._bazel.output(folder).rglob(pattern):
                    self._promises.blob(of(path.read_bytes()), f"{path.name} of build {self._number}")

    async def _run(self, *words: str) -> tuple[int, str]:
        """Run Bazel to its end: the exit code, and all that it said. A TimeoutError kills it."""
        running = await asyncio.create_subprocess_exec(
            *self._bazel.command(*words),
            cwd=self._bazel.workspace.root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=16 << 20,
        )
        said = []
        assert running.stdout is not None
        try:
            async with asyncio.timeout(BUILD_SECONDS):
                async for line in running.stdout:
                    said.append(line)
                    if line.startswith(_BEGUN):
                        self._begun += 1
                        await self._came_further()
                code = await running.wait()
        except BaseException:
            running.kill()
            await running.wait()
            (self._home / "unfinished.log").write_bytes(b"".join(said))
            raise
        return code, b"".join(said).decode(errors="replace")


def judged(code: int, text: str, *, struck: bool, spoiled: bool) -> tuple[str, str]:
    """Why Bazel failed, in a word, and what is wrong with that; "" where it may be. Pure."""
    said = _errors(text)
    reasons = [name for name, pattern in _REASONS.items() if pattern.search(said)]
    if spoiled and _ACTION_FAILED.search(said):
        return "spoiled", ""
    reason = reasons[0] if reasons else f"exit {code}"
    if leak := _LEAKS.search(text):
        return reason, f"it shows {leak[0]!r}"
    if code not in _REFUSALS:
        return reason, f"exit code {code}"
    if not reasons:
        return reason, "no error that a client can read"
    if not struck and reasons != ["evicted"]:
        return reason, "it was refused although nothing was done to the cluster"
    return reason, ""


def _errors(text: str) -> str:
    """What Bazel says went wrong: lines that begin so, each with its next one, where the words of the server stand."""
    lines = text.splitlines()
    chosen = {number for number, line in enumerate(lines) if re.match(r"(ERROR|FATAL|FAILED|WARNING)\b", line)}
    found = [line for number, line in enumerate(lines) if {number, number - 1} & chosen]
    return "\n".join(found or lines[-20:])[-_MOST_TEXT:]
