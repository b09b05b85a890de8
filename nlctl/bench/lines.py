"""What is measured: each suite is a list of lines, and a line is one kind of call of one size. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
_UNITS: Final = (("GiB", 1 << 30), ("MiB", MIB), ("KiB", KIB))


class Kind(StrEnum):
    """How a line calls."""

    FIND = "find"
    BATCH_READ = "batch-read"
    BATCH_UPDATE = "batch-update"
    READ = "read"
    WRITE = "write"
    RESULT_HIT = "ac-get"
    RESULT_MISS = "ac-miss"
    RESULT_PUT = "ac-put"
    MIX = "mix"
    EXECUTE = "exec"


class Bare(StrEnum):
    """What stands beside a line as the measure of this machine: nothing but gRPC, or nothing but a process."""

    UNARY = "unary"
    """A gRPC call whose request and answer are as large as the line's."""
    POUR = "pour"
    """A stream of 1 MiB messages to the client."""
    SINK = "sink"
    """A stream of 1 MiB messages from the client."""
    SPAWN = "spawn"
    """Starting /bin/true here and waiting for it."""


@dataclass(frozen=True)
class Line:
    """One kind of call. `size_bytes` is that of a blob, `count` how many things one call is about."""

    suite: str
    name: str
    what: str
    kind: Kind
    bare: Bare | None
    at_once: int
    size_bytes: int = 0
    count: int = 1
    calls: int = 0
    """How many calls make a round where a time would not do; 0 for a time."""
    present: float = 1.0
    """FIND: the share of the digests whose blobs are there."""
    outputs: int = 0
    """EXECUTE: files that the command leaves; `count` is the number of its input files."""


def size_text(size: int) -> str:
    """1048576 as `1MiB`."""
    for unit, one in _UNITS:
        if size >= one and size % one == 0:
            return f"{size // one}{unit}"
    return f"{size}B"


def cas(sizes: Sequence[int] = ()) -> list[Line]:
    """FindMissing, batches and streams; of these sizes in place of the usual ones."""
    lines: list[Line] = []
    if not sizes:
        lines += [_find(1, 32, 1.0), _find(100, 16, 0.5), _find(10_000, 2, 0.5)]
    for size in sizes or (KIB,):
        if size <= 64 * KIB:
            count = max(1, min(10, MIB // size))
            text = f"{count} x {size_text(size)}"
            lines.append(_batch("batch-read", Kind.BATCH_READ, f"BatchReadBlobs, {text}", size, count))
            lines.append(_batch("batch-update", Kind.BATCH_UPDATE, f"BatchUpdateBlobs, {text} new", size, count))
    for size in sizes or (KIB, 64 * KIB, MIB, 64 * MIB):
        lines += [_stream(Kind.READ, size), _stream(Kind.WRITE, size)]
    return lines


def _find(count: int, at_once: int, present: float) -> Line:
    digests = "1 digest" if count == 1 else f"{count:,} digests"
    what = f"FindMissingBlobs, {digests}" + ("" if present == 1 else ", half of them present")
    return Line("cas", f"find-{count}", what, Kind.FIND, Bare.UNARY, at_once, count=count, present=present)


def _batch(name: str, kind: Kind, what: str, size: int, count: int) -> Line:
    return Line("cas", f"{name}-{count}x{size_text(size)}", what, kind, Bare.UNARY, 32, size_bytes=size, count=count)


def _stream(kind: Kind, size: int) -> Line:
    at_once = 32 if size <= 64 * KIB else 8 if size <= MIB else 4
    text = size_text(size)
    if kind is Kind.READ:
        return Line("cas", f"read-{text}", f"ByteStream.Read, {text}", kind, Bare.POUR, at_once, size)
    return Line("cas", f"write-{text}", f"ByteStream.Write, {text} new", kind, Bare.SINK, at_once, size)


def ac() -> list[Line]:
    """The action cache: a hit, a miss, a new result."""
    return [
        Line("ac", "ac-get", "GetActionResult, hit", Kind.RESULT_HIT, Bare.UNARY, 32),
        Line("ac", "ac-miss", "GetActionResult, miss", Kind.RESULT_MISS, Bare.UNARY, 32),
        Line("ac", "ac-put", "UpdateActionResult, new", Kind.RESULT_PUT, Bare.UNARY, 32),
    ]


def execute() -> list[Line]:
    """Actions that do nothing but have inputs and outputs, none of them cached."""
    shapes = {
        "exec-noop": ("/bin/true", 0, 0),
        "exec-inputs": ("20 input files of 4 KiB", 20, 0),
        "exec-outputs": ("10 output files", 0, 10),
        "exec-wide": ("1,000 input files in 50 directories", 1000, 0),
    }
    return [
        Line("exec", name, f"Execute, {what}", Kind.EXECUTE, Bare.SPAWN, 32, 4 * KIB, count=inputs, outputs=outputs)
        for name, (what, inputs, outputs) in shapes.items()
    ]


def mix() -> list[Line]:
    """A warm build with some new work: blobs of the sizes that builds have."""
    return [
        Line(
            "mix",
            "mix",
            "60 % reads, 15 % writes, 15 % results, 10 % FindMissing",
            Kind.MIX,
            Bare.UNARY,
            32,
            calls=2000,
        )
    ]


def chosen(lines: Sequence[Line], patterns: Sequence[str]) -> list[Line]:
    """Those whose names match one of these patterns, such as `find-*`; all of them without any pattern."""
    return [line for line in lines if not patterns or any(fnmatchcase(line.name, one) for one in patterns)]


def with_at_once(lines: Sequence[Line], at_once: int | None) -> list[Line]:
    """The same lines with so many calls at a time."""
    return [replace(line, at_once=at_once) for line in lines] if at_once else list(lines)
