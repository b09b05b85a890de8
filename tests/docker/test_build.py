"""Bazel builds the project on containers, while workers come and go, and whatever happens to a container meanwhile."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from tests.docker.compose import until
from tests.docker.gated import EACH, Gated, building
from tests.nlctl.conftest import Cli, items
from tests.real import build
from tests.real.bazel import Bazel
from tests.real.workspace import COMPILATIONS, TESTS

pytestmark = pytest.mark.real

CLUSTER = "nlctl-test-build"
PARTS = ("scheduler", "cas", "worker-1")
# Bazel asks again for as long as it takes a person to bring back what is gone; the engine is quicker.
PATIENT = "--remote_retries=60"
# Takes more memory than the container has, after it made the kernel prefer the others who live there.
TAKE = """for one in /proc/[0-9]*; do echo 1000 > $one/oom_score_adj; done
    echo 0 > /proc/self/oom_score_adj
    python3 -c 'bytearray(1 << 31)'"""
HOG = f"""mkdir /data/hogged 2>/dev/null && {{
    {TAKE.replace("$", "$$")}
}} || true"""
LITTLE, ENOUGH = "400m", "1500m"


@pytest.fixture(scope="module")
def cluster(engine: docker.DockerClient, toolchain: str, user: Cli, bazel: Bazel) -> Iterator[Cli]:
    """Five workers that have a compiler, and Bazel told of them."""
    words = ("--backend", "docker", "--image", toolchain, "--memory", "1500mb", "--base-port", "auto")
    user("up", "--name", CLUSTER, "--workers", "5", *words, "--wait-timeout", "600s")
    bazel.workspace.cluster(user("bazelrc").out + "build --config=nl\n")
    yield user
    user("down", "--wipe", "--yes")


@pytest.fixture
def gated(bazel: Bazel) -> Iterator[Callable[..., Gated]]:
    """Makes packages, which are gone after the test."""
    with ExitStack() as stack:

        def make(name: str, **how: str) -> Gated:
            made = Gated(bazel, name, **how)
            stack.callback(made.remove)
            return made

        yield make


def container(engine: docker.DockerClient, part: str) -> Container:
    return engine.containers.get(f"nlctl-{CLUSTER}-{part}")


def at_gate(cluster: Cli, gate: Gated) -> bool:
    """Whether the build came there; while the scheduler is away nobody can tell."""
    done = cluster("ops", "ls", "--state", "executing", "-o", "json", code=None)
    return done.code == 0 and any(one["target"] == f"//{gate.name}:gate" for one in done.document["items"])


def is_whole(cluster: Cli) -> bool:
    return cluster("status", code=None).code == 0


def test_nothing_is_lost_of_a_build_while_workers_come_and_go(
    engine: docker.DockerClient, cluster: Cli, bazel: Bazel, gated: Callable[..., Gated], tmp_path: Path
) -> None:
    for_ten, for_three = gated("ten"), gated("three", worker="worker-1")
    bazel.clean()
    with building(bazel, tmp_path, "test", "//...") as running:
        running.until(lambda: at_gate(cluster, for_three))
        cluster("scale", "10", "--wait-timeout", "600s")
        for_ten.open(container(engine, "cas"))
        running.until(lambda: cluster("logs", "--grep", "Executing action.* ten after").out.count("\n") >= EACH)
        cluster("scale", "3", "--deadline", "600s")
        for_three.open(container(engine, "cas"))
        run = running.done()
    assert run.passed == TESTS
    assert run.processes["remote"] > COMPILATIONS + TESTS
    assert not {"local", "remote cache hit"} & set(run.processes)
    build.outputs_are_right(bazel)
    begun = re.findall(r"Executing action.*? operation=(\S+)", cluster("logs").out)
    assert len(begun) == len(set(begun)), "an action was run twice"
    assert for_ten.hosts("after") - {f"worker-{number}" for number in range(1, 6)}
    assert for_three.hosts("after") <= {one["name"] for one in items(cluster, "ps")}


def killed(victim: Container) -> None:
    os.kill(victim.attrs["State"]["Pid"], signal.SIGKILL)


def restarted(victim: Container) -> None:
    victim.restart(timeout=60)


def starved(victim: Container) -> None:
    """Let the kernel kill what serves there for want of memory."""
    victim.update(mem_limit=LITTLE, memswap_limit=LITTLE)
    before = victim.attrs["RestartCount"]
    victim.exec_run(["sh", "-c", TAKE])
    until(lambda: victim.reload() or victim.attrs["RestartCount"] > before)
    victim.update(mem_limit=ENOUGH, memswap_limit=ENOUGH)


def removed(victim: Container) -> None:
    victim.remove(force=True, v=True)


def befall(mishap: Callable[[Container], None], victim: Container, gate: Gated, other: Container) -> None:
    """Let this happen, and open the gate as soon as it did; a worker that is told to end finishes what it runs."""
    with ThreadPoolExecutor(1) as pool:
        doing = pool.submit(mishap, victim)
        until(lambda: doing.done() or (mishap is restarted and b"Worker is draining" in victim.logs()))
        gate.open(other)
        doing.result()


@pytest.mark.parametrize("mishap", [killed, starved, restarted, removed])
def test_a_build_survives_what_happens_to_a_container_of_each_kind(
    engine: docker.DockerClient,
    cluster: Cli,
    bazel: Bazel,
    gated: Callable[..., Gated],
    tmp_path: Path,
    mishap: Callable[[Container], None],
) -> None:
    gates = {part: gated(f"{mishap.__name__}-{part}", worker="worker-1") for part in PARTS}
    patience = [PATIENT] if mishap is removed else []
    with building(bazel, tmp_path, "build", *(f"//{one.name}/..." for one in gates.values()), *patience) as running:
        for part, gate in gates.items():
            running.until(partial(at_gate, cluster, gate))
            befall(mishap, container(engine, part), gate, container(engine, "scheduler" if part == "cas" else "cas"))
            if mishap is removed:
                cluster("up", "--wait-timeout", "600s")
        run = running.done()
    assert "local" not in run.processes
    assert {host for gate in gates.values() for host in gate.hosts("gate")} == {"worker-1"}
    until(lambda: is_whole(cluster))


def test_results_outlive_the_container_of_the_cas(engine: docker.DockerClient, cluster: Cli, bazel: Bazel) -> None:
    bazel.run("build", "//gen/...")
    removed(container(engine, "cas"))
    cluster("up", "--wait-timeout", "600s")
    bazel.clean()
    again = bazel.run("build", "//gen/...")
    assert "remote" not in again.processes
    build.generated_files_are_right(bazel)


def test_a_build_survives_that_a_worker_runs_out_of_memory(
    engine: docker.DockerClient, cluster: Cli, bazel: Bazel, gated: Callable[..., Gated], tmp_path: Path
) -> None:
    [before] = [one["restarts"] for one in items(cluster, "ps") if one["name"] == "worker-1"]
    gate = gated("hog", first=HOG, worker="worker-1")
    with building(bazel, tmp_path, "build", "//hog/...") as running:
        running.until(lambda: container(engine, "worker-1").attrs["RestartCount"] > before)
        gate.open(container(engine, "cas"))
        run = running.done()
    assert "local" not in run.processes
    until(lambda: is_whole(cluster))
