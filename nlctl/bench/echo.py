"""A gRPC server that does nothing: one process, one event loop, what no Python server can be faster than."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc

SERVICE: Final = "nlctl.bench.Bare"
MESSAGE_BYTES: Final = 1 << 20
SIZE_BYTES: Final = 8
"""A request begins with this many bytes: how large the answer shall be, big-endian."""
OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def asking_for(answer_bytes: int, request_bytes: int) -> bytes:
    """A request of this size, or of the least that one can have, for an answer of that size."""
    return answer_bytes.to_bytes(SIZE_BYTES, "big").ljust(request_bytes, b"\0")


def main(conductor: Connection) -> None:
    """Serve on a free port, which the conductor is told, until it hangs up."""
    import uvloop

    uvloop.run(_serve(conductor))


def stand_alone() -> None:
    """Serve on a free port, and say so as `nlserver` does, until a signal ends it."""
    import uvloop

    uvloop.run(_serve_on())


async def _serve(conductor: Connection) -> None:
    server, port = await _started()
    conductor.send(port)
    await asyncio.to_thread(_until_hung_up, conductor)
    await server.stop(0)


async def _serve_on() -> None:
    server, port = await _started()
    sys.stderr.write(f"Ready, listening on 127.0.0.1:{port}\n")
    sys.stderr.flush()
    await server.wait_for_termination()


async def _started() -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers([_handlers()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


def _until_hung_up(conductor: Connection) -> None:
    try:
        conductor.recv()
    except EOFError:
        return


@lru_cache(maxsize=32)
def _zeros(size: int) -> bytes:
    return bytes(size)


def _size(request: bytes) -> int:
    return int.from_bytes(request[:SIZE_BYTES], "big")


def _handlers() -> grpc.GenericRpcHandler[Any, Any]:
    async def unary(request: bytes, _context: object) -> bytes:
        return _zeros(_size(request))

    async def pour(request: bytes, context: Any) -> None:
        whole, rest = divmod(_size(request), MESSAGE_BYTES)
        message = _zeros(MESSAGE_BYTES)
        for _ in range(whole):
            await context.write(message)
        if rest:
            await context.write(_zeros(rest))

    async def sink(requests: AsyncIterator[bytes], _context: object) -> bytes:
        async for _ in requests:
            pass
        return b""

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Unary": grpc.unary_unary_rpc_method_handler(unary),
            "Pour": grpc.unary_stream_rpc_method_handler(pour),
            "Sink": grpc.stream_unary_rpc_method_handler(sink),
        },
    )
