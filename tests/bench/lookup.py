"""`nlctl cas get`, `put` and `checkout` beside bare gRPC loops that move the same bytes between the same files.

.venv/bin/python tests/bench/lookup.py [MIB [FILES [ROUNDS]]]

Each side is a process of its own, start included, and both take turns. The bare loop verifies nothing, writes files
where they shall be, and knows all digests before; only of a single file that it puts it computes the digest, as every
client must, and in another comparison not even that. Statement 11.

What is fetched is written into memory that was in use a moment ago: with pages that a virtual machine had given back to
its host the same loop took three times as long, and it is chance who gets them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

_NLCTL: Final = Path(sys.executable).with_name("nlctl")
_CHUNK: Final = 1 << 20
_BATCH_BYTES: Final = 3 << 20
_CAS: Final = "/build.bazel.remote.execution.v2.ContentAddressableStorage"
_LEAST: Final = 0.8
_MOST_MIB: Final = 100.0


# The bare loops: only gRPC and open().


def _bare(words: Sequence[str]) -> None:
    what, address, *rest = words
    match what:
        case "get":
            with open(rest[1], "wb", buffering=0) as file:
                asyncio.run(_on_channel(address, lambda channel: _get(channel, rest[0], file)))
        case "put" | "put-known":
            digest, path = rest
            with open(path, "rb", buffering=0) as file:
                if what == "put":
                    assert digest.startswith(hashlib.file_digest(file, "sha256").hexdigest())
                    file.seek(0)
                asyncio.run(_on_channel(address, lambda channel: _put(channel, digest, file)))
        case _:
            rows = json.loads(Path(rest[0]).read_text())
            one = _get_group if what == "get-tree" else _put_group
            asyncio.run(_on_channel(address, lambda channel: _each(channel, one, rows)))


async def _on_channel(address: str, work: Callable[[Any], Awaitable[None]]) -> None:
    import grpc

    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        await work(channel)


async def _get(channel: Any, digest: str, file: BinaryIO) -> None:
    from nlserver.proto import bytestream_pb2
    from nlserver.reapi.methods import read_data

    call = channel.unary_stream("/google.bytestream.ByteStream/Read", response_deserializer=read_data)
    request = bytestream_pb2.ReadRequest(resource_name=f"blobs/{digest}")
    async for data in call(request.SerializeToString()):
        file.write(data)


async def _put(channel: Any, digest: str, file: BinaryIO) -> None:
    from nlserver.reapi.wire import write_request

    size = int(digest.partition("/")[2])
    name = f"uploads/{uuid.uuid4()}/blobs/{digest}".encode()

    async def messages() -> AsyncIterator[bytes]:
        at = 0
        while data := file.read(_CHUNK):
            yield write_request(name, at, data, finish=at + len(data) == size)
            at += len(data)

    await channel.stream_unary("/google.bytestream.ByteStream/Write")(messages())


async def _each(channel: Any, one: Callable[[Any, list[dict[str, Any]]], Awaitable[None]], rows: Any) -> None:
    for group in _groups(rows):
        await one(channel, group)


async def _get_group(channel: Any, group: list[dict[str, Any]]) -> None:
    from nlserver.proto import remote_execution_pb2 as re_pb

    method = channel.unary_unary(
        f"{_CAS}/BatchReadBlobs", response_deserializer=re_pb.BatchReadBlobsResponse.FromString
    )
    request = re_pb.BatchReadBlobsRequest()
    for row in group:
        request.digests.add(hash=row["hash"], size_bytes=row["size"])
    found = {one.digest.hash: one.data for one in (await method(request.SerializeToString())).responses}
    for row in group:
        os.makedirs(os.path.dirname(row["to"]), exist_ok=True)
        Path(row["to"]).write_bytes(found[row["hash"]])


async def _put_group(channel: Any, group: list[dict[str, Any]]) -> None:
    from nlserver.proto import remote_execution_pb2 as re_pb

    request = re_pb.BatchUpdateBlobsRequest()
    for row in group:
        made = request.requests.add(data=Path(row["from"]).read_bytes())
        made.digest.hash, made.digest.size_bytes = row["hash"], row["size"]
    await channel.unary_unary(f"{_CAS}/BatchUpdateBlobs")(request.SerializeToString())


def _groups(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    groups: list[list[dict[str, Any]]] = [[]]
    total = 0
    for row in rows:
        if groups[-1] and total + row["size"] > _BATCH_BYTES:
            groups.append([])
            total = 0
        groups[-1].append(row)
        total += row["size"]
    return groups


# Measuring.


@dataclass
class _Side:
    seconds: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)


def _timed(words: Sequence[str | Path], environment: dict[str, str]) -> tuple[float, float, float]:
    """How long a process took, how long it worked, and its most memory in MiB."""
    began = time.monotonic()
    process = subprocess.Popen([str(word) for word in words], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{words} ended with {process.returncode}"
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _warm(mebibytes: int) -> None:
    """Let the machine have so much free memory that it need not ask its host for.

    In a process of its own: what one had at most is counted for those that it starts.
    """
    subprocess.run([sys.executable, "-c", f"bytearray(b'x') * {mebibytes << 20}"], check=True)


def _compare(
    what: str,
    bare: Callable[[int], Sequence[str | Path]],
    ours: Callable[[int], Sequence[str | Path]],
    rounds: int,
    environment: dict[str, str],
    least: float | None = _LEAST,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Both sides in turn, `before` ahead of each."""
    from finding import figure, note, show

    sides = (_Side(), _Side())
    for number in range(rounds):
        for side, words in zip(sides, (bare(number), ours(number)), strict=True):
            before()
            seconds, worked, peak = _timed(words, environment)
            side.seconds.append(seconds)
            side.worked.append(worked)
            side.peaks.append(peak)
        note(f"{what}: bare {sides[0].seconds[-1]:.2f} s, nlctl {sides[1].seconds[-1]:.2f} s")
    shares = [one / other for one, other in zip(sides[0].seconds, sides[1].seconds, strict=True)]
    show(figure(f"{what}: share of the bare loop's speed", shares, "", least=least))
    show(figure(f"{what}: memory of nlctl", sides[1].peaks, "MiB", most=_MOST_MIB))
    worked = [statistics.median(side.worked) for side in sides]
    note(f"{what}: processor time of nlctl {worked[1]:.2f} s, of the bare loop {worked[0]:.2f} s")


