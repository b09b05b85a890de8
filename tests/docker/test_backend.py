"""A cluster as containers of a real engine: five workers, limited, labelled, struck, and gone without a trace."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from tests.nlctl.conftest import Cli, items, until
from tests.nlctl.documents import valid

pytestmark = pytest.mark.real

MEMORY = 256 << 20
CPUS = 1.5
PATIENT = ("--wait-timeout", "5m")
SERVERS = ["cas", "scheduler"]
VOLUMES = ["config", "data"]
# What the kernel holds a container to, as it sees it itself: by either version of cgroups.
SEEN = (
    "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null; "
    "echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu.max 2>/dev/null)"
)
GREEDY = "held = [bytearray(1 << 20) for _ in range(4096)]"


@pytest.fixture(scope="module")
def name() -> str:
    """Of the cluster; others may run some on this engine too."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def up(user: Cli, engine: docker.DockerClient, image: str, name: str) -> Iterator[Cli]:
    """Five workers with limits. By the id of the image: whoever builds it anew meanwhile changes nothing here."""
    user(
        *("up", "--backend", "docker", "--image", str(engine.images.get(image).id), "--name", name, "--workers", "5"),
        *("--base-port", "auto", "--memory", str(MEMORY), "--cpus", str(CPUS), *PATIENT),
    )
    yield user
    user("down", "--name", name, "--wipe", "--yes", code=None)
    assert ours(engine, name) == []


def part(engine: docker.DockerClient, name: str, of: str) -> Container:
    """The container of this part."""
    return engine.containers.get(f"nlctl-{name}-{of}")


def ours(engine: docker.DockerClient, name: str) -> list[str]:
    """Everything on the engine that carries this cluster's label."""
    mine = {"label": f"nlctl.cluster={name}"}
    found = (
        *engine.containers.list(all=True, filters=mine),
        *engine.networks.list(filters=mine),
        *engine.volumes.list(filters=mine),
    )
    return [str(one.name) for one in found]


def works(cli: Cli, *words: str) -> None:
    """All parts are ready, and an action runs."""
    cli("wait", "--for", "ready", "--timeout", "5m")
    word = secrets.token_hex(8)
    assert cli("run", "--no-cache", *words, "--", "/bin/sh", "-c", f"echo {word}").out == f"{word}\n"


def test_everything_on_the_engine_says_whose_it_is(up: Cli, engine: docker.DockerClient, name: str) -> None:
    parts = [*SERVERS, *(f"worker-{number}" for number in range(1, 6))]
    wanted = [*(f"nlctl-{name}-{one}" for one in parts), f"nlctl-{name}", *(f"nlctl-{name}-{v}" for v in VOLUMES)]
    assert sorted(ours(engine, name)) == sorted(wanted)
    assert {part(engine, name, one).labels["nlctl.part"] for one in parts} == set(parts)


def test_limits_are_the_kernels_and_ps_shows_them(up: Cli, engine: docker.DockerClient, name: str) -> None:
    rows = {row["name"]: row for row in items(up, "ps")}
    for worker in [one for one in rows if one not in SERVERS]:
        assert (rows[worker]["most_memory_bytes"], rows[worker]["most_cpus"]) == (MEMORY, CPUS)
    assert [rows[one]["most_memory_bytes"] for one in SERVERS] == [None, None]
    memory, cpu = part(engine, name, "worker-3").exec_run(["/bin/sh", "-c", SEEN]).output.decode().splitlines()
    assert int(memory) == MEMORY
    quota, period = map(int, cpu.split())
    assert quota / period == CPUS
    shown = up("ps", "-o", "table").out
    assert "268.4 MB" in shown
    assert "1.5" in shown


def test_ports_are_open_on_loopback_alone(up: Cli, engine: docker.DockerClient, name: str) -> None:
    for server in SERVERS:
        bindings = part(engine, name, server).attrs["HostConfig"]["PortBindings"]
        assert {one["HostIp"] for row in bindings.values() for one in row} == {"127.0.0.1"}


def test_configs_are_read_only_for_the_parts_and_nobody_is_root(
    up: Cli, engine: docker.DockerClient, name: str
) -> None:
    worker = part(engine, name, "worker-1")
    assert worker.exec_run(["/bin/sh", "-c", "id -u"]).output.strip() != b"0"
    assert worker.exec_run(["/bin/sh", "-c", "touch /etc/nlctl/x"], user="0").exit_code != 0


