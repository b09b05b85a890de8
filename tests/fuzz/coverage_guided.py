"""Coverage-guided fuzzing of what we parse by hand: `python tests/fuzz/coverage_guided.py TARGET [libFuzzer options]`.

    zstd deflate   compressed streams           wire      messages that are read without protobuf
    name           resource names               config    JSON5 texts
    recipe         indexes of chunked values    digest    what people paste for a digest
    closure        Trees of action results      journal   lines of what was evicted

It runs until something is found, or as long as `-max_total_time=SECONDS` and `-runs=N` say; `-seed=N` repeats a run.
Where another implementation reads the same, both must agree.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["nlserver", "nlctl"]):
    from nlserver.cluster import loads
    from nlserver.config.problem import ConfigError
    from nlserver.errors import Error
    from nlserver.filesystem import journal
    from nlserver.reapi import codec, wire
    from nlserver.reapi.closure import Directories
    from nlserver.reapi.digest import Digest, Function, of
    from nlserver.reapi.names import Compressor, parse_read, parse_write
    from nlserver.recipe import Recipe

    from nlctl import digests
    from nlctl.faults import Fault

import zlib

import zstandard
from google.protobuf.message import DecodeError
from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb

LARGEST: Final = 1 << 16


def zstd(data: bytes) -> None:
    """A stream is the bytes that the library itself finds in it, or an Error."""
    size = int.from_bytes(data[:2], "big")
    found = _decompressed(data[2:], Compressor.ZSTD, size)
    if found is not None:
        reader = zstandard.ZstdDecompressor().stream_reader(data[2:], read_across_frames=True)
        assert reader.read(size + 1) == found


def deflate(data: bytes) -> None:
    """A stream is the bytes that zlib finds in it, or an Error."""
    size = int.from_bytes(data[:2], "big")
    found = _decompressed(data[2:], Compressor.DEFLATE, size)
    if found is not None:
        assert zlib.decompress(data[2:], wbits=-15) == found


def _decompressed(data: bytes, compressor: Compressor, size: int) -> bytes | None:
    try:
        found = codec.decompress(data, compressor, size)
    except Error:
        return None
    assert len(found) == size
    return found


def read_response(data: bytes) -> None:
    """Our short cut reads what protobuf reads, and records are whole or an Error."""
    try:
        ours: bytes | None = wire.read_data(data)
    except Error:
        ours = None
    try:
        theirs: bytes | None = bytestream_pb2.ReadResponse.FromString(data).data
    except DecodeError:
        theirs = None
    assert ours == theirs
    with suppress(Error):
        assert sum(len(value) for _, value in wire.records(data)) <= len(data)


def name(data: bytes) -> None:
    """A resource name is one that can be written again, or an Error."""
    text = data.decode(errors="replace")
    for parse in (parse_read, parse_write):
        with suppress(Error):
            parse(text)


def config(data: bytes) -> None:
    """A text is a config, or a ConfigError with a place for each problem."""
    with suppress(ConfigError):
        loads(data.decode(errors="replace"), "fuzzed.json5", {})


def recipe(data: bytes) -> None:
    """An index is one that makes the same bytes again, or none."""
    found = Recipe.parsed(data)
    if found is not None:
        assert bytes(found) == data
        assert sum(slice_.stop - slice_.start for slice_ in found.slices(0, None)) == found.size


def digest(data: bytes) -> None:
    """A text names digests, or is a Fault."""
    with suppress(Fault):
        digests.parse(data.decode(errors="replace"))


def closure(data: bytes) -> None:
    """A Tree names its files, or is an Error."""
    with suppress(Error):
        for _ in Directories(Function.SHA256).add_tree(data):
            pass


_JOURNAL: Final = Path(tempfile.mkdtemp()) / "journal"


def evictions(data: bytes) -> None:
    """A journal is what can be read of it."""
    _JOURNAL.write_bytes(data)
    for eviction in journal.read(str(_JOURNAL)):
        assert isinstance(eviction.size, int)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "zstd": zstd,
    "deflate": deflate,
    "wire": read_response,
    "name": name,
    "config": config,
    "recipe": recipe,
    "digest": digest,
    "closure": closure,
    "journal": evictions,
}


def seeds(target: str) -> list[bytes]:
    """Good input to begin with: from nothing, no fuzzer finds the way into a checksummed or nested form."""
    text = b"some text, and some more text, and some more. " * 20
    match target:
        case "zstd" | "deflate":
            compressor = Compressor(target)
            streams = [codec.compress(data, compressor) for data in (b"", b"x", text)]
            frame = zstandard.ZstdCompressor(write_checksum=True, write_content_size=True).compress(text)
            skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
            sized = zip((0, 1, len(text)), streams, strict=True)
            made = [size.to_bytes(2, "big") + stream for size, stream in sized]
            return [*made, len(text).to_bytes(2, "big") + skippable + frame] if target == "zstd" else made
        case "wire":
            return [bytestream_pb2.ReadResponse(data=text).SerializeToString(), b"\x52\x00"]
        case "name":
            blob = f"blobs/{'ab' * 32}/148"
            uuid = "6b1f0f6e-8f0a-4a5e-a6a4-3d1c8a5f0f6b"
            names = (
                blob,
                f"main/compressed-{blob.replace('blobs/', 'blobs/zstd/blake3/')}",
                f"a/b/uploads/{uuid}/{blob}",
            )
            return [each.encode() for each in names]
        case "config":
            small = b'{stores: [{name: "A", memory: {eviction_policy: {max_bytes: "1gb"}}}], servers: [], // c\n}'
            return [small]
        case "recipe":
            chunks = Recipe()
            for size in (1, 300, 70_000):
                chunks.add(Digest("cd" * 32, size, Function.BLAKE3))
            return [bytes(chunks)]
        case "digest":
            return [f"Object {'ab' * 32}-148 not found".encode(), f'{{"hash":"{"ab" * 32}","sizeBytes":"42"}}'.encode()]
        case "closure":
            leaf = re_pb.Directory(files=[{"name": "f", "digest": {"hash": "ab" * 32, "size_bytes": 3}}])
            below = of(leaf.SerializeToString())
            node = {"name": "d", "digest": {"hash": below.hash, "size_bytes": below.size_bytes}}
            return [re_pb.Tree(root=re_pb.Directory(directories=[node]), children=[leaf]).SerializeToString()]
        case _:
            when = "2026-11-26T12:00:00.000+00:00"
            line = f'"when": "{when}", "key": "{"ab" * 32}-7", "size": 4096, "limit": "max_bytes", "age_seconds": 6.5'
            return [f"{{{line}}}\n".encode()]


def main() -> None:
    """Fuzz the target of the command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name a target: {' '.join(TARGETS)}")
    target = sys.argv.pop(1)
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{target}-"))
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([*sys.argv, f"-max_len={LARGEST}", str(corpus)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
