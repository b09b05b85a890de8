"""Memory of a CAS while 8 clients stream 1 GiB each, up and down again.

.venv/bin/python tests/bench/streams.py [CLIENTS [MIB]]
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import servers
import uvloop
from finding import figure, forget_peak, note, peak_mib, show
from nlserver.proto import bytestream_pb2
from nlserver.reapi.wire import write_request

_CHUNK = 1 << 20
_MOST_MIB = 150.0


class Blob:
    """So many MiB of noise, of which only one is kept."""

    def __init__(self, mebibytes: int) -> None:
        self._chunk = os.urandom(_CHUNK)
        self._count = mebibytes
        self.size = mebibytes * _CHUNK
        whole = hashlib.sha256()
        for _ in range(mebibytes):
            whole.update(self._chunk)
        self.hash = whole.hexdigest()

    def messages(self) -> Iterator[bytes]:
        """The WriteRequests."""
        name = f"uploads/{uuid.uuid4()}/blobs/{self.hash}/{self.size}".encode()
        for number in range(self._count):
            last = number == self._count - 1
            yield write_request(name, number * _CHUNK, self._chunk, finish=last)


async def up(channel: Any, blob: Blob) -> None:
    """Write it."""
    answer = await channel.stream_unary("/google.bytestream.ByteStream/Write")(blob.messages())
    assert bytestream_pb2.WriteResponse.FromString(answer).committed_size == blob.size


async def down(channel: Any, blob: Blob) -> None:
    """Read it and hash it."""
    request = bytestream_pb2.ReadRequest(resource_name=f"blobs/{blob.hash}/{blob.size}").SerializeToString()
    call = channel.unary_stream("/google.bytestream.ByteStream/Read")(request)
    whole = hashlib.sha256()
    while (message := await call.read()) is not grpc.aio.EOF:
        whole.update(bytestream_pb2.ReadResponse.FromString(message).data)
    assert whole.hexdigest() == blob.hash


async def streams(address: str, blobs: Sequence[Blob], move: Any) -> float:
    """MB a second of all clients together, each over a connection of its own."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in blobs]
    begun = time.perf_counter()
    await asyncio.gather(*(move(channel, blob) for channel, blob in zip(channels, blobs, strict=True)))
    took = time.perf_counter() - begun
    for channel in channels:
        await channel.close()
    return sum(blob.size for blob in blobs) / took / 1e6


async def measure(clients: int = 8, mebibytes: int = 1024) -> None:
    """Both stacks, up and down."""
    note(f"hashing {clients} x {mebibytes} MiB")
    blobs = [Blob(mebibytes) for _ in range(clients)]
    for stack, start in {"files": servers.cas, "lz4 over files": servers.seed_cas}.items():
        what = f"{clients} clients, {mebibytes} MiB each, {stack}"
        with tempfile.TemporaryDirectory() as scratch, start(Path(scratch) / "cas") as server:
            for direction, move in (("up", up), ("down", down)):
                note(f"{what}: {direction}")
                forget_peak(server.pid)
                rate = await streams(server.addresses[0], blobs, move)
                most = [peak_mib(server.pid)]
                show(figure(f"{what}, {direction}: most resident memory", most, "MiB", most=_MOST_MIB))
                show(figure(f"{what}, {direction}", [rate], "MB/s"))


if __name__ == "__main__":
    uvloop.run(measure(*map(int, sys.argv[1:])))
