"""Clients that misbehave: `python -m tests.faults.rude CONDUCT grpc://HOST:PORT COUNT [RESOURCE]`.

    readers   ask for a blob, take one message and read no further, each over a connection of its own
    halves    connections that say nothing, or begin HTTP/2 and stop; every second one vanishes without a word
    uploads   send the first part of a blob and are never heard of again

It says `there` when all of them are, and stays until it is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import resource
import socket
import sys
import uuid
from typing import Final

import grpc
from nlserver.proto import bytestream_pb2
from nlserver.reapi.digest import of

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_EMPTY_SETTINGS: Final = b"\0\0\0\x04\0\0\0\0\0"
_BEGUN_HEADERS: Final = b"\0\xff\xff\x01\x04\0\0\0\x01\x82"
_BEGINNINGS: Final = (
    b"",
    b"P",
    b"GET /status HTT",
    _PREFACE,
    _PREFACE + _EMPTY_SETTINGS,
    _PREFACE + _EMPTY_SETTINGS + _BEGUN_HEADERS,
)
_TCP_REPAIR: Final = 19
_STREAMS_A_CONNECTION: Final = 50


def _channel(target: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(
        target, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 8 << 20)]
    )


async def readers(target: str, count: int, resource_name: str) -> list[object]:
    """Each holds a call that has more to give."""
    request = bytestream_pb2.ReadRequest(resource_name=resource_name).SerializeToString()

    async def one() -> object:
        channel = _channel(target)
        call = channel.unary_stream("/google.bytestream.ByteStream/Read")(request)
        try:
            await call.read()
        except grpc.aio.AioRpcError:
            # Refused or evicted: then this one does nothing.
            return channel
        return channel, call

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def uploads(target: str, count: int) -> list[object]:
    """Each has sent a part of what it said."""
    channels = [_channel(target) for _ in range(-(-count // _STREAMS_A_CONNECTION))]

    async def one(number: int) -> object:
        size = random.choice((2_000, 300_000, 3_000_000))
        data = os.urandom(size)
        digest = of(data)
        name = f"uploads/{uuid.uuid4()}/blobs/{digest.hash}/{size}"
        call = channels[number % len(channels)].stream_unary("/google.bytestream.ByteStream/Write")()
        part = bytestream_pb2.WriteRequest(resource_name=name, data=data[: size // 2])
        try:
            await call.write(part.SerializeToString())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return None
        return call

    return [channels, await asyncio.gather(*(one(number) for number in range(count)))]


async def halves(target: str, count: int) -> list[object]:
    """Half of them are known to the server alone."""
    host, _, port = target.rpartition(":")
    kept: list[object] = []
    for number, beginning in zip(range(count), itertools.cycle(_BEGINNINGS), strict=False):
        one = socket.socket()
        one.settimeout(10)
        try:
            one.connect((host, int(port)))
            one.sendall(beginning)
        except OSError:
            one.close()
            continue
        if number % 2:
            # Closed in repair mode no packet tells the other side.
            one.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
            one.close()
        else:
            kept.append(one)
    return kept


async def main(conduct: str, endpoint: str, count: str, *rest: str) -> None:
    """Misbehave until killed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    work = {"readers": readers, "halves": halves, "uploads": uploads}[conduct]
    held = await work(endpoint.removeprefix("grpc://"), int(count), *rest)
    print("there", flush=True)
    await asyncio.Event().wait()
    del held


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
