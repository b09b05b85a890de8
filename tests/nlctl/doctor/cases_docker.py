"""Containers, good and bad, and what the judges say of them: see test_judges.py. The guide's classical errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from nlctl.containers.housing import Dialled, Housed, Kept, Mount, Opened
from nlctl.containers.states import State
from nlctl.doctor.checks import docker
from nlctl.doctor.finding import Finding, Verdict

SHARED = Mount("volume", "cas-data", "/data", writable=True)
CONFIG = Mount("volume", "config", "/etc/nlctl", writable=False)
KEPT = (Kept("content_path", "/data/w/content", "/data/w/content"), Kept("temp_path", "/data/w/tmp", "/data/w/content"))
PLACES = {"/data/w/content": (7, 1), "/data/w/tmp": (7, 2)}
API = Dialled("scheduler", 50061, "worker")
CAS = Dialled("cas", 50051)


def state(part: str = "worker-1", status: str = "running", **more: Any) -> State:
    made = State(f"id-{part}", f"lab-{part}", part, status, 7, 0, False, 0, 1.0, 2.0, "sha256:1", "nlctl:1")
    return replace(made, **more)


def worker(part: str = "worker-1", **more: Any) -> Housed:
    made = Housed(state(part), (SHARED, CONFIG), KEPT, PLACES, dials=(CAS, API), resolved={"cas": True}, version="1")
    return replace(made, **more)


def alone(part: str, volume: str) -> Housed:
    """As the guide warns: a volume of its own, and no CAS."""
    return worker(part, mounts=(replace(SHARED, source=volume),), dials=(API,))


SCHEDULER = Housed(state("scheduler"), worker_ports=(50061,), opened=(Opened(50061, "127.0.0.1", 50061),), version="1")
LAYER = worker(mounts=(Mount("volume", "cas-data", "/root/.cache", writable=True),))
FALLEN = worker(
    state=state(status="restarting", restarts=4, exit_code=13),
    mounts=(SHARED, Mount("volume", "t", "/data/w/tmp", writable=True)),
    places={},
)

CASES: list[tuple[Callable[[Any], Iterable[Finding]], Any, Verdict, str]] = [
    (docker.judge_lives, [worker()], Verdict.OK, ""),
    (docker.judge_lives, [worker(state=state(oom_killed=True, memory_bytes=1 << 30))], Verdict.WARNING, "1.1 GB"),
    (
        docker.judge_lives,
        [worker(state=state(status="exited", oom_killed=True))],
        Verdict.FAILED,
        "killed by the kernel",
    ),
    (docker.judge_lives, [worker(state=state(status="exited", exit_code=137))], Verdict.FAILED, "signal 9"),
    (docker.judge_lives, [worker(state=state(status="restarting", restarts=2))], Verdict.FAILED, "again and again"),
    (docker.judge_lives, [worker(state=state(restarts=5))], Verdict.WARNING, "5 times"),
    (docker.judge_lives, [worker(state=state(restarts=5, health="starting"))], Verdict.FAILED, "again and again"),
    (docker.judge_lives, [worker(state=state(status="paused"))], Verdict.FAILED, "paused"),
    (docker.judge_lives, [worker(killed=2)], Verdict.WARNING, "lost processes to the kernel"),
    (docker.judge_lives, [worker(state=state(health="unhealthy"))], Verdict.FAILED, "health check fails"),
    (docker.judge_lives, [worker(state=state(health="unhealthy"), closed=("cas:50051",)), SCHEDULER], Verdict.OK, ""),
    (docker.judge_lives, [FALLEN], Verdict.SKIPPED, "NLD-DKR-02"),
    (docker.judge_lives, [replace(FALLEN, mounts=(), keeps=(), readable=False)], Verdict.SKIPPED, "NLD-CFG-01"),
    (docker.judge_stores, [worker(), SCHEDULER], Verdict.OK, ""),
    (
        docker.judge_stores,
        [worker(mounts=(SHARED, Mount("volume", "t", "/data/w/tmp", writable=True)))],
        Verdict.FAILED,
        "another device or mount",
    ),
    (docker.judge_stores, [replace(LAYER, mounts=())], Verdict.FAILED, "writable layer"),
    (
        docker.judge_stores,
        [worker(mounts=(SHARED, Mount("volume", "extra", "/mnt/cas", writable=True)))],
        Verdict.WARNING,
        "no store of its config is there",
    ),
    (
        docker.judge_stores,
        [worker(places={**PLACES, "/data/w/tmp": (8, 2)})],
        Verdict.FAILED,
        "temp_path /data/w/tmp on another device or mount",
    ),
    (
        docker.judge_stores,
        [worker(places={}, mounts=(SHARED, Mount("volume", "t", "/data/w/tmp", writable=True)))],
        Verdict.FAILED,
        "on another device",
    ),
    (docker.judge_sharing, [worker(), worker("worker-2"), SCHEDULER], Verdict.OK, ""),
    (docker.judge_sharing, [alone("worker-1", "a"), alone("worker-2", "b"), SCHEDULER], Verdict.FAILED, "of their own"),
    (docker.judge_sharing, [alone("worker-1", "a"), alone("worker-2", "a"), SCHEDULER], Verdict.OK, ""),
    (
        docker.judge_sharing,
        [worker(ours=False), worker("worker-2", ours=False), SCHEDULER],
        Verdict.FAILED,
        "cas-data/w/content",
    ),
    (docker.judge_network, [worker(), SCHEDULER], Verdict.OK, ""),
    (docker.judge_network, [worker(resolved={"cas": False})], Verdict.FAILED, "calls cas:50051"),
    (docker.judge_network, [worker(closed=("cas:50051",))], Verdict.FAILED, "nobody takes the connection"),
    (docker.judge_network, [worker(dials=(Dialled("127.0.0.1", 50051),))], Verdict.FAILED, "its own container"),
    (
        docker.judge_network,
        [replace(SCHEDULER, opened=(Opened(50061, "0.0.0.0", 50061),))],
        Verdict.WARNING,
        "open to everybody",
    ),
    (docker.judge_images, [worker(), SCHEDULER], Verdict.OK, ""),
    (docker.judge_images, [worker(version="2"), SCHEDULER], Verdict.WARNING, "2 versions"),
]
