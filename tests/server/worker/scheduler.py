"""A scheduler that follows the test's script, over real gRPC on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from nlserver.proto import worker_api_pb2 as api
from nlserver.proto import worker_api_pb2_grpc


class Talk:
    """One connection of a worker: `said` holds its messages, `tell` sends, `hang_up` ends the stream."""

    def __init__(self, first: api.UpdateForScheduler) -> None:
        self.offer = first.connect_worker_request
        self.first = first
        self.keep_alives = 0
        self.said: asyncio.Queue[api.UpdateForScheduler | None] = asyncio.Queue()
        self.orders: asyncio.Queue[api.UpdateForWorker | None] = asyncio.Queue()

    def tell(self, **update: object) -> None:
        self.orders.put_nowait(api.UpdateForWorker(**update))

    def hang_up(self) -> None:
        self.orders.put_nowait(None)

    async def heard(self) -> api.UpdateForScheduler:
        """The worker's next message that is no keep-alive."""
        async with asyncio.timeout(60):
            message = await self.said.get()
        assert message is not None, "the worker ended the stream"
        return message

    async def result(self) -> api.ExecuteResult:
        """The next result; completions of processes may come before."""
        message = await self.heard()
        while message.WhichOneof("update") == "execute_complete":
            message = await self.heard()
        assert message.WhichOneof("update") == "execute_result"
        return message.execute_result

    async def left(self) -> None:
        """Return when the worker has ended its stream."""
        async with asyncio.timeout(60):
            while await self.said.get() is not None:
                pass


@dataclass
class FakeScheduler(worker_api_pb2_grpc.WorkerApiServicer):
    """Registers whoever comes, unless `silent` or `answer` says otherwise; each connection is a Talk in `talks`."""

    talks: asyncio.Queue[Talk] = field(default_factory=asyncio.Queue)
    answer: api.UpdateForWorker = field(
        default_factory=lambda: api.UpdateForWorker(connection_result=api.ConnectionResult(worker_id="worker-1"))
    )
    silent: bool = False
    port: int = 0

    async def ConnectWorker(
        self, requests: AsyncIterator[api.UpdateForScheduler], context: grpc.aio.ServicerContext
    ) -> None:
        talk = Talk(await anext(requests))
        reading = asyncio.create_task(self._read(requests, talk))
        self.talks.put_nowait(talk)
        if not self.silent:
            await context.write(self.answer)
        try:
            while (update := await talk.orders.get()) is not None:
                await context.write(update)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[api.UpdateForScheduler], talk: Talk) -> None:
        try:
            async for request in requests:
                if request.WhichOneof("update") == "keep_alive_request":
                    talk.keep_alives += 1
                else:
                    talk.said.put_nowait(request)
                if request.WhichOneof("update") == "going_away_request":
                    talk.hang_up()
        finally:
            talk.said.put_nowait(None)

    async def talk(self) -> Talk:
        """The next connection."""
        async with asyncio.timeout(60):
            return await self.talks.get()


@asynccontextmanager
async def served(scheduler: FakeScheduler) -> AsyncIterator[FakeScheduler]:
    """Serve on the scheduler's port, or on a free one, which it then has."""
    server = grpc.aio.server()
    worker_api_pb2_grpc.add_WorkerApiServicer_to_server(scheduler, server)
    scheduler.port = server.add_insecure_port(f"127.0.0.1:{scheduler.port}")
    await server.start()
    try:
        yield scheduler
    finally:
        await server.stop(None)
