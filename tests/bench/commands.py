"""Measures how long commands themselves take: start, help, one request, the completion key, a new shell, a long list,
and a cluster of five workers up, up once more and down. Statements 1 to 8, 10, 12 and 55.

    .venv/bin/python tests/bench/commands.py

Each figure is the 95th percentile of fresh processes, as the time that passes and as processor time, which a busy
machine changes less. Files are byte-compiled and cached. Nothing is asserted.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from finding import Finding, note, show

_NLCTL: Final = Path(sys.executable).parent / "nlctl"
_SCRIPTS: Final = Path(__file__).parents[2] / "completions"
_RUNS: Final = 20
_MANY: Final = 10_000
_LIVES: Final = 3
_SHELLS: Final = {
    "bash": ("bash", "--norc", "--noprofile", "-c"),
    "zsh": ("zsh", "-f", "-c"),
    "fish": ("fish", "--no-config", "-c"),
}
_LOADS: Final = {
    "bash": f"source {_SCRIPTS}/nlctl.bash",
    "zsh": f"compdef() {{ :; }}; source {_SCRIPTS}/nlctl.zsh",
    "fish": f"source {_SCRIPTS}/nlctl.fish",
}


def took(words: Sequence[object], environment: Mapping[str, str]) -> tuple[float, float]:
    """Milliseconds that passed and milliseconds of processor time, of one process."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return (time.perf_counter() - began) * 1000, (used.ru_utime + used.ru_stime) * 1000


def measured(what: str, words: Sequence[object], environment: Mapping[str, str], most: float) -> None:
    """Show one figure."""
    took(words, environment)
    times = [took(words, environment) for _ in range(_RUNS)]
    wall, cpu = (sorted(one[kind] for one in times)[int(_RUNS * 0.95) - 1] for kind in (0, 1))
    show(Finding(f"{what}, p95", f"{wall:.0f} ms ({cpu:.0f} ms processor)", f"below {most:.0f} ms", wall < most))


def main() -> None:
    """Everything, on a cluster of its own."""
    with tempfile.TemporaryDirectory(prefix="nlctl-bench-") as folder:
        environment = {"PATH": os.environ["PATH"], "HOME": folder}

        def nlctl(*words: str) -> str:
            return subprocess.run(
                [_NLCTL, *words], env=environment, capture_output=True, text=True, check=True
            ).stdout.strip()

        measured("nlctl --version", [_NLCTL, "--version"], environment, 50)
        measured("nlctl --help", [_NLCTL, "--help"], environment, 50)
        measured("nlctl cas get --help", [_NLCTL, "cas", "get", "--help"], environment, 60)
        measured("nlctl explain NL-CAS-101", [_NLCTL, "explain", "NL-CAS-101"], environment, 60)
        measured("nlctl help digests", [_NLCTL, "help", "digests"], environment, 60)
        measured("a local command, nlctl context ls", [_NLCTL, "context", "ls"], environment, 150)
        note("a cluster")
        nlctl("up", "--workers", "2", "--base-port", "auto")
        try:
            nlctl("run", "--", "true")
            listing(environment, Path(folder, "tree"))
            digest = nlctl("cas", "put", "-q", str(_SCRIPTS / "nlctl.bash"))
            measured("one request, nlctl cas stat", [_NLCTL, "cas", "stat", digest], environment, 300)
            for kind in ("workers", "digests", "contexts", "operations"):
                measured(f"completing {kind}", [_NLCTL, "__complete", kind, ""], environment, 60)
        finally:
            nlctl("down", "--yes")
        measured("completing operations, the cluster is down", [_NLCTL, "__complete", "operations"], environment, 60)
        run = Path(folder, ".local/state/nlctl/clusters/dev/run")
        run.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as silent:
            os.chdir(run)
            silent.bind("scheduler.sock")
            silent.listen()
            words = [_NLCTL, "__complete", "operations"]
            measured("completing operations, the scheduler never answers", words, environment, 200)
        lifecycle(environment)
        for name, argv in _SHELLS.items():
            if shutil.which(name):
                loading(name, argv, environment)


def listing(environment: Mapping[str, str], tree: Path) -> None:
    """How long a list of many blobs takes in a pipe."""
    tree.mkdir()
    for number in range(_MANY):
        (tree / str(number)).write_text(str(number))
    subprocess.run([_NLCTL, "cas", "put", "--tree", tree], env=environment, capture_output=True, check=True)
    measured(f"nlctl cas ls of {_MANY:,} blobs", [_NLCTL, "cas", "ls"], environment, 400)


def lifecycle(environment: Mapping[str, str]) -> None:
    """How long a cluster of five workers takes to come, to be found as it should be, and to go. The longest of each."""
    words = {
        "up of five workers, proven by a canary on each": (
            "up",
            "--workers",
            "5",
            "--base-port",
            "auto",
            "--name",
            "five",
        ),
        "up once more": ("up", "--workers", "5", "--name", "five"),
        "doctor object, of a blob that is nowhere": ("doctor", "object", "--name", "five", f"file:{_NLCTL}"),
        "down": ("down", "--name", "five"),
    }
    limits = (5000, 1000, 3000, 2000)
    times = [[took([_NLCTL, *each], environment)[0] for each in words.values()] for _ in range(_LIVES)]
    for what, most, own in zip(words, limits, zip(*times, strict=True), strict=True):
        show(Finding(f"nlctl {what}", f"{max(own):.0f} ms", f"below {most} ms", max(own) < most))
    subprocess.run(
        [_NLCTL, "down", "--name", "five", "--wipe", "--yes"], env=environment, capture_output=True, check=True
    )


def loading(name: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """What sourcing the script adds to a new shell, in processor time: the difference of medians."""

    def median(script: str) -> float:
        return sorted(took([*argv, script], environment)[1] for _ in range(_RUNS))[_RUNS // 2]

    added = min(median(_LOADS[name]) - median("true") for _ in range(3))
    show(
        Finding(
            f"{name}: the completion script adds to a new shell", f"{added:.1f} ms processor", "below 5 ms", added < 5
        )
    )


if __name__ == "__main__":
    main()
