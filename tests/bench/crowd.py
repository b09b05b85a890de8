"""Whether a scheduler stays as fast with 10,000 actions under way and with 200 workers, and what it holds then.

    .venv/bin/python tests/bench/crowd.py [ACTIONS]

CAS and scheduler are real processes. Clients and workers are simulated: a worker answers each action at once, so that
nothing but the scheduler's own work is seen. Its processor time an action tells more than the rate, which the
simulation on the same cores limits.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import servers
import uvloop
from finding import figure, memory_mib, note, show
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.proto import worker_api_pb2 as wa
from nlserver.reapi.client import Client
from nlserver.reapi.digest import Digest

from nlctl.bench.serving import cpu_seconds

_EXECUTE: Final = "/build.bazel.remote.execution.v2.Execution/Execute"
_CONNECT: Final = "/com.github.trace_machina.nativelink.remote_execution.WorkerApi/ConnectWorker"
_UNDER_WAY: Final = (10, 100, 1_000, 10_000)
_WORKERS: Final = (1, 4, 50, 200)
_SLOTS: Final = 4
_CONNECTIONS: Final = 8
_FLAT: Final = 1.25
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))


@dataclass(frozen=True)
class Pace:
    """What a scheduler did in one course."""

    actions_a_second: float
    cpu_ms: float


class Crowd:
    """Clients and workers of one scheduler."""

    def __init__(self, cas: servers.Server, scheduler: servers.Server) -> None:
        self._cas = cas
        self._scheduler = scheduler
        self._salts = itertools.count()

    async def actions(self, count: int) -> list[bytes]:
        """ExecuteRequests for so many new actions, whose blobs are in the CAS."""
        async with Client(cas=self._cas.url) as client:
            command, root = await client.upload([rx.Command(arguments=["true"]).SerializeToString(), b""])
            salts = [str(next(self._salts)).encode() for _ in range(count)]
            made = [
                rx.Action(command_digest=_message(command), input_root_digest=_message(root), salt=salt)
                for salt in salts
            ]
            digests = await client.upload([action.SerializeToString() for action in made])
        requests = [rx.ExecuteRequest(action_digest=_message(digest), skip_cache_lookup=True) for digest in digests]
        return [request.SerializeToString() for request in requests]

    @asynccontextmanager
    async def workers(self, count: int, *, answering: bool = True) -> AsyncIterator[None]:
        """So many connected workers."""
        async with grpc.aio.insecure_channel(self._scheduler.addresses[1], options=_OPTIONS) as channel:
            seats = [asyncio.create_task(_work(channel, f"w{number}-", answering)) for number in range(count)]
            try:
                yield
            finally:
                for seat in seats:
                    seat.cancel()
                await asyncio.gather(*seats, return_exceptions=True)

    @asynccontextmanager
    async def executing(self, requests: list[bytes]) -> AsyncIterator[list[asyncio.Task[None]]]:
        """These actions, asked for all at once."""
        channels = [
            grpc.aio.insecure_channel(self._scheduler.addresses[0], options=_OPTIONS) for _ in range(_CONNECTIONS)
        ]
        calls = [channel.unary_stream(_EXECUTE, None, rx_operation) for channel in channels]
        tasks = [
            asyncio.create_task(_until_done(calls[place % _CONNECTIONS], request))
            for place, request in enumerate(requests)
        ]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for channel in channels:
                await channel.close()

    async def pace(self, workers: int, at_once: int, total: int) -> Pace:
        """Run `total` actions with `at_once` of them under way all the time."""
        requests = await self.actions(total)
        async with (
            self.workers(workers),
            grpc.aio.insecure_channel(self._scheduler.addresses[0], options=_OPTIONS) as channel,
        ):
            call = channel.unary_stream(_EXECUTE, None, rx_operation)
            left = iter(requests)

            async def client() -> None:
                for request in left:
                    await _until_done(call, request)

            spent, begun = cpu_seconds([self._scheduler.pid]), time.perf_counter()
            await asyncio.gather(*(client() for _ in range(at_once)))
            took = time.perf_counter() - begun
            spent = cpu_seconds([self._scheduler.pid]) - spent
        return Pace(total / took, spent / total * 1000)

    async def memory_of(self, queued: int) -> float:
        """The scheduler's PSS in MiB while so many actions wait for workers that are busy for ever."""
        requests = await self.actions(queued)
        async with self.workers(1, answering=False), self.executing(requests):
            await self._until_queued(queued)
            return memory_mib(self._scheduler.pid)

    async def _until_queued(self, count: int) -> None:
        """The processor time of the scheduler stands still once it has taken in everything."""
        before = -1.0
        while (now := cpu_seconds([self._scheduler.pid])) - before > 0.02:
            before = now
            await asyncio.sleep(1)


