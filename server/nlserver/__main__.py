"""`nlserver CONFIG.json5 [...]` runs NativeLink's configs; `nlserver --check CONFIG.json5 [...]` only judges them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

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
    parser.add_argument("--name", default="", help="what log lines call this process")
    parser.add_argument("-V", "--version", action="version", version=_version())
    chosen = parser.parse_args(arguments)
    if chosen.check:
        return check(chosen.config)
    # gRPC's own notes about connections have no time, part or facts; ours do.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from nlserver import app

    return app.main(chosen.config, part=chosen.name)


def check(paths: Sequence[Path]) -> int:
    """Print every problem of these configs; 13 when one of them cannot run, else 0."""
    from nlserver.cluster import ConfigError, judge, load, render

    wrong = False
    for path in paths:
        try:
            problems = judge(load(path, os.environ))
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