def _noise(path: Path, mebibytes: int, seed: bytes) -> str:
    """A file of noise; its digest as HASH/SIZE."""
    whole, block = hashlib.sha256(), os.urandom(_CHUNK - 16)
    with path.open("wb") as file:
        for number in range(mebibytes):
            data = number.to_bytes(8, "big") + seed[:8].ljust(8, b"_") + block
            whole.update(data)
            file.write(data)
    return f"{whole.hexdigest()}/{mebibytes << 20}"


def _forest(top: Path, count: int) -> list[dict[str, Any]]:
    """So many small files, a hundred in a directory, between 0.2 and 16 KiB."""
    rows = []
    for number in range(count):
        folder = top / f"d{number // 100 % 10}" / f"e{number // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        data = os.urandom(200 + number * 7919 % (16 << 10))
        path = folder / f"f{number}"
        path.write_bytes(data)
        where = path.relative_to(top)
        rows.append({"hash": hashlib.sha256(data).hexdigest(), "size": len(data), "from": str(path), "to": str(where)})
    return rows


def main(mebibytes: int = 1024, files: int = 10_000, rounds: int = 3) -> None:
    """Print the rows of a Markdown table."""
    import servers
    from finding import HEAD

    print(HEAD)
    with tempfile.TemporaryDirectory(prefix="lookup-") as made:
        top = Path(made)
        environment = {**os.environ, "XDG_STATE_HOME": str(top / "state")}
        bare: list[str | Path] = [sys.executable, Path(__file__), "bare"]
        with servers.cas(top / "server") as server:
            address = server.addresses[0]
            ours: list[str | Path] = [_NLCTL, "--endpoint", server.url, "-q", "cas"]
            blobs = [(path := top / f"blob{n}", _noise(path, mebibytes, b"%d" % n)) for n in range(2 * rounds)]
            spare = [(path := top / f"spare{n}", _noise(path, mebibytes, b"s%d" % n)) for n in range(2 * rounds)]
            _compare(
                f"cas put of {mebibytes} MiB, beside a loop that knows the digest",
                lambda n: [*bare, "put-known", address, spare[2 * n][1], spare[2 * n][0]],
                lambda n: [*ours, "put", spare[2 * n + 1][0]],
                rounds,
                environment,
                least=None,
            )
            for path, _ in spare:
                path.unlink()
            _compare(
                f"cas put of {mebibytes} MiB",
                lambda n: [*bare, "put", address, blobs[2 * n][1], blobs[2 * n][0]],
                lambda n: [*ours, "put", blobs[2 * n + 1][0]],
                rounds,
                environment,
            )

            def emptied() -> None:
                for name in ("bare", "ours"):
                    (top / name).unlink(missing_ok=True)
                _warm(4 * mebibytes)

            _compare(
                f"cas get of {mebibytes} MiB",
                lambda n: [*bare, "get", address, blobs[n][1], top / "bare"],
                lambda n: [*ours, "get", blobs[n][1], "-O", top / "ours"],
                rounds,
                environment,
                before=emptied,
            )
            for path, _ in blobs:
                path.unlink()
            trees = []
            for n in range(2 * rounds):
                rows = _forest(top / f"tree{n}", files)
                for row in rows:
                    row["to"] = str(top / f"bare{n}" / row["to"])
                (top / f"tree{n}.json").write_text(json.dumps(rows))
                trees.append(top / f"tree{n}")
            _compare(
                f"cas put of {files} files",
                lambda n: [*bare, "put-tree", address, f"{trees[2 * n]}.json"],
                lambda n: [*ours, "put", trees[2 * n + 1]],
                rounds,
                environment,
            )
            roots = [_root(ours, tree, environment) for tree in trees[:rounds]]
            _compare(
                f"cas checkout of {files} files",
                lambda n: [*bare, "get-tree", address, f"{trees[n]}.json"],
                lambda n: [*ours, "checkout", roots[n], top / f"ours{n}"],
                rounds,
                environment,
            )


def _root(ours: Sequence[str | Path], tree: Path, environment: dict[str, str]) -> str:
    words = [str(word) for word in (*ours, "put", tree)]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        _bare(sys.argv[2:])
    else:
        main(*map(int, sys.argv[1:]))
