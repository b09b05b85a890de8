"""How long it takes until something serves: this installation's own server, and a whole cluster to its canaries."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nlctl.bench.crew import Crew
from nlctl.bench.orders import Target
from nlctl.bench.report import timed
from nlctl.bench.row import Row
from nlctl.launch.templates import template

_TARGET: Final = "here"
_SUITE: Final = "startup"
_READY: Final = re.compile(r"Ready, listening on (\S+)")
_BARE: Final = "from nlctl.bench.echo import stand_alone; stand_alone()"
_WORKERS: Final = 3


def measure(crew: Crew, rounds: int, blobs: int, on_step: Callable[[str], None]) -> Iterator[Row]:
    """The rows of this suite, one after the other; everything happens in a scratch folder.

    Serving means that a call was answered. Beside the server stands a bare one in an interpreter of its own.
    """
    with tempfile.TemporaryDirectory(prefix="nlctl-bench-") as scratch:
        folder = Path(scratch)
        empty, full = folder / "empty", folder / "full"
        on_step(f"{blobs:,} blobs are put into a store")
        fill(full / "cas" / "content" / "d", blobs)
        bare, first, second = [], [], []
        for number in range(rounds):
            on_step(f"starting, round {number + 1} of {rounds}")
            bare.append(_until_served(crew, [sys.executable, "-c", _BARE], {}))
            first.append(_until_served(crew, *_server(empty)))
            second.append(_until_served(crew, *_server(full)))
        yield timed(_SUITE, "start-empty", "nlserver to its first answer, empty store", _TARGET, first, bare)
        yield timed(_SUITE, "start-full", f"nlserver to its first answer, {blobs:,} blobs", _TARGET, second, bare)
        on_step("bringing up clusters")
        yield timed(_SUITE, "up", f"nlctl up --workers {_WORKERS}, to a canary on each", _TARGET, _ups(folder, rounds))


def fill(folder: Path, blobs: int) -> None:
    """Put so many blobs of 16 bytes into this folder of a filesystem store, under their right names."""
    folder.mkdir(parents=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(blobs):
            data = number.to_bytes(16, "big")
            name = f"{hashlib.sha256(data).hexdigest()}-{len(data)}"
            file = os.open(name, os.O_CREAT | os.O_WRONLY, 0o444, dir_fd=descriptor)
            os.write(file, data)
            os.close(file)
    finally:
        os.close(descriptor)


def _server(data: Path) -> tuple[list[str], Mapping[str, str]]:
    data.mkdir(exist_ok=True)
    config = data / "cas.json5"
    config.write_text(template("cas.json5"), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "nlserver", str(config)]
    return command, {"DATA": str(data), "CAS_LISTEN": "127.0.0.1:0"}


def _until_served(crew: Crew, command: list[str], environment: Mapping[str, str]) -> float:
    """Seconds until a server that this command starts has answered a call."""
    begun = time.monotonic()
    with _running(command, environment) as address:
        refused = crew.nobody_at(Target(_TARGET, address, ""))
        took = time.monotonic() - begun
    assert refused is None, refused
    return took


@contextmanager
def _running(command: list[str], environment: Mapping[str, str]) -> Iterator[str]:
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        yield "grpc://" + next(found[1] for line in process.stderr if (found := _READY.search(line)))
    finally:
        process.kill()
        process.communicate()


def _ups(folder: Path, rounds: int) -> list[float]:
    """Seconds that `nlctl up` takes; the first time, which makes the folders, is not counted."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    nlctl = [sys.executable, "-P", "-m", "nlctl", "-q"]
    took = []
    try:
        for _ in range(rounds + 1):
            begun = time.monotonic()
            up = [*nlctl, "up", "--workers", str(_WORKERS), "--base-port", "auto"]
            subprocess.run(up, env=environment, stdout=subprocess.DEVNULL, check=True)
            took.append(time.monotonic() - begun)
            subprocess.run([*nlctl, "down"], env=environment, stdout=subprocess.DEVNULL, check=True)
    finally:
        wipe = [*nlctl, "down", "--all", "--wipe", "--yes"]
        subprocess.run(wipe, env=environment, stdout=subprocess.DEVNULL, check=False)
    return took[1:]
