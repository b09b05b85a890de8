"""The WorkerApi stream as the worker sees it: one session from registration to the loss of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

from nlserver import log
from nlserver.errors import Code, Error
from nlserver.proto import worker_api_pb2
from nlserver.reapi.channel import Duplex, Method, dial
from nlserver.reapi.endpoint import EndpointSpec

Update = worker_api_pb2.UpdateForScheduler
_Call = Duplex[worker_api_pb2.UpdateForScheduler, worker_api_pb2.UpdateForWorker]
_CONNECT: Final[Method[worker_api_pb2.UpdateForScheduler, worker_api_pb2.UpdateForWorker]] = Method(
    "/com.github.trace_machina.nativelink.remote_execution.WorkerApi/ConnectWorker",
    worker_api_pb2.UpdateForWorker.FromString,
)
# A blocked stream is given this many time-outs before the connection counts as lost.
_PATIENCE: Final = 4
_FAREWELL_SECONDS: Final = 1.0
_KEEP_ALIVE: Final = Update(keep_alive_request=worker_api_pb2.KeepAliveRequest())
_GOING_AWAY: Final = Update(going_away_request=worker_api_pb2.GoingAwayRequest())


@asynccontextmanager
async def connected(
    endpoint: EndpointSpec, timeout_seconds: float, request: worker_api_pb2.ConnectWorkerRequest
) -> AsyncIterator[Session]:
    """A registered session on a connection of its own; the connection ends with the block.

    Raises Error when the scheduler cannot be reached, does not answer in time or refuses.
    """
    # A fresh channel each time: a used one would wait out its own back-off after a restart of the scheduler.
    channel = dial(endpoint)
    try:
        call = channel.duplex(_CONNECT)
        try:
            async with aclosing(call.receive()) as updates:
                # NativeLink sends no headers before it has read the first message.
                async with _promptly(timeout_seconds, endpoint.address):
                    await call.send(Update(connect_worker_request=request))
                    worker_id = _id_in(await anext(updates, None))
                log.info("Connected to scheduler", endpoint=endpoint.address)
                yield Session(call, updates, worker_id, timeout_seconds)
        finally:
            call.cancel()
    finally:
        await channel.close()


@asynccontextmanager
async def _promptly(seconds: float, where: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Error(
            Code.DEADLINE_EXCEEDED, f"the scheduler does not answer within {seconds:g} s", where=where
        ) from None


def _id_in(first: worker_api_pb2.UpdateForWorker | None) -> str:
    if first is None:
        raise Error(Code.UNAVAILABLE, "the scheduler ended the stream before it registered the worker")
    kind = first.WhichOneof("update")
    if kind != "connection_result":
        raise Error(
            Code.INVALID_ARGUMENT,
            f"Expected first response from scheduler to be a ConnectionResult got : {kind or 'nothing'}",
        )
    return first.connection_result.worker_id


class Session:
    """A registered worker's talk with the scheduler. `tell` queues; `write` sends, and says that the worker lives."""

    def __init__(
        self,
        call: _Call,
        updates: AsyncGenerator[worker_api_pb2.UpdateForWorker, None],
        worker_id: str,
        timeout_seconds: float,
    ) -> None:
        self.worker_id = worker_id
        self._call = call
        self._updates = updates
        self._timeout = timeout_seconds
        self._queue: asyncio.Queue[worker_api_pb2.UpdateForScheduler] = asyncio.Queue()
        self._leaving = False
        self._over = asyncio.Event()

    def completed(self, operation_id: str) -> None:
        """Tell that an operation's process has ended."""
        self._queue.put_nowait(Update(execute_complete=worker_api_pb2.ExecuteComplete(operation_id=operation_id)))

    def report(self, result: worker_api_pb2.ExecuteResult) -> None:
        """Tell an operation's result; once for each, or the scheduler evicts the worker (NativeLink behaviour)."""
        self._queue.put_nowait(Update(execute_result=result))

    async def sign_off(self) -> None:
        """Tell that the worker leaves, and return when the scheduler has heard everything and ended the stream.

        One that does not end it is left after a second. Needs `write` running and `updates` read.
        """
        self._leaving = True
        self._queue.put_nowait(_GOING_AWAY)
        await self._queue.join()
        # What is under way to the scheduler dies with a call that is cancelled: the last result among it.
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._over.wait()

    async def updates(self) -> AsyncIterator[worker_api_pb2.UpdateForWorker]:
        """What the scheduler wants. Raises Error when the stream ends though the worker did not leave."""
        async for update in self._updates:
            if update.WhichOneof("update") == "connection_result":
                raise Error(Code.INVALID_ARGUMENT, "the scheduler registered this worker a second time")
            yield update
        self._over.set()
        if not self._leaving:
            raise Error(Code.UNAVAILABLE, "UpdateForWorker stream closed early")

    async def write(self) -> None:
        """Send what was told, and a keep-alive at every half of the time-out, for ever. Raises Error."""
        clock = asyncio.get_running_loop().time
        due = clock() + self._timeout / 2
        while True:
            try:
                async with asyncio.timeout_at(due):
                    update = await self._queue.get()
            except TimeoutError:
                due = clock() + self._timeout / 2
                await self._send(_KEEP_ALIVE)
            else:
                await self._send(update)
                self._queue.task_done()

    async def _send(self, update: worker_api_pb2.UpdateForScheduler) -> None:
        async with _promptly(_PATIENCE * self._timeout, self.worker_id):
            await self._call.send(update)


def connect_request(
    name: str, properties: Sequence[tuple[str, str]], max_inflight_tasks: int
) -> worker_api_pb2.ConnectWorkerRequest:
    """What a worker announces; 0 tasks mean no limit of its own."""
    request = worker_api_pb2.ConnectWorkerRequest(worker_id_prefix=name, max_inflight_tasks=max_inflight_tasks)
    for property_, value in properties:
        request.properties.add(name=property_, value=value)
    return request
