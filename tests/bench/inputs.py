"""How fast a worker lays out an input tree that it has laid out before.

    .venv/bin/python tests/bench/inputs.py [FILES]

Measured from outside, by the times that the worker reports: from the start of fetching inputs to its end.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvloop
from finding import figure, note, show
from nlserver.reapi.client import Client, Outcome
from proof import Cluster

_IN_DIRECTORY: Final = 100
_REPEATS: Final = 5
_LEAST: Final = 20_000.0


def fill(folder: Path, files: int) -> None:
    """So many small files, a hundred in each directory."""
    for number in range(files):
        path = folder / f"d{number // _IN_DIRECTORY % 10}" / f"e{number // _IN_DIRECTORY}" / f"input-{number}.h"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(8, "big") * 16)


def seconds(outcome: Outcome) -> float:
    """What laying out its inputs took."""
    times = outcome.metadata
    begun, ended = times.input_fetch_start_timestamp, times.input_fetch_completed_timestamp
    return (ended.ToNanoseconds() - begun.ToNanoseconds()) / 1e9


async def measure_tree(endpoints: Mapping[str, str], folder: Path, files: int) -> None:
    """The same tree under one action after the other, on one worker."""
    async with Client(cas=endpoints["cas"], executor=endpoints["scheduler"], timeout_seconds=600) as client:
        root = await client.upload_tree(folder)
        took = []
        for number in range(_REPEATS + 1):
            outcome = await client.run(["/bin/true"], input_root=root, salt=b"%d" % number)
            assert outcome.exit_code == 0
            took.append(seconds(outcome))
    show(figure(f"an input tree of {files:,} files, first time (fetched)", [files / took[0]], "files/s"))
    again = [files / each for each in took[1:]]
    show(figure(f"an input tree of {files:,} files, from the second time on", again, "files/s", least=_LEAST))


def main(files: int = 10_000) -> None:
    """On a cluster of one worker."""
    with tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster(Path(scratch))
        note(f"{files:,} files")
        fill(Path(scratch) / "tree", files)
        try:
            _, said = cluster.up(1)
            uvloop.run(measure_tree(said["endpoints"], Path(scratch) / "tree", files))
        finally:
            cluster.down("--wipe")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
