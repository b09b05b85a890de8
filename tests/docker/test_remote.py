"""A cluster on an engine elsewhere: one with a network and a root of its own, which sees no folder of these tests."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from tests.nlctl.conftest import Cli, items, until
from tests.nlctl.documents import valid

pytestmark = pytest.mark.real

PATIENT = ("--wait-timeout", "5m")
PORT = 2375
# Addresses for documentation: no network of this machine has them.
HERE, THERE = "198.51.100.1", "198.51.100.2"
ENGINE = """
ip link set lo up
mount -t tmpfs none /tmp
exec dockerd --host tcp://0.0.0.0:$1 --tls=false --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" \
    --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
"""


@dataclass(frozen=True)
class Elsewhere:
    """An engine that is reached by its address alone, and a user who is told where it is."""

    engine: docker.DockerClient
    user: Cli
    image: str


@pytest.fixture(scope="module")
def elsewhere(engine: docker.DockerClient, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = Path(tempfile.mkdtemp(prefix="nlctl-elsewhere-", dir="/var/tmp"))
    with open(folder / "log", "wb") as log:
        running = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", ENGINE, folder, str(PORT)], stdout=log, stderr=log
        )
    try:
        _connect(running.pid)
        url = f"tcp://{THERE}:{PORT}"
        client = until(lambda: _asked(url), 300)
        name = engine.images.get(image)
        client.images.load(name.save(named=image))
        user = Cli(tmp_path_factory.mktemp("elsewhere"), {"DOCKER_HOST": url}, 900)
        yield Elsewhere(client, user, image)
        user("down", "--all", "--wipe", "--yes", code=None)
        left = [*client.containers.list(all=True), *client.volumes.list(), *client.networks.list(names=["nlctl-"])]
        assert left == []
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _connect(pid: int) -> None:
    """A cable from this machine to the network of this process, which has one of its own by now."""
    until(lambda: Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink())
    link = f"nl{secrets.token_hex(4)}"
    within = ["nsenter", "--target", str(pid), "--net"]
    for words in (
        ["ip", "link", "add", link, "type", "veth", "peer", "name", "cable", "netns", str(pid)],
        ["ip", "address", "add", f"{HERE}/30", "dev", link],
        ["ip", "link", "set", link, "up"],
        [*within, "ip", "address", "add", f"{THERE}/30", "dev", "cable"],
        [*within, "ip", "link", "set", "cable", "up"],
    ):
        subprocess.run(words, check=True)


def _asked(url: str) -> docker.DockerClient | None:
    try:
        client = docker.DockerClient(url, timeout=900)
        client.ping()
    except DockerException:
        return None
    return client


@pytest.fixture(scope="module")
def up(elsewhere: Elsewhere) -> Cli:
    """Two workers there."""
    where = ("--backend", "docker", "--image", elsewhere.image, "--name", "away")
    said = elsewhere.user("up", *where, "-o", "json", code=2).fault
    assert "--publish" in str(said["fix"]), "on the loopback of the engine's host nobody reaches them"
    elsewhere.user("up", *where, "--workers", "2", "--publish", "0.0.0.0", *PATIENT)
    return elsewhere.user


def test_clients_go_to_the_host_of_the_engine(up: Cli) -> None:
    status = valid(up("status", "-o", "json").document)["item"]
    assert status["verdict"] == "READY"
    assert {THERE in url for url in status["endpoints"].values()} == {True}
    assert up("run", "--no-cache", "--", "hostname").out.strip() in ("worker-1", "worker-2")
    assert len(items(up, "workers", "ls")) == 2


def test_no_folder_of_this_machine_is_needed_there(up: Cli, elsewhere: Elsewhere) -> None:
    mounts = [mount for one in elsewhere.engine.containers.list() for mount in one.attrs["Mounts"]]
    assert {mount["Type"] for mount in mounts} == {"volume"}


def test_what_runs_there_has_no_process_here(up: Cli) -> None:
    rows = items(up, "ps")
    assert [row["state"] for row in rows] == ["ready"] * 4
    assert {row["pid"] for row in rows} == {None}
    assert all(row["rss_bytes"] > 1 << 20 for row in rows)
    up("workers", "kill", "worker-1", "--yes", code=10)


def test_logs_come_from_there(up: Cli) -> None:
    assert "Executing action" in up("logs", "--grep", "Executing action").out


def test_it_is_scaled_restarted_and_examined_from_here(up: Cli) -> None:
    up("scale", "3", *PATIENT)
    before = {row["name"]: row["since_ms"] for row in items(up, "ps")}
    up("restart", "worker-1", *PATIENT)
    after = {row["name"]: row["since_ms"] for row in items(up, "ps")}
    assert {name for name in after if after[name] < before[name]} == {"worker-1"}
    said = items(up, "doctor", code=None)
    # The worker API is open to more than this machine there, which is what was asked.
    assert {one["id"] for one in said if one["status"] not in ("ok", "info", "skipped")} <= {"NLD-DKR-04"}


def test_what_only_parts_in_reach_could_tell_is_refused_with_what_works(up: Cli) -> None:
    fault = up("cas", "ls", "-o", "json", code=10).fault
    assert ["nlctl", "cas", "stat", "DIGEST"] in [one["command"] for one in fault["fix"]]


def test_wipe_leaves_nothing_there(up: Cli, elsewhere: Elsewhere) -> None:
    up("down", "--name", "away", "--wipe", "--yes")
    assert elsewhere.engine.containers.list(all=True) == []
    assert elsewhere.engine.volumes.list() == []
