"""Workers that say anything at any time to a living scheduler: it goes on, and no client's operation is lost.

Every true result says which action it is of, every false one that it is forged. In the end the clients are brought
home by an honest worker: each has one result, a true one of its own action, unless it was cancelled, or the workers
that had its action failed or went away.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from google.rpc import status_pb2
from hypothesis import strategies as st
from nlserver.errors import Code
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.proto import worker_api_pb2 as api
from nlserver.reapi.digest import Digest
from nlserver.schedulers.simple import SimpleSpec

from tests.fuzz.executions import fuzz
from tests.fuzz.messages import messages
from tests.server.services.conftest import Farm, clock, farm, store

__all__ = ["clock", "farm", "store"]

METHOD = "/com.github.trace_machina.nativelink.remote_execution.WorkerApi/ConnectWorker"
FORGED = b"forged"
MOST_WORKERS = 4
MOST_RETRIES = 2
NUMBERS = itertools.count()


@dataclass
class Client:
    """One stream of an operation."""

    call: Any
    action: Digest
    name: str
    cancelled: bool = False


@dataclass
class Worker:
    """One stream to the scheduler, on which bytes are sent as they are; `holds` is what it has to run, by run."""

    call: Any
    holds: dict[str, str] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)
    ended: bool = False
    reader: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Remember every order until the stream ends."""
        with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            while (update := await self.call.read()) is not grpc.aio.EOF:
                if update.WhichOneof("update") == "start_action":
                    start = update.start_action
                    self.holds[start.operation_id] = start.execute_request.action_digest.hash
        self.ended = True

    async def say(self, data: bytes) -> None:
        """Send this, if anybody listens still."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self.call.write(data)


class Talks:
    """Clients, and workers that know no manners. What cannot be done just now is not done."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.workers: list[Worker] = []
        self.clients: list[Client] = []
        self.troubles: Counter[str] = Counter()
        self.action = self.farm.action("work", str(next(NUMBERS)))

    async def connected(self, name: str, most: int) -> Worker:
        call = self.farm.channel.stream_stream(METHOD, None, api.UpdateForWorker.FromString)()
        worker = Worker(call)
        connect = api.ConnectWorkerRequest(worker_id_prefix=name, max_inflight_tasks=most)
        await worker.say(api.UpdateForScheduler(connect_worker_request=connect).SerializeToString())
        assert (await call.read()).connection_result.worker_id.startswith(name)
        worker.reader = asyncio.create_task(worker.listen())
        return worker

    def one(self, place: int) -> Worker | None:
        """One of the workers that are connected."""
        living = [worker for worker in self.workers if not worker.ended]
        return living[place % len(living)] if living else None

    async def a_worker_joins(self, most: int) -> None:
        if sum(not worker.ended for worker in self.workers) < MOST_WORKERS:
            self.workers.append(await self.connected(f"w{len(self.workers)}-", most))

    async def a_client_asks(self, again: bool) -> None:
        """Of a new action, or of the one that was asked for before."""
        if not again:
            self.action = self.farm.action("work", str(next(NUMBERS)))
        call = self.farm.execute(self.action)
        operation, _ = await self.farm.next(call)
        self.clients.append(Client(call, self.action, operation.name))

    async def a_client_cancels(self, place: int) -> None:
        if self.clients:
            client = self.clients[place % len(self.clients)]
            client.cancelled = True
            with suppress(grpc.aio.AioRpcError):
                await self.farm.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=client.name))

    async def a_client_leaves(self, place: int) -> None:
        if self.clients:
            self.clients.pop(place % len(self.clients)).call.cancel()

    async def a_worker_answers(self, place: int, kind: str, late: bool) -> None:
        """What it was given, or what it has answered before."""
        worker = self.one(place)
        if worker is None or not (runs := worker.answered if late else list(worker.holds)):
            return
        run = runs[place % len(runs)]
        action = worker.holds.pop(run, None)
        result = api.ExecuteResult(operation_id=run)
        match kind:
            case "fails":
                result.internal_error.CopyFrom(status_pb2.Status(code=Code.INTERNAL, message="broken"))
            case "empty":
                result.execute_response.SetInParent()
            case _:
                result.execute_response.result.stdout_raw = FORGED if action is None else action.encode()
        if kind in ("fails", "empty") and action is not None:
            self.troubles[action] += 1
        worker.answered.append(run)
        for _ in range(2 if kind == "twice" else 1):
            await worker.say(api.UpdateForScheduler(execute_result=result).SerializeToString())

    async def a_worker_lies(self, place: int, whose: str, error: bool) -> None:
        """It answers what it was never given."""
        if (worker := self.one(place)) is None:
            return
        names = {
            "another's": [run for other in self.workers if other is not worker for run in other.holds],
            "a client's": [client.name for client in self.clients],
            "nobody's": ["", "nobody", "\x00", "x" * 70_000],
        }[whose]
        if not names:
            return
        result = api.ExecuteResult(operation_id=names[place % len(names)])
        if error:
            result.internal_error.CopyFrom(status_pb2.Status(code=Code.INVALID_ARGUMENT, message="forged"))
        else:
            result.execute_response.result.stdout_raw = FORGED
        await worker.say(api.UpdateForScheduler(execute_result=result).SerializeToString())

    async def a_worker_says(self, place: int, said: api.UpdateForScheduler | bytes) -> None:
        if (worker := self.one(place)) is not None:
            await worker.say(said if isinstance(said, bytes) else said.SerializeToString())

    async def a_worker_goes(self, place: int, politely: bool) -> None:
        if (worker := self.one(place)) is None:
            return
        if politely:
            going = api.UpdateForScheduler(going_away_request=api.GoingAwayRequest())
            await worker.say(going.SerializeToString())
        else:
            worker.call.cancel()

    async def time_passes(self, seconds: float) -> None:
        self.farm.wait(seconds)

    async def end(self) -> None:
        """Every rude worker goes, an honest one comes, and each client that still listens has its one end."""
        for worker in self.workers:
            worker.call.cancel()
            assert worker.reader is not None
            await worker.reader
            # What it had is given to others, or not any more.
            self.troubles.update(worker.holds.values())
        await self.farm.until(lambda: not self.farm.scheduler.workers())
        honest = await self.connected("honest", 0)
        answering = asyncio.create_task(self.answer_all(honest))
        for client in self.clients:
            self.judge(client, await self.farm.end(client.call))
        honest.call.cancel()
        answering.cancel()
        assert honest.reader is not None
        await asyncio.gather(answering, honest.reader, return_exceptions=True)
        await self.farm.until(lambda: not self.farm.scheduler.workers())

    async def answer_all(self, worker: Worker) -> None:
        while not worker.ended:
            for run in list(worker.holds):
                result = api.ExecuteResult(operation_id=run)
                result.execute_response.result.stdout_raw = worker.holds.pop(run).encode()
                await worker.say(api.UpdateForScheduler(execute_result=result).SerializeToString())
            await asyncio.sleep(0.001)

    def judge(self, client: Client, response: rx.ExecuteResponse) -> None:
        assert response.result.stdout_raw != FORGED
        if response.status.code == Code.OK:
            assert response.result.stdout_raw == client.action.hash.encode()
        elif response.status.code == Code.CANCELLED:
            assert client.cancelled
        else:
            # An order may have been on its way to a worker that went, and each such one is an attempt.
            went = sum(worker.ended for worker in self.workers)
            assert self.troubles[client.action.hash] > 0 or went > MOST_RETRIES, response


