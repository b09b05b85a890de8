"""Our servers, buildbox-casd and BuildGrid under the same client in the same run, next to bare gRPC.

    .venv/bin/python tests/bench/peers.py [SUITE...] [-- OPTION OF nlctl bench...]

`make test-real` installs the peers. Suites are cas, ac and mix by default; exec compares four workers of ours with
casd's four jobs, since BuildGrid brings no workers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import servers
from finding import HEAD, Finding, figure, note, show
from proof import Cluster

from nlctl.bench.report import human_megabytes, human_share, human_value
from nlctl.bench.row import Row

_NLCTL: Final = Path(sys.executable).with_name("nlctl")
_SMALL: Final = ("find-1", "ac-get", "batch-read-10x1KiB")
_GOALS: Final = {
    "nlserver": {**dict.fromkeys(_SMALL, 0.7), "read-64MiB": 0.7, "write-64MiB": 0.7},
    "nlserver-lz4": {"read-64MiB": 0.35, "write-64MiB": 0.35},
}
_CACHE_SUITES: Final = ("cas", "ac", "mix")


def bench(suites: Sequence[str], targets: Sequence[str], options: Sequence[str] = ()) -> list[Row]:
    """What `nlctl bench` says; calls that failed are in its rows."""
    aims = [word for target in targets for word in ("--target", target)]
    command = [_NLCTL, "bench", *suites, *aims, "-o", "json", *options]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert ended.returncode in (0, 11), f"nlctl bench ended with {ended.returncode}"
    items: list[dict[str, Any]] = json.loads(ended.stdout)["items"]
    return [Row.read(item) for item in items]


def caches(suites: Sequence[str], options: Sequence[str] = ()) -> list[Row]:
    """Ours on plain files, ours as the guide of NativeLink compresses, casd and BuildGrid."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        started = [
            stack.enter_context(servers.cas(folder / "plain")),
            stack.enter_context(servers.seed_cas(folder / "lz4")),
            stack.enter_context(servers.casd(folder / "casd")),
            stack.enter_context(servers.buildgrid(folder / "buildgrid")),
        ]
        return bench(suites, [server.target for server in started], options)


def executors(options: Sequence[str] = ()) -> list[Row]:
    """A cluster of four workers, and casd with four jobs."""
    with tempfile.TemporaryDirectory() as scratch, servers.casd(Path(scratch) / "casd", jobs=4) as casd:
        cluster = Cluster(Path(scratch))
        try:
            _, said = cluster.up(4)
            ours = f"nlserver={said['endpoints']['scheduler']}"
            return bench(["exec"], [ours, casd.target], options)
        finally:
            cluster.down("--wipe")


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: what each server does, and what a call costs it."""
    targets = list(dict.fromkeys(row.target for row in rows))
    cells = {(row.what, row.target): row for row in rows}
    for title, cell in (("calls a second (share of bare)", _rate), ("processor time of the server a call, us", _cost)):
        yield f"| {title} | {' | '.join(targets)} |"
        yield f"|---|{'---:|' * len(targets)}"
        for what in dict.fromkeys(row.what for row in rows):
            shown = [cell(cells[what, target]) if (what, target) in cells else "" for target in targets]
            yield f"| {what} | {' | '.join(shown)} |"
        yield ""


def _rate(row: Row) -> str:
    if row.value is None:
        return "cannot"
    bulk = f", {human_megabytes(row.bytes_per_second)} MB/s" if (row.bytes_per_second or 0) > 100e6 else ""
    share = "" if row.bare else f" ({human_share(row.of_bare)})"
    return f"{human_value(row.value)}{bulk}{share}"


def _cost(row: Row) -> str:
    return human_value(row.server_cpu_us) if row.server_cpu_us else ""


def goals(rows: Sequence[Row]) -> Iterator[Finding]:
    """What is wanted of our own servers, as shares of what bare gRPC did in the same rounds."""
    for target, wanted in _GOALS.items():
        for name, least in wanted.items():
            for row in rows:
                if row.target == target and row.line == name and row.of_bare_rounds:
                    yield figure(f"{row.what}, {target}: share of bare gRPC", row.of_bare_rounds, "", least=least)
                    cost = [row.of_bare_cpu] if row.of_bare_cpu else []
                    if cost and row.line in _SMALL:
                        yield figure(f"{row.what}, {target}: the same in processor time", cost, "")


def many_digests() -> Finding:
    """One question about 10,000 digests after the other."""
    with tempfile.TemporaryDirectory() as scratch, servers.cas(Path(scratch) / "cas") as server:
        options = ["--line", "find-10000", "-j", "1", "--loaders", "1"]
        [row] = [row for row in bench(["cas"], [server.target], options) if not row.bare]
    assert row.loop_p50_ms is not None
    return figure("FindMissingBlobs, 10,000 digests, one call at a time: median", [row.loop_p50_ms], "ms", most=40.0)


def reasons(rows: Sequence[Row]) -> Iterator[str]:
    """What could not be measured and why, and calls that failed."""
    for row in rows:
        if row.note:
            yield f"* {row.what} at {row.target}: {row.note}"


def main() -> None:
    """Print the tables."""
    words = sys.argv[1:]
    options = words[words.index("--") + 1 :] if "--" in words else []
    suites = words[: words.index("--")] if "--" in words else words
    chosen = [suite for suite in suites or _CACHE_SUITES if suite != "exec"]
    rows = caches(chosen, options) if chosen else []
    if "exec" in suites:
        note("executors")
        rows += executors(options)
    print("\n".join([*tables(rows), *reasons(rows)]))
    if "cas" in chosen:
        print(f"\n{HEAD}")
        for finding in [*goals(rows), many_digests()]:
            show(finding)


if __name__ == "__main__":
    main()
