"""What clients ask of a cluster while faults happen: an endless stream of jobs out of one seed. Pure.

Every byte that comes back is known beforehand, so a job is either right, or refused with an error, or the cluster is
wrong. Every script ends with an error of its own where it cannot write.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_SIZES: Final = (0, 1, 300, 4_000, 60_000, 300_000, 1_500_000, 5_000_000)
_SIZE_WEIGHTS: Final = (1, 2, 10, 10, 8, 5, 3, 1)
_LONG_SECONDS: Final = (1, 4)


@dataclass(frozen=True)
class Blob:
    """So many bytes that follow from a seed; half of them compress well."""

    seed: int
    size: int

    def data(self) -> bytes:
        """The bytes."""
        noise = random.Random(self.seed).randbytes(self.size // 2)
        return noise + bytes(self.size - len(noise))


@dataclass(frozen=True)
class Upload:
    """Bring blobs into the CAS together."""

    blobs: tuple[Blob, ...]


@dataclass(frozen=True)
class Download:
    """Read a blob that was acknowledged before: `pick` in 0..1 tells which, `offset` in 0..1 where reading begins."""

    pick: float
    offset: float


@dataclass(frozen=True)
class Record:
    """Write a result for an action that never ran into the action cache."""

    key: int
    output: Blob


@dataclass(frozen=True)
class Recall:
    """Read a result that was recorded before."""

    pick: float


@dataclass(frozen=True)
class Input:
    """A file of an input tree."""

    path: str
    blob: Blob
    program: bytes = b""
    """The content in place of the blob's, for a file that is executable."""

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return self.program or self.blob.data()


@dataclass(frozen=True)
class Run:
    """An action, and what must come of it. `wanted` are the files below its outputs, by path."""

    kind: str
    script: str
    inputs: tuple[Input, ...] = ()
    outputs: tuple[str, ...] = ()
    wanted: Mapping[str, bytes] = field(default_factory=dict)
    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    salt: int = 0


Job = Upload | Download | Record | Recall | Run


def jobs(seed: int) -> Iterator[Job]:
    """The jobs of this seed, in order, for ever."""
    rng = random.Random(seed)
    kinds = (_upload, _download, _record, _recall, _copies, _lists, _program, _fails, _long, _detaches)
    weights = (6, 8, 4, 4, 8, 4, 3, 2, 2, 2)
    while True:
        yield rng.choices(kinds, weights)[0](rng)


def _blob(rng: random.Random, most: int = _SIZES[-1]) -> Blob:
    size = min(most, rng.choices(_SIZES, _SIZE_WEIGHTS)[0])
    return Blob(rng.getrandbits(60), size + rng.randrange(100) if size > 1 else size)


def _upload(rng: random.Random) -> Job:
    return Upload(tuple(_blob(rng) for _ in range(rng.choice((1, 1, 2, 20)))))


def _download(rng: random.Random) -> Job:
    return Download(rng.random(), rng.choice((0.0, 0.0, rng.random())))


def _record(rng: random.Random) -> Job:
    return Record(rng.getrandbits(60), _blob(rng, 4_000))


def _recall(rng: random.Random) -> Job:
    return Recall(rng.random())


def _inputs(rng: random.Random) -> tuple[Input, ...]:
    count = rng.choice((1, 3, 10, 40))
    return tuple(Input(f"in/d{index % 3}/f{index:02}", _blob(rng, 300_000)) for index in range(count))


def _copies(rng: random.Random) -> Job:
    inputs = _inputs(rng)
    joined = b"".join(one.content for one in sorted(inputs, key=lambda one: one.path))
    return Run(
        "copies",
        "/bin/cat in/d*/f* > out && echo done",
        inputs,
        outputs=("out",),
        wanted={"out": joined},
        stdout=b"done\n",
        salt=rng.getrandbits(60),
    )


def _lists(rng: random.Random) -> Job:
    count = rng.choice((1, 7, 60))
    number = rng.getrandbits(60)
    step = f"/bin/mkdir -p t/d$((i % 5)); echo {number} $i > t/d$((i % 5))/f$i; i=$((i+1))"
    wanted = {f"t/d{i % 5}/f{i}": f"{number} {i}\n".encode() for i in range(count)}
    return Run(
        "lists", f"set -e; i=0; while [ $i -lt {count} ]; do {step}; done", outputs=("t",), wanted=wanted, salt=number
    )


def _program(rng: random.Random) -> Job:
    number = rng.getrandbits(60)
    tool = Input("bin/tool", Blob(0, 0), program=f"#!/bin/sh\necho tool {number}\n".encode())
    return Run("program", "bin/tool", (tool, *_inputs(rng)), stdout=f"tool {number}\n".encode(), salt=number)


def _fails(rng: random.Random) -> Job:
    return Run(
        "fails", "echo reasons >&2 || exit 9; exit 7", stderr=b"reasons\n", exit_code=7, salt=rng.getrandbits(60)
    )


def _long(rng: random.Random) -> Job:
    return Run(
        "long", f"/bin/sleep {rng.choice(_LONG_SECONDS)}; echo slept", stdout=b"slept\n", salt=rng.getrandbits(60)
    )


def _detaches(rng: random.Random) -> Job:
    """Leaves a process that has left its session and would go on for days."""
    script = "/usr/bin/setsid /bin/sleep 300000 > /dev/null 2>&1 & echo left"
    return Run("detaches", script, stdout=b"left\n", salt=rng.getrandbits(60))
