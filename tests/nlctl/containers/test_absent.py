"""Where no Docker Engine answers, commands say so, and what to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nlctl.launch.containers import Containers
from nlctl.launch.ledger import Ledger, Record
from nlctl.launch.wish import Ports
from tests.nlctl.conftest import Cli


def test_without_an_engine_nothing_is_started_and_the_remedy_is_named(cli: Cli, tmp_path: Path) -> None:
    absent = f"unix://{tmp_path}/docker.sock"
    done = cli("up", "--backend", "docker", "--name", "lab", "-o", "json", code=4, DOCKER_HOST=absent)
    assert (done.fault["code"], done.fault["exit_name"]) == ("NL-DKR-101", "unreachable")
    assert absent in done.fault["message"]
    assert ["nlctl", "up", "--backend", "process"] in [one["command"] for one in done.fault["fix"]]
    cli("ps", "--name", "lab", code=3)


def test_flags_of_containers_are_refused_for_processes(cli: Cli) -> None:
    done = cli("up", "--memory", "1gb", "-o", "json", code=2)
    assert "--backend docker" in done.fault["message"]


def test_a_backend_that_there_is_not_is_refused(cli: Cli) -> None:
    done = cli("up", "--backend", "podman", "-o", "json", code=2)
    assert "podman" in done.fault["message"]


@pytest.mark.parametrize(
    "command",
    [
        ("up", "--name", "lab"),
        ("ps", "--name", "lab"),
        ("status", "--name", "lab"),
        ("logs", "--name", "lab"),
        ("scale", "2", "--name", "lab"),
        ("doctor", "--name", "lab"),
        ("down", "--name", "lab"),
        ("down", "--name", "lab", "--wipe", "--yes"),
        ("image", "build"),
        ("context", "add", "shop", "--compose", "shop"),
    ],
    ids=" ".join,
)
def test_every_command_of_a_cluster_of_containers_says_that_their_engine_is_absent(
    cli: Cli, tmp_path: Path, command: tuple[str, ...]
) -> None:
    ledger = Ledger(cli.state / "clusters" / "lab")
    ledger.prepare()
    ledger.save(Record("lab", ("worker-1",), "10gb", Ports(1, 2, 3), time.time(), containers=Containers("nlctl:1")))
    done = cli(*command, "-o", "json", code=4, DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert (done.fault["code"], done.fault["exit_name"]) == ("NL-DKR-101", "unreachable")
    assert done.fault["fix"]
    assert ledger.exists, "its record stays for when the engine is back"