def test_the_doctor_has_nothing_to_say_of_a_cluster_that_is_well(up: Cli) -> None:
    found = items(up, "doctor", "--strict")
    looked = {one["id"] for one in found if one["status"] == "ok"}
    assert {"NLD-DKR-01", "NLD-STO-01", "NLD-SHR-01", "NLD-CFG-01"} <= looked
    assert {one["status"] for one in found} <= {"ok", "info", "skipped"}


def test_a_bundle_holds_what_the_containers_say(up: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.tar.gz"
    up("support", "bundle", "--out", str(archive))
    shown = up("support", "show", str(archive)).out
    assert "logs/worker-5" in shown


def test_a_name_is_not_taken_from_another_user(up: Cli, tmp_path: Path, name: str, image: str) -> None:
    other = Cli(tmp_path)
    said = other("up", "--backend", "docker", "--image", image, "--name", name, "-o", "json", code=7)
    assert said.fault["code"] == "NL-DKR-104"
    assert str(up.home) in said.fault["why"]
    works(up)


@pytest.mark.parametrize("struck", [*SERVERS, "worker-1"])
def test_a_container_that_is_started_anew_beside_nlctl_serves_on(
    up: Cli, engine: docker.DockerClient, name: str, struck: str
) -> None:
    part(engine, name, struck).restart(timeout=10)
    works(up)


def test_containers_that_are_removed_are_made_again_by_the_next_up(
    up: Cli, engine: docker.DockerClient, name: str
) -> None:
    before = {row["name"]: row["container"] for row in items(up, "ps")}
    removed = {*SERVERS, "worker-2"}
    image = part(engine, name, "cas").image
    for one in removed:
        part(engine, name, one).remove(force=True)
    # Somebody else has one of their addresses by now: who called it by that finds it by its name.
    stranger = engine.containers.run(image, ["600"], entrypoint="sleep", detach=True, network=f"nlctl-{name}")
    try:
        made = valid(up("up", *PATIENT, "-o", "json").document)["item"]
        assert {step["member"] for step in made["steps"] if step["sign"] != "="} == removed
        works(up)
    finally:
        stranger.remove(force=True)
    after = {row["name"]: row["container"] for row in items(up, "ps")}
    assert {one for one in after if after[one] != before[one]} == removed


def test_an_action_that_takes_too_much_memory_dies_and_its_worker_serves_on(up: Cli) -> None:
    on_worker = ("--platform", "nlctl-worker=worker-4")
    assert up("run", "--no-cache", *on_worker, "--", "/usr/bin/python3", "-c", GREEDY, code=None).code != 0
    works(up, *on_worker)
    (row,) = (row for row in items(up, "ps") if row["name"] == "worker-4")
    assert row["oom_kills"] or row["last_exit"] == "out of memory"
    troubles = [one for one in items(up, "doctor", "docker", code=None) if one["status"] in ("failed", "warning")]
    assert [(one["id"], "worker-4" in one["what"]) for one in troubles] == [("NLD-DKR-01", True)]


def test_a_worker_that_is_out_of_memory_itself_is_started_again_and_ps_tells(
    up: Cli, engine: docker.DockerClient, name: str
) -> None:
    worker = part(engine, name, "worker-5")
    (before,) = (row for row in items(up, "ps") if row["name"] == "worker-5")
    # The kernel takes this one first, whatever else is larger.
    for pid in worker.top()["Processes"]:
        Path(f"/proc/{pid[1]}/oom_score_adj").write_text("1000")
    worker.exec_run(["/usr/bin/python3", "-c", "held = [bytearray(1 << 20) for _ in range(4096)]"])
    until(lambda: next(row for row in items(up, "ps") if row["name"] == "worker-5")["restarts"] > before["restarts"])
    works(up, "--platform", "nlctl-worker=worker-5")
    (row,) = (row for row in items(up, "ps") if row["name"] == "worker-5")
    assert row["last_exit"] == "out of memory"


def test_wipe_leaves_no_container_network_or_volume(up: Cli, engine: docker.DockerClient, name: str) -> None:
    up("down", "--name", name)
    assert sorted(ours(engine, name)) == sorted(f"nlctl-{name}-{one}" for one in VOLUMES)
    up("down", "--name", name, "--wipe", "--yes")
    assert ours(engine, name) == []
