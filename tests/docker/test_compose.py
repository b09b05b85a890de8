"""The compose file that `nlctl config render` writes, run by Compose on a real engine."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from tests.docker.compose import Project, free_ports, project, until
from tests.nlctl.conftest import Cli, items
from tests.nlctl.documents import valid

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


@pytest.fixture(scope="module")
def shop(running: Project, user: Cli) -> str:
    """The project as a cluster of this machine, under this name."""
    user("context", "add", "shop", "--compose", running.name)
    return "shop"


def test_what_compose_runs_is_operated_as_a_cluster_of_this_machine(running: Project, user: Cli, shop: str) -> None:
    running.healthy("worker", 5)
    user("-C", shop, "wait", "--for", "ready", "--timeout", "10m")
    rows = {row["name"]: row for row in items(user, "-C", shop, "ps")}
    assert list(rows) == ["cas", "scheduler", *(f"worker-{number}" for number in range(1, 6))]
    assert (rows["worker-1"]["most_cpus"], rows["worker-1"]["most_memory_bytes"]) == (1.5, 512_000_000)
    status = valid(user("-C", shop, "status", "-o", "json").document)["item"]
    assert (status["verdict"], status["workers"]["wanted"], status["workers"]["registered"]) == ("READY", 5, 5)
    assert {row["name"] for row in items(user, "-C", shop, "workers", "ls")} == {
        one.id[:12] for one in running.containers("worker") if one.id
    }
    assert "Worker registered" in user("-C", shop, "logs", "--grep", "Worker registered").out
    assert {one["status"] for one in items(user, "-C", shop, "doctor")} <= {"ok", "info", "skipped"}


@pytest.mark.parametrize("words", ["scale 7", "scale 7 --dry-run", "up --workers 7", "down", "down --wipe --yes"])
def test_what_compose_would_undo_is_refused_with_the_line_for_compose(
    running: Project, user: Cli, shop: str, words: str
) -> None:
    fault = user("-C", shop, *words.split(), "-o", "json", code=10).fault
    fixes = " ".join(str(one) for one in fault["fix"])
    assert f"docker compose --project-name {running.name} " in fixes
    assert ("worker=7" in fixes) == ("7" in words)


def test_it_is_scaled_to_fewer_and_still_works(running: Project, user: Cli, shop: str) -> None:
    running.line("docker compose up -d --scale worker=2")
    assert len(running.containers("worker")) == 2
    user("-C", shop, "wait", "--for", "ready", "--timeout", "10m")
    assert valid(user("-C", shop, "status", "-o", "json").document)["item"]["workers"]["wanted"] == 2
    assert user("-C", "compose", "run", "--no-cache", "--", "echo", "still").out == "still\n"


def test_it_is_forgotten_and_goes_on(running: Project, user: Cli, shop: str) -> None:
    user("context", "rm", shop)
    user("-C", shop, "ps", code=3)
    assert len(running.containers("worker")) == 2
