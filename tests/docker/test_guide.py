"""The compose file of NativeLink's multi-worker guide with another image name, and the guide's own lines."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.docker.compose import Project, project, until
from tests.real.bazel import Bazel

pytestmark = pytest.mark.real

SEED = Path(__file__).parents[1] / "real/seed"
THEIRS = "ghcr.io/tracemachina/nativelink:latest"
# As the compose file calls them.
CONFIGS = {
    "cas.json5": "cas-server-multi-worker.json5",
    "scheduler.json5": "scheduler-multi-worker.json5",
    "worker.json5": "worker.json5",
}
WORKERS = ("worker-1", "worker-2", "worker-3")


@pytest.fixture(scope="module")
def guide(engine: docker.DockerClient, toolchain: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("guide")
    for here, there in CONFIGS.items():
        shutil.copy(SEED / here, folder / there)
    text = (SEED / "docker-compose.yml").read_text()
    assert text.count(THEIRS) == 5
    (folder / "docker-compose.yml").write_text(text.replace(THEIRS, toolchain))
    with project(engine, folder) as made:
        made.line("docker compose up -d")
        for service in ("cas", "scheduler", *WORKERS):
            made.healthy(service, 1)
        yield made


def test_check_worker_registration(guide: Project) -> None:
    lines = guide.line('docker compose logs scheduler | grep "Worker registered"').splitlines()
    assert len(lines) == len(WORKERS)


def test_check_scheduler_connection(guide: Project) -> None:
    assert guide.line('docker compose logs worker-1 | grep "Connected to scheduler"')


def test_view_worker_properties(guide: Project) -> None:
    assert "x86-64" in guide.line('docker compose logs worker-1 | grep "platform_properties"')


def test_bazel_build_and_verify_distribution(guide: Project, bazel: Bazel) -> None:
    bazel.workspace.cluster("")
    bazel.clean()
    run = bazel.run(
        *("build", "//...", "--remote_cache=grpc://127.0.0.1:50051", "--remote_executor=grpc://127.0.0.1:50052"),
        "--jobs=50",
    )
    assert "local" not in run.processes
    counted = guide.line(
        """docker compose logs | grep "Executing action" | awk '{print $1}' | sort | uniq -c"""
    ).splitlines()
    by_worker = Counter({name: int(number) for number, name in (line.split() for line in counted)})
    assert {re.sub("_1$", "", name) for name in by_worker} == set(WORKERS)
    assert by_worker.total() >= run.processes["remote"]
    assert max(by_worker.values()) < 2 * by_worker.total() / len(by_worker) + 1


def test_match_job_requirements(guide: Project, bazel: Bazel) -> None:
    """The guide leaves the address of the CAS out here, but its scheduler serves none."""
    bazel.workspace.cluster("")
    line = ("--remote_executor=grpc://127.0.0.1:50052", "--remote_default_exec_properties=OSFamily=linux,ISA=x86-64")
    run = bazel.run("build", "//gen/...", "--remote_cache=grpc://127.0.0.1:50051", *line)
    assert run.processes["remote"]
    assert "local" not in run.processes


def test_verify_mounts(guide: Project) -> None:
    volumes = set()
    for service in ("cas", *WORKERS):
        (one,) = guide.containers(service)
        lines = guide.line(f"docker inspect {one.id} | grep -A 5 Mounts")
        assert '"Type": "' in lines
        volumes.add(next(mount["Name"] for mount in one.attrs["Mounts"] if mount["Type"] == "volume"))
    assert len(volumes) == 1, "one shared volume"


def test_scale(guide: Project) -> None:
    """The guide scales a service `worker`, which its own compose file has not: that changes nothing."""
    guide.line("docker compose up -d --scale worker=5")
    assert len(guide.containers()) == len(WORKERS) + 2
    guide.line("docker compose up -d --scale worker-1=3")
    until(lambda: guide.line('docker compose logs scheduler | grep -c "Worker registered"').strip() == "5")
    guide.line("docker compose up -d --scale worker-1=1")
    assert len(guide.containers("worker-1")) == 1
