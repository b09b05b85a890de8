"""A load process: does what the conductor orders, one order after the other, until the conductor hangs up."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable
from multiprocessing.connection import Connection as Pipe
from typing import Final

import grpc
from nlserver.errors import Error

from nlctl.bench.calls import ac, bare, cas
from nlctl.bench.calls.actions import Execute
from nlctl.bench.calls.call import Call, Connection, Wrong
from nlctl.bench.calls.mix import Mixed
from nlctl.bench.driving import drive
from nlctl.bench.lines import Bare, Kind, Line
from nlctl.bench.orders import (
    Answer,
    Arm,
    Cannot,
    Check,
    Clear,
    Exchange,
    Go,
    Greet,
    Order,
    Ready,
    SetUp,
    SetUpBare,
    Tally,
    Target,
)
from nlctl.bench.payload import Payload

_SMALL_BYTES: Final = 64
_LONGEST_REASON: Final = 160


def main(conductor: Pipe) -> None:
    """Take orders from this pipe until it is closed."""
    import uvloop

    uvloop.run(_serve(conductor))


async def _serve(conductor: Pipe) -> None:
    loader = Loader()
    while (order := await asyncio.to_thread(_next, conductor)) is not None:
        conductor.send(await loader.answer(order))
    await loader.close()


def _next(conductor: Pipe) -> Order | None:
    try:
        order: Order = conductor.recv()
    except EOFError:
        return None
    return order


class Loader:
    """Connections to targets, and what is called there for the line that is measured now."""

    def __init__(self) -> None:
        self._connections: dict[Target, Connection] = {}
        self._calls: dict[str, Call] = {}

    async def answer(self, order: Order) -> Answer:
        """Carry out one order."""
        match order:
            case Greet(target):
                return await _tried(self._connection(target).greet())
            case SetUp(target, line, seed, compressible):
                return await self._ready(target.name, self._call(target, line, seed, compressible))
            case SetUpBare(target, kind, exchange, size):
                return await self._ready(target.name, self._bare(target, kind, exchange, size))
            case Check(name):
                return await _tried(self._calls[name].check())
            case Arm(name, count):
                self._calls[name].arm(count)
                return None
            case Go():
                return await _round(self._calls[order.target], order)
            case Clear():
                for call in self._calls.values():
                    await call.close()
                self._calls.clear()
                gc.collect()
                return None

    async def close(self) -> None:
        """Hang up everywhere."""
        for connection in self._connections.values():
            await connection.close()

    async def _ready(self, name: str, call: Call) -> Ready | Cannot:
        self._calls[name] = call
        return await _tried(call.set_up())

    def _connection(self, target: Target) -> Connection:
        if target not in self._connections:
            self._connections[target] = Connection(target)
        return self._connections[target]

    def _bare(self, target: Target, kind: Bare, exchange: Exchange, size: int) -> Call:
        match kind:
            case Bare.UNARY:
                return bare.Unary(self._connection(target), exchange, size)
            case Bare.POUR:
                return bare.Pour(self._connection(target), size)
            case Bare.SINK:
                return bare.Sink(self._connection(target), size)
            case Bare.SPAWN:
                return bare.Spawn()

    def _call(self, target: Target, line: Line, seed: int, compressible: float) -> Call:
        connection = self._connection(target)
        [payload] = Payload.several([line.size_bytes or _SMALL_BYTES], seed, compressible)
        match line.kind:
            case Kind.FIND:
                return cas.Find(connection, line.count, round(line.count * line.present), payload)
            case Kind.BATCH_READ:
                return cas.BatchRead(connection, line.count, payload)
            case Kind.BATCH_UPDATE:
                return cas.BatchUpdate(connection, line.count, payload)
            case Kind.READ:
                return cas.Read(connection, payload)
            case Kind.WRITE:
                return cas.Write(connection, payload)
            case Kind.RESULT_HIT:
                return ac.Hit(connection, payload)
            case Kind.RESULT_MISS:
                return ac.Miss(connection, payload)
            case Kind.RESULT_PUT:
                return ac.Put(connection, payload)
            case Kind.MIX:
                return Mixed(connection, seed, compressible)
            case Kind.EXECUTE:
                return Execute(target, line, seed)


async def _tried(work: Awaitable[Exchange | None]) -> Ready | Cannot:
    try:
        exchange = await work
    except grpc.aio.AioRpcError as error:
        details = " ".join((error.details() or "").split())
        return Cannot(f"{error.code().name}: {details}"[:_LONGEST_REASON])
    except (Wrong, Error) as error:
        return Cannot(str(error)[:_LONGEST_REASON])
    return Ready(exchange or Exchange(0, 0))


async def _round(call: Call, go: Go) -> Tally:
    # A collection that walks everything that stands would look like a pause of the server.
    gc.collect()
    gc.freeze()
    return await drive(call, go)
