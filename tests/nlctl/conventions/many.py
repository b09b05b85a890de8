"""Many command lines of the real `nlctl`, each in a process of its own that is forked from one which has loaded typer.

An interpreter for each would take a minute. Run as a program: standard input holds the lines as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 120


@dataclass(frozen=True)
class Ended:
    """What one command line left."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str


def ended(lines: Sequence[Sequence[str]], home: Path, environment: Mapping[str, str]) -> list[Ended]:
    """Run these in turn, in this folder, with nothing on standard input and no terminal."""
    script = [sys.executable, "-m", "tests.nlctl.conventions.many"]
    root = Path(__file__).parents[3]
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": f"{root}:{root / 'server'}", **environment}
    done = subprocess.run(
        [*script, str(home)],
        input=json.dumps(lines),
        env=kept,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return [Ended(tuple(words), *rest) for words, *rest in json.loads(done.stdout)]


def main() -> None:
    """Answer with a list of words, exit code, standard output and standard error."""
    import nlctl.admin
    import nlctl.description
    import nlctl.main
    import nlctl.resolve  # noqa: F401 - what most commands share

    home = Path(sys.argv[1])
    answers: list[Any] = []
    for words in json.load(sys.stdin):
        out, err = home / "out", home / "err"
        pid = os.fork()
        if pid == 0:
            _become(words, home, out, err)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answers.append((words, code, *(path.read_text(errors="surrogateescape") for path in (out, err))))
    json.dump(answers, sys.stdout)


def _become(words: Sequence[str], home: Path, out: Path, err: Path) -> None:
    for number, path, flags in ((0, Path("/dev/null"), os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        opened = os.open(path, flags | (0 if number == 0 else os.O_CREAT | os.O_TRUNC), 0o600)
        os.dup2(opened, number)
    os.chdir(home)
    sys.argv[1:] = words
    code = 70
    try:
        from nlctl.__main__ import main as nlctl

        code = nlctl()
        sys.stdout.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
