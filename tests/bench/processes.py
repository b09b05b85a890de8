"""What a second process of a CAS brings: `nlserver --processes 2` beside one process, in turns.

    .venv/bin/python tests/bench/processes.py [OPTION OF nlctl bench...]

On two cores the load processes take their share of both, so that a second server process cannot double anything there;
the processor time that the machine has is then the limit, which the sum of both sides' time a call shows.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import servers
from finding import Finding, figure, show
from peers import bench

from nlctl.bench.report import human_value

_LINES: Final = ("find-1", "batch-read-*", "read-1MiB", "ac-get")
_LEAST: Final = 1.7


def main() -> None:
    """Both side by side."""
    options = [*sys.argv[1:], *(word for line in _LINES for word in ("--line", line))]
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        one = stack.enter_context(servers.cas(Path(scratch) / "one", "one"))
        two = stack.enter_context(servers.cas(Path(scratch) / "two", "two", ["--processes", "2"]))
        # As many connections as the two processes can share, from load processes that are not the limit.
        rows = bench(["cas", "ac"], [one.target, two.target], ["--loaders", "4", *options])
    for what in dict.fromkeys(row.what for row in rows):
        first, second = (row for row in rows if row.what == what and not row.bare)
        if first.value is None or second.value is None:
            continue
        growth = [after / before for before, after in zip(first.rounds, second.rounds, strict=True)]
        show(figure(f"{what}: two processes to one, {os.cpu_count()} cores", growth, "times", least=_LEAST))
        show(
            Finding(
                f"{what}: processor time a call, server and client", _times(first.server_cpu_us, first.client_cpu_us)
            )
        )


def _times(server: float | None, client: float | None) -> str:
    return f"{human_value(server)} and {human_value(client)} us"


if __name__ == "__main__":
    main()