def step(deed: Callable[..., Coroutine[Any, Any, None]], *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(deed), st.tuples(*arguments))


places = st.integers(0, 9)
joins = step(Talks.a_worker_joins, st.integers(0, 2))
asks = step(Talks.a_client_asks, st.booleans())
answers = step(Talks.a_worker_answers, places, st.sampled_from(["well", "empty", "twice", "fails"]), st.booleans())
steps = st.one_of(
    joins,
    joins,
    asks,
    asks,
    asks,
    answers,
    answers,
    answers,
    step(Talks.a_client_cancels, places),
    step(Talks.a_client_leaves, places),
    step(Talks.a_worker_lies, places, st.sampled_from(["another's", "a client's", "nobody's"]), st.booleans()),
    step(Talks.a_worker_says, places, messages(api.UpdateForScheduler)),
    step(Talks.a_worker_says, places, st.binary(max_size=40)),
    step(Talks.a_worker_goes, places, st.booleans()),
    step(Talks.time_passes, st.sampled_from([0.5, 3.0, 6.0])),
)


@pytest.fixture
def scheduler_spec() -> SimpleSpec:
    return SimpleSpec(max_job_retries=MOST_RETRIES)


@fuzz(150, st.lists(steps, min_size=5, max_size=50))
async def test_whatever_workers_say_the_scheduler_goes_on_and_no_operation_is_lost(
    farm: Farm, caplog: pytest.LogCaptureFixture, course: list[tuple[Any, tuple[Any, ...]]]
) -> None:
    caplog.clear()
    talks = Talks(farm)
    for deed, arguments in course:
        await deed(talks, *arguments)
    await talks.end()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