def rx_operation(data: bytes) -> bytes:
    """Operations stay as they are on the wire: the last one of a stream is the done one."""
    return data


async def _until_done(call: Any, request: bytes) -> None:
    stream = call(request)
    messages = 0
    while await stream.read() is not grpc.aio.EOF:
        messages += 1
    assert messages


async def _work(channel: grpc.aio.Channel, name: str, answering: bool) -> None:
    stream: Any = channel.stream_stream(
        _CONNECT, wa.UpdateForScheduler.SerializeToString, wa.UpdateForWorker.FromString
    )()
    offer = wa.ConnectWorkerRequest(worker_id_prefix=name, max_inflight_tasks=_SLOTS)
    await stream.write(wa.UpdateForScheduler(connect_worker_request=offer))
    response = rx.ExecuteResponse(result=rx.ActionResult(exit_code=0))
    while (update := await stream.read()) is not grpc.aio.EOF:
        if answering and update.WhichOneof("update") == "start_action":
            result = wa.ExecuteResult(operation_id=update.start_action.operation_id, execute_response=response)
            await stream.write(wa.UpdateForScheduler(execute_result=result))


def _message(digest: Digest) -> rx.Digest:
    return rx.Digest(hash=digest.hash, size_bytes=digest.size_bytes)


async def measure(total: int = 20_000) -> None:
    """By actions under way, by workers, and the memory of a full queue."""
    with tempfile.TemporaryDirectory() as scratch, servers.cas(Path(scratch) / "cas") as cas:
        with servers.scheduler(Path(scratch) / "scheduler", cas.addresses[0]) as scheduler:
            crowd = Crowd(cas, scheduler)
            await crowd.pace(4, 10, 500)
            under_way = {f"{count:,} under way, 4 workers": (4, count) for count in _UNDER_WAY}
            await _course(crowd, under_way, total)
            await _course(crowd, {f"{count} workers, 1,000 under way": (count, 1_000) for count in _WORKERS}, total)
        with servers.scheduler(Path(scratch) / "fresh", cas.addresses[0]) as scheduler:
            note("10,000 queued")
            show(figure("idle scheduler: PSS", [memory_mib(scheduler.pid)], "MiB"))
            held = await Crowd(cas, scheduler).memory_of(10_000)
            show(figure("scheduler with 10,000 queued actions: PSS", [held], "MiB", most=150.0))


async def _course(crowd: Crowd, shapes: Mapping[str, tuple[int, int]], total: int) -> None:
    costs = []
    for what, (workers, under_way) in shapes.items():
        note(what)
        pace = await crowd.pace(workers, under_way, max(total // 4, min(total, under_way * 2)))
        costs.append(pace.cpu_ms)
        show(figure(f"simulated, {what}", [pace.actions_a_second], "actions/s"))
        show(figure(f"simulated, {what}: the scheduler's processor time an action", [pace.cpu_ms], "ms"))
    names = list(shapes)
    show(figure(f"simulated, from {names[0]} to {names[-1]}", [costs[-1] / min(costs)], "times the cost", most=_FLAT))


if __name__ == "__main__":
    uvloop.run(measure(*map(int, sys.argv[1:])))
