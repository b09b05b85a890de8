"""Clusters out of separate `nlserver` processes, arranged as NativeLink's guide arranges its containers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.real import isolation
from tests.real.programs import Part, program

HERE: Final = Path(__file__).parent
_WORKER_HOME: Final = Path("/root/.cache/nativelink")
_NAMES: Final = "127.0.0.1 localhost cas scheduler\n::1 other-cas\n"
_ENVIRONMENT: Final = {"CAS_ENDPOINT": "cas", "SCHEDULER_ENDPOINT": "scheduler"}


@dataclass(frozen=True)
class Site:
    """The parts of a cluster, where its blobs are, and what Bazel is told."""

    cas: Part
    scheduler: Part
    workers: Sequence[Part]
    contents: Sequence[Path]
    endpoint: str
    cache: str

    def lose_every_blob(self) -> int:
        """Delete each file that holds a blob, as an operator's `rm` does; returns how many there were."""
        lost = 0
        for content in self.contents:
            for folder in (content / "d", Path(f"{content}.exec")):
                for file in [path for path in folder.rglob("*") if path.is_file()]:
                    file.unlink(missing_ok=True)
                    lost += 1
        return lost


@contextmanager
def seed(
    scratch: Path, workers: int, cas_of_workers: str = "cas", worker_config: Path = HERE / "seed/worker.json5"
) -> Iterator[Site]:
    """The guide's three configs, unchanged: a CAS, a scheduler and so many workers that share one volume.

    `cas_of_workers` is the CAS_ENDPOINT that workers are given: `other-cas` is a name of the address ::1.
    """
    volume, command = scratch / "cas-data", [program("nlserver"), "--name"]
    with ExitStack() as stack:
        stack.enter_context(isolation.covered(Path("/etc/hosts"), _NAMES, scratch / "hosts"))
        stack.enter_context(isolation.bound(volume, Path("/data/cas")))
        stack.enter_context(isolation.bound(scratch / "home", _WORKER_HOME))
        (scratch / "home/work").mkdir()
        (scratch / "home/data-worker-test").mkdir()
        stack.enter_context(isolation.bound(volume, _WORKER_HOME / "data-worker-test"))

        def part(name: str, config: Path, ready: str, work: Path | None = None) -> Part:
            line, environment = [*command, name, str(config)], _ENVIRONMENT
            if work is not None:
                line = isolation.binding(work, _WORKER_HOME / "work", line)
                environment = {**environment, "CAS_ENDPOINT": cas_of_workers}
            started = stack.enter_context(Part(name, line, scratch / f"{name}.log", environment))
            started.wait_for(ready)
            return started

        cas = part("cas", HERE / "seed/cas.json5", "Ready, listening on")
        scheduler = part("scheduler", HERE / "seed/scheduler.json5", "Ready, listening on")
        names = [f"worker-{number + 1}" for number in range(workers)]
        running = [part(name, worker_config, "Connected to scheduler", scratch / name) for name in names]
        scheduler.wait_for("Worker registered", workers)
        yield Site(
            cas,
            scheduler,
            running,
            [volume / "content", volume / "content_path-cas"],
            "grpc://127.0.0.1:50052",
            "grpc://127.0.0.1:50051",
        )


@contextmanager
def all_in_one(scratch: Path, entrypoint: Path | None = None) -> Iterator[Site]:
    """One process that is everything; its workers start actions through `entrypoint`, where there is one."""
    config = HERE / "all-in-one.json5"
    environment = {"DATA": str(scratch / "data"), "ENTRYPOINT": str(entrypoint or "")}
    with Part("all", [program("nlserver"), str(config)], scratch / "all.log", environment) as part:
        part.wait_for("Worker registered", 2)
        content = [scratch / "data/cas/content", scratch / "data/worker/content"]
        yield Site(part, part, [part], content, "grpc://127.0.0.1:50151", "grpc://127.0.0.1:50151")
