"""Many command lines of the real `nlctl`, with nothing on standard input and no terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.nlctl import forks

LIMIT = 120
PROGRAM = Path(sys.executable).with_name("nlctl")


@dataclass(frozen=True)
class Ended:
    """What one command line left."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str


def ended(lines: Sequence[Sequence[str]], home: Path, environment: Mapping[str, str]) -> list[Ended]:
    """Run these in turn, in this folder."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}
    return [_ended(tuple(words), home, kept) for words in lines]


def _ended(words: tuple[str, ...], home: Path, environment: Mapping[str, str]) -> Ended:
    code, out, err = forks.run(PROGRAM, words, environment, home, b"", LIMIT)
    return Ended(words, code, out.decode(errors="surrogateescape"), err.decode(errors="surrogateescape"))
