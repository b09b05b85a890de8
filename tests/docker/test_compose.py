"""The compose file that `nlctl config render` writes, run by Compose on a real engine."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from tests.docker.compose import Project, free_ports, project, until
from tests.nlctl.conftest import Cli

pytestmark = pytest.mark.real

SOURCE = "int main(void) { return 0; }"
COMPILE = f"echo '{SOURCE}' > a.c && gcc a.c -o a && ./a && id -u && hostname"


@pytest.fixture(scope="module")
def running(engine: docker.DockerClient, toolchain: str, user: Cli) -> Iterator[Project]:
    user("config", "render", "--to", "compose", "--cpus", "1.5", "--memory", "512mb", "--image", toolchain)
    cas, clients = free_ports(2)
    with project(engine, user.home, CAS_PORT=str(cas), CLIENT_PORT=str(clients)) as made:
        made.line("docker compose up -d --scale worker=5")
        made.healthy("worker", 5)
        user("context", "add", "compose", f"grpc://127.0.0.1:{cas}", "--executor", f"grpc://127.0.0.1:{clients}")
        yield made


def test_parts_start_once_those_that_they_need_are_well(running: Project) -> None:
    (cas,), (scheduler,) = running.healthy("cas", 1), running.healthy("scheduler", 1)
    first_well = cas.attrs["State"]["Health"]["Log"][0]["End"]
    assert scheduler.attrs["State"]["StartedAt"] > first_well
    assert all(
        one.attrs["State"]["StartedAt"] > scheduler.attrs["State"]["StartedAt"] for one in running.containers("worker")
    )


def test_workers_have_the_limits_that_were_asked(running: Project) -> None:
    for one in running.containers("worker"):
        host = one.attrs["HostConfig"]
        assert (host["NanoCpus"], host["Memory"]) == (1_500_000_000, 512_000_000)
        assert host["MemoryReservation"] == 256_000_000


def test_an_action_finds_the_compiler_of_the_image_and_no_root(running: Project, user: Cli) -> None:
    identity, host = user("-C", "compose", "run", "--no-cache", "--", "/bin/sh", "-c", COMPILE).out.split()
    assert identity == "10001"
    assert host in {one.id[:12] for one in running.containers("worker") if one.id}


def test_a_worker_that_its_scheduler_does_not_know_is_not_healthy(running: Project) -> None:
    (scheduler,), worker = running.containers("scheduler"), running.containers("worker")[0]
    probe = worker.attrs["Config"]["Healthcheck"]["Test"][1:]
    assert worker.exec_run(probe).exit_code == 0
    scheduler.stop()
    until(lambda: worker.exec_run(probe).exit_code == 1)
    scheduler.start()
    until(lambda: worker.exec_run(probe).exit_code == 0)


def test_it_is_scaled_to_fewer_and_still_works(running: Project, user: Cli) -> None:
    running.line("docker compose up -d --scale worker=2")
    assert len(running.containers("worker")) == 2
    assert user("-C", "compose", "run", "--no-cache", "--", "echo", "still").out == "still\n"
