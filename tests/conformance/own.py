"""Our own server and workers as real processes, with the eyes that a black box does not give: memory, files, log."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from blake3 import blake3

from tests.conformance.target import rx

HERE: Final = Path(__file__).parent / "own"
OTHER_INSTANCE: Final = "a/b/c"
SMALL_INSTANCE: Final = "small"
SMALL_BYTES: Final = 2_000_000
"""What the store of the small instance holds before it evicts."""
MEMORY_INSTANCE: Final = "memory"
"""An instance without a disk, for tests with very many blobs."""
CLOSED_INSTANCE: Final = "closed"
"""An instance whose action cache and assets take no updates."""
HAND_INSTANCE: Final = "hand"
"""An instance whose workers are the tests themselves, at `Own.hand_address`."""
HASTY_INSTANCE: Final = "hasty"
"""An instance that gives up a broken upload after a second."""
_PATIENCE_SECONDS: Final = 90.0
_BLOB: Final = re.compile(r"([0-9a-f]{64})-(\d+)")


def file_sizes(folder: Path) -> Iterator[int]:
    """The sizes in bytes of the files below this folder, while a server makes and removes them."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield os.lstat(os.path.join(parent, name)).st_size


class Process:
    """One `nlserver` that is ready; its current directory, home and directory of temporary files are its own."""

    def __init__(
        self,
        name: str,
        config: Path,
        folder: Path,
        *,
        options: Sequence[str] = (),
        before: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.name = name
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self._log = folder / "log"
        reading, writing = os.pipe()
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*before, sys.executable, "-m", "nlserver", "--name", name, *options, str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                pass_fds=[writing],
                env={
                    **os.environ,
                    "DATA": str(self.data),
                    "HOME": str(self.home),
                    "TMPDIR": str(self.home),
                    "NLSERVER_READY_FD": str(writing),
                    **environment,
                },
            )
        os.close(writing)
        try:
            assert os.read(reading, 100) == b"READY=1\n", self.log
        finally:
            os.close(reading)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything that it has said."""
        return self._log.read_text(errors="replace")

    @property
    def addresses(self) -> list[str]:
        """Where it listens, in the order of its config."""
        return re.findall(r"Ready, listening on (\S+)", self.log)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def open_files(self) -> int:
        """How many descriptors it holds."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def unfinished_bytes(self, store: str) -> int:
        """How much stands in the directory of temporary files of a filesystem store."""
        return sum(file_sizes(self.data / store / "tmp"))

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it by SIGTERM; returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end after SIGTERM:\n{self.log}") from None

    @contextmanager
    def grows_by_at_most(self, most_bytes: int) -> Iterator[None]:
        """What happens inside makes its resident memory grow by no more than this at its peak."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        before = self._memory("VmRSS")
        yield
        grown = self._memory("VmHWM") - before
        assert grown <= most_bytes, f"{self.name} grew by {grown >> 20} MiB"

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found.group(1)) << 10


class Own:
    """A server with everything that we serve, and the workers that are started for it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        self._environment = environment
        self.server = Process("server", HERE / "server.json5", folder / "server", **environment)
        self.address, self.private_address, self.identified_address, self.hand_address = self.server.addresses
        self.workers: list[Process] = []

    def start_worker(self, **environment: str) -> Process:
        """One more worker, registered."""
        name = f"worker-{len(self.workers) + 1}"
        worker = Process(
            name,
            HERE / "worker.json5",
            self._folder / name,
            **{
                "CAS": self.address,
                "WORKER_API": self.private_address,
                "WORKER_NAME": name,
                **self._environment,
                **environment,
            },
        )
        self.workers.append(worker)
        return worker

    def file_of(self, wanted: rx.Digest) -> Path:
        """Where the server keeps a blob."""
        return self.server.data / f"cas/content/d/{wanted.hash}-{wanted.size_bytes}"

    def close(self) -> None:
        """End all of it orderly. Raises AssertionError naming everything that is not as it must be afterwards."""
        processes = [*self.workers, self.server]
        problems = [f"{process.name} died:\n{process.log}" for process in processes if not process.alive]
        codes = {process.name: process.stop() for process in processes if process.alive}
        problems += [f"{name} ended with {code} after SIGTERM" for name, code in codes.items() if code != 143]
        for process in processes:
            problems += [f"{process.name} logged a traceback:\n{process.log}"] * ("Traceback" in process.log)
            problems += [f"{process.name} left {path}" for path in process.home.rglob("*")]
            problems += [f"{path} does not hash to its name" for path in _damaged(process.data)]
        assert not problems, "\n".join(problems)


def _damaged(data: Path) -> Iterator[Path]:
    """The blobs of the CAS stores below that are not what their names say."""
    for path in data.glob("cas/content/d/*"):
        named = _BLOB.fullmatch(path.name)
        content = path.read_bytes()
        hashes = {hashlib.sha256(content).hexdigest(), blake3(content).hexdigest()}
        if named is None or int(named.group(2)) != len(content) or named.group(1) not in hashes:
            yield path
