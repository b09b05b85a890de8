"""Documents whose ```console blocks are run as they stand, and what they print compared with what stands below them.

A line that begins with `$ ` is run; those that follow are what it prints. What differs from run to run (the digests of
actions, times, ports, process ids, folders) is compared by its shape; a line of three dots stands for any lines.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHAPES = (
    (re.compile(r"/[\w./-]*/(?=\.bazelrc)"), ""),
    (re.compile(r"\b(action) [0-9a-f]{64}/\d+"), r"\1 DIGEST"),
    (re.compile(r"(127\.0\.0\.1|admin ):\d+"), r"\1:PORT"),
    (re.compile(r"\b(pid[= ])\d+"), r"\1PID"),
    (re.compile(r"\b\d{8}T\d{6}-\d+"), "STAMP"),
    (re.compile(r"\bms=\d+"), "ms=MS"),
    (re.compile(r"\b\d+(\.\d+)?(ms|s|m|h)\b"), "TIME"),
    (re.compile(r" {2,}"), "  "),
)


@dataclass(frozen=True)
class Exchange:
    """One command and the lines that it shall print."""

    line: int
    command: str
    printed: Sequence[str]


def exchanges(document: Path) -> Iterator[Exchange]:
    """Every command of this document, in order."""
    text = document.read_text()
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1)) + 1
        lines = block[1].splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield Exchange(first + start, lines[start][2:], lines[start + 1 : end])


def printed(command: str, home: Path, environment: Mapping[str, str]) -> list[str]:
    """What a shell shows of this command."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=home,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    return done.stdout.decode().splitlines()


def same(wanted: Sequence[str], got: Sequence[str]) -> bool:
    """Whether these lines have the shape of those, of which `...` stands for any number."""
    if not wanted:
        return not got
    if wanted[0] == "...":
        return any(same(wanted[1:], got[skipped:]) for skipped in range(len(got) + 1))
    return bool(got) and _shape(wanted[0]) == _shape(got[0]) and same(wanted[1:], got[1:])


def _shape(line: str) -> str:
    for pattern, stands_for in _SHAPES:
        line = pattern.sub(stands_for, line)
    return line.strip()
