"""Measures everything and writes the tables of docs/performance.md: `make bench`.

    .venv/bin/python tests/bench/report.py [SECTION...]

Sections are what stands between `<!-- measured: NAME -->` and `<!-- end -->` there; all of them by default. A section
is what its script prints; run the script by itself to see it alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from finding import HEAD, note

from nlctl.bench.machine import facts

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs/performance.md"
SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "machine": (),
    "cache": ("peers.py", "cas", "ac", "mix"),
    "execution": ("peers.py", "exec"),
    "cluster": ("proof.py",),
    "containers": ("proof.py", "nlctl:tested"),
    "commands": ("commands.py",),
    "lookup": ("lookup.py",),
    "crowd": ("crowd.py",),
    "inputs": ("inputs.py",),
    "bazel": ("bazel_build.py",),
    "streams": ("streams.py",),
    "processes": ("processes.py",),
    "million": ("million.py",),
}
"""The script of each section, with its arguments, in the order of the document."""
_PLACE: Final = re.compile(r"(<!-- measured: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def measured(name: str) -> str:
    """The Markdown of a section."""
    note(f"section {name}")
    if not SECTIONS[name]:
        return machine()
    script, *arguments = SECTIONS[name]
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    # Rows without a head: the script printed findings only.
    return said if "|---" in said else f"{HEAD}\n{said}"


def machine() -> str:
    """Where and when."""
    found = facts()
    gibibytes = found["memory_bytes"] / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {found['cores']} x {found['processor']}, {gibibytes:.0f} GiB, "
        f"Linux {found['kernel']}, Python {found['python']}, grpcio {found['grpcio']}, nlctl {found['nlctl']}; "
        f"load before: {found['load_before']:.1f}.\n"
    )


def places() -> list[str]:
    """The sections that the document has room for."""
    return [found[1] for found in _PLACE.findall(DOCUMENT.read_text())]


def write(name: str, text: str) -> None:
    """Put a section into the document."""

    def replaced(found: re.Match[str]) -> str:
        return found[0] if found[2] != name else f"{found[1]}\n{text.strip()}\n\n{found[3]}"

    DOCUMENT.write_text(_PLACE.sub(replaced, DOCUMENT.read_text()))


def main() -> None:
    """The sections asked for, in their order."""
    chosen = sys.argv[1:] or list(SECTIONS)
    if unknown := set(chosen) - set(SECTIONS):
        sys.exit(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    for name in SECTIONS:
        if name in chosen:
            text = measured(name)
            print(f"\n## {name}\n\n{text}", flush=True)
            write(name, text)


if __name__ == "__main__":
    main()
