"""`nlserver CONFIG.json5 [...]` runs NativeLink's configs; `nlserver --check CONFIG.json5 [...]` only judges them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nlserver import grpc_environment

MOST_PROCESSES: Final = 64
_EXITS = """\
exit status:
  0    --check found nothing wrong
  1    a part could not start, or failed
  2    bad usage
  13   a config is wrong; every problem was printed
  130  ended by SIGINT
  143  ended by SIGTERM after finishing what ran
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do what it says; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="nlserver",
        description="CAS, action cache, scheduler and workers from NativeLink configs.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="+", type=Path, help="a JSON5 config; several run in one process")
    parser.add_argument("--check", action="store_true", help="judge the configs and start nothing")
    parser.add_argument(
        "--processes",
        type=_count,
        default=1,
        metavar="N",
        help="serve from N processes, where every store can be shared",
    )
    parser.add_argument(
        "--admin-socket", default="", metavar="PATH", help="where operators ask; a file by the pid, or none for nowhere"
    )
    parser.add_argument("--name", default="", help="what log lines call this process")
    parser.add_argument("-V", "--version", action="version", version=_version())
    chosen = parser.parse_args(arguments)
    if chosen.check:
        return check(chosen.config, chosen.processes)
    grpc_environment.prepare(os.environ)
    from nlserver import app
    from nlserver.unix_listener import default_path

    socket = Path(chosen.admin_socket) if chosen.admin_socket else default_path(os.environ)
    asked = None if chosen.admin_socket == "none" else socket
    return app.main(chosen.config, app.Manner(part=chosen.name, processes=chosen.processes, admin_socket=asked))


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_PROCESSES}")
    return int(text)


def check(paths: Sequence[Path], processes: int = 1) -> int:
    """Print every problem of these configs, run by so many processes; 13 when one of them cannot run, else 0."""
    from nlserver.cluster import ConfigError, judge, load, render
    from nlserver.division import indivisible

    wrong = False
    for path in paths:
        try:
            config = load(path, os.environ)
            problems = [*judge(config), *(indivisible(config) if processes > 1 else ())]
        except ConfigError as error:
            problems = error.problems
        sys.stdout.write(render(problems))
        bad = any(problem.fatal for problem in problems)
        sys.stdout.write("" if bad else f"{path}: ok\n")
        wrong = wrong or bad
    return 13 if wrong else 0


def _version() -> str:
    from importlib.metadata import version

    return f"nlserver {version('nlctl')}"


if __name__ == "__main__":
    sys.exit(main())
