"""The stack that `nlctl config render --to swarm` writes, on a swarm of this one engine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import docker
import pytest
from docker.errors import APIError
from docker.models.services import Service

from tests.docker.compose import free_ports, until, volumes
from tests.nlctl.conftest import Cli

pytestmark = pytest.mark.real

STACK = "nlctl-test-stack"
NAMESPACE = f"com.docker.stack.namespace={STACK}"


@pytest.fixture(scope="module")
def swarm(engine: docker.DockerClient) -> Iterator[None]:
    assert engine.info()["Swarm"]["LocalNodeState"] == "inactive", "this engine is in a swarm that others use"
    (port,) = free_ports(1)
    engine.swarm.init(advertise_addr="127.0.0.1", listen_addr=f"127.0.0.1:{port}")
    yield
    until(lambda: _left(engine))


@pytest.fixture(scope="module")
def stack(engine: docker.DockerClient, swarm: None, image: str, user: Cli) -> Iterator[dict[str, Service]]:
    user("config", "render", "--to", "swarm", "--workers", "3", "--image", image, "--memory", "512mb")
    cas, clients = free_ports(2)
    # The SDK knows services, not stacks: these are the docker command's own.
    deploy = ["docker", "stack", "deploy", "--compose-file", "stack.yml", "--resolve-image", "never", STACK]
    environment = {"PATH": "/usr/bin:/bin", "CAS_PORT": str(cas), "CLIENT_PORT": str(clients), "HOME": str(user.home)}
    subprocess.run(deploy, cwd=user.home, env=environment, check=True, capture_output=True)
    user("context", "add", "swarm", f"grpc://127.0.0.1:{cas}", "--executor", f"grpc://127.0.0.1:{clients}")
    yield {one.name.removeprefix(f"{STACK}_"): one for one in engine.services.list(filters={"label": NAMESPACE})}
    labelled = {"label": NAMESPACE}
    seen = volumes(engine.containers.list(filters=labelled, ignore_removed=True))
    assert len(seen) == 2, "one of the CAS, and one of the workers"
    subprocess.run(["docker", "stack", "rm", STACK], env=environment, check=True, capture_output=True)
    until(lambda: not engine.containers.list(all=True, filters=labelled, ignore_removed=True))
    until(lambda: not engine.networks.list(filters=labelled))
    for volume in engine.volumes.list(filters=labelled):
        volume.remove()
    until(lambda: not seen & {one.name for one in engine.volumes.list()})


def _left(engine: docker.DockerClient) -> bool:
    """Leave the swarm; a busy engine says now and then that it could not, and is asked again."""
    with suppress(APIError):
        engine.api.leave_swarm(force=True)
    return bool(engine.info()["Swarm"]["LocalNodeState"] == "inactive")


def healthy(service: Service, count: int) -> list[dict[str, Any]]:
    """So many tasks of a service, once they run; one with a health check runs when it is healthy."""

    def look() -> list[dict[str, Any]]:
        tasks = service.tasks(filters={"desired-state": "running"})
        return tasks if [task["Status"]["State"] for task in tasks] == ["running"] * count else []

    found: list[dict[str, Any]] = until(look)
    return found


def test_every_service_comes_up_with_its_replicas(stack: dict[str, Service]) -> None:
    for name, count in {"cas": 1, "scheduler": 1, "worker": 3}.items():
        healthy(stack[name], count)


def test_workers_are_named_after_their_slots_and_limited(stack: dict[str, Service]) -> None:
    tasks = healthy(stack["worker"], 3)
    assert {task["Slot"] for task in tasks} == {1, 2, 3}
    assert all(task["Spec"]["Resources"]["Limits"]["MemoryBytes"] == 512_000_000 for task in tasks)
    scheduler = "".join(line.decode() for line in stack["scheduler"].logs(stdout=True, stderr=True))
    assert {f"worker-{number}" for number in (1, 2, 3)} <= set(scheduler.replace('\\"', " ").split())


def test_it_runs_actions_also_after_it_was_scaled(stack: dict[str, Service], user: Cli) -> None:
    assert user("-C", "swarm", "run", "--no-cache", "--", "echo", "three").out == "three\n"
    stack["worker"].scale(5)
    healthy(stack["worker"], 5)
    assert (
        user("-C", "swarm", "run", "--no-cache", "--platform", "nlctl-worker=worker-5", "--", "echo", "five").out
        == "five\n"
    )
