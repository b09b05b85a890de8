"""The doors of `nlctl`: version and help cost no more than the interpreter, everything else goes on to `main`."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line of this process; returns its exit code."""
    for name in ("stdout", "stderr"):
        # Closed by the caller: what is said goes nowhere, and no file that is opened later gets its number.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    words = sys.argv[1:]
    if words in (["--version"], ["-V"]):
        from nlctl import VERSION

        return _written(f"nlctl {VERSION}\n")
    if words[:1] == ["__complete"]:
        from nlctl.completing.values import main as complete

        return complete(words[1:], os.environ)
    from nlctl import doors

    if (text := doors.page(words, os.environ)) is not None:
        return _written(doors.bold(text) if doors.is_bold(sys.stdout, os.environ) else text)
    from nlserver import grpc_environment

    from nlctl.main import run

    grpc_environment.prepare(os.environ)
    return run(words)


def _written(text: str) -> int:
    try:
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = None
        return 141
    return 0


if __name__ == "__main__":
    sys.exit(main())
