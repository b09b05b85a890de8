"""Clients at work: lanes that do one job after another, note what was acknowledged, and judge every answer."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.client import Client, Outcome
from nlserver.reapi.digest import Digest, of
from nlserver.reapi.outputs import plan_of, trees_of
from nlserver.reapi.tree import tree_of

from tests.faults.load import Load
from tests.faults.promises import Promises
from tests.faults.workload import Download, Job, Recall, Record, Run, Upload

JOB_SECONDS: Final = 120.0
"""The longest that a job may take, faults included: it is done by then or was refused."""
_SILENCE_SECONDS: Final = 20.0
_PLAIN: Final = frozenset(
    (
        Code.UNAVAILABLE,
        Code.DEADLINE_EXCEEDED,
        Code.RESOURCE_EXHAUSTED,
        Code.ABORTED,
        Code.CANCELLED,
        Code.FAILED_PRECONDITION,
        Code.NOT_FOUND,
        Code.INTERNAL,
    )
)
_LEAKS: Final = ("Traceback", "Unexpected <class", "Exception calling", "object at 0x", "assert ", "KeyError")


class Wrong(Exception):
    """An answer that must never come."""


class Spoiled(Exception):
    """An action that says itself that it could not do its work."""


class Stream(Load):
    """So many lanes against a cluster; `scratch` is for the input trees."""

    counted = "jobs"

    def __init__(
        self, cas: Sequence[str], executor: str, jobs: Iterator[Job], promises: Promises, scratch: Path, lanes: int = 6
    ) -> None:
        super().__init__()
        self._jobs = jobs
        self._promises = promises
        self._scratch = scratch
        self._clients = [Client(cas=one, executor=executor, timeout_seconds=_SILENCE_SECONDS) for one in cas]
        self._lanes = lanes
        self._open = asyncio.Event()
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Stream:
        for number in range(self._lanes):
            self._tasks.add(asyncio.create_task(self._lane(number), name=f"lane {number}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            await client.close()

    def resume(self) -> None:
        """Let the lanes take jobs."""
        self._open.set()

    async def pause(self) -> None:
        """Let no lane take another job, and return when the last one is over: within JOB_SECONDS."""
        self._open.clear()
        await self._idle.wait()

    async def _lane(self, number: int) -> None:
        client = self._clients[number % len(self._clients)]
        while True:
            await self._open.wait()
            job = next(self._jobs)
            self._running += 1
            self._idle.clear()
            try:
                await self._one(client, job, self._scratch / f"lane-{number}")
            finally:
                self._running -= 1
                if not self._running:
                    self._idle.set()

    async def _one(self, client: Client, job: Job, scratch: Path) -> None:
        kind = job.kind if isinstance(job, Run) else type(job).__name__.lower()
        try:
            async with asyncio.timeout(JOB_SECONDS):
                await self._do(client, job, scratch)
        except Error as error:
            if said := unclear(error):
                self.wrong.append(f"{kind}: {said}: {error!r}")
            self.errors[f"{kind}: {error.code.name}"] += 1
        except TimeoutError:
            self.wrong.append(f"{kind}: neither done nor refused after {JOB_SECONDS:g} s")
        except Spoiled:
            self.errors[f"{kind}: spoiled"] += 1
        except Wrong as wrong:
            self.wrong.append(f"{kind}: {wrong}")
        else:
            self.done[kind] += 1
        await self._came_further()

    async def _do(self, client: Client, job: Job, scratch: Path) -> None:
        match job:
            case Upload(blobs):
                for digest in await client.upload([blob.data() for blob in blobs]):
                    self._promises.blob(digest, "an upload")
            case Download(pick, offset):
                await self._download(client, pick, offset)
            case Record(key, output):
                await self._record(client, key, output.data())
            case Recall(pick):
                await self._recall(client, pick)
            case Run():
                await self._run(client, job, scratch)

    async def _download(self, client: Client, pick: float, offset: float) -> None:
        known = list(self._promises.blobs)
        if not known:
            return
        digest = known[int(pick * len(known))]
        start = int(offset * digest.size_bytes)
        got = b"".join([piece async for piece in client.stream(digest, start)])
        expect("bytes read", len(got), digest.size_bytes - start)
        if start == 0:
            expect("digest", of(got, digest.function), digest)

    async def _record(self, client: Client, key: int, output: bytes) -> None:
        action = of(b"action %d" % key)
        result = re_pb.ActionResult(exit_code=0, stdout_raw=output)
        await client.update_action_result(action, result)
        self._promises.result(action, output)

    async def _recall(self, client: Client, pick: float) -> None:
        known = list(self._promises.results)
        if not known:
            return
        action = known[int(pick * len(known))]
        wanted = self._promises.results[action]
        found = await client.action_result(action)
        if found is not None:
            expect("recorded result", found.stdout_raw, wanted)

    async def _run(self, client: Client, job: Run, scratch: Path) -> None:
        root = await asyncio.to_thread(_laid_out, job, scratch)
        outcome = await client.run(
            ["/bin/sh", "-c", job.script], input_root=root, output_paths=job.outputs, salt=b"%d" % job.salt
        )
        if self.spoils and outcome.exit_code not in (0, job.exit_code):
            raise Spoiled
        expect("exit code", outcome.exit_code, job.exit_code)
        expect("stdout", outcome.stdout, job.stdout)
        expect("stderr", outcome.stderr, job.stderr)
        files = await self._files(client, outcome)
        expect("outputs", sorted(files), sorted(job.wanted))
        for path, digest in files.items():
            expect(f"digest of {path}", digest, of(job.wanted[path]))
            self._promises.blob(digest, f"the output {path} of an action of kind {job.kind}")
        for one in job.inputs:
            self._promises.blob(of(one.content), "an input")

    async def _files(self, client: Client, outcome: Outcome) -> dict[str, Digest]:
        """The output files by path; Trees are read from the CAS."""
        function = outcome.action.function
        trees = {digest: tree_of(await client.read(digest), function) for digest in trees_of(outcome.result, function)}
        for digest in trees:
            self._promises.blob(digest, "the Tree of an action")
        plan = plan_of(outcome.result, outcome.working_directory, trees, function)
        return {file.path: file.digest for file in plan.files}


def unclear(error: Error) -> str:
    """What is wrong with an error as a client reads it; "" for a clear one."""
    text = str(error)
    if error.code not in _PLAIN:
        return f"{error.code.name} is no code for a cluster with a fault"
    if len(text) < 10:
        return "it says nothing"
    return next((f"it shows {leak!r}" for leak in _LEAKS if leak in text), "")


def expect(what: str, found: object, wanted: object) -> None:
    """Raise Wrong unless they are equal."""
    if found != wanted:
        raise Wrong(f"{what}: {found!r:.200} in place of {wanted!r:.200}")


def _laid_out(job: Run, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for one in job.inputs:
        path = folder / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.content)
        if one.program:
            path.chmod(0o755)
    return folder
