"""`nlctl image build` where nothing can be built: what is missing, and what to do about it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from nlctl.containers.wheels import Python
from tests.nlctl.conftest import Cli


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:{port}"])
def test_an_absent_engine_is_named_with_what_to_do(cli: Cli, host: str) -> None:
    with socket.socket() as nobody:
        # Bound but not listening: connections are refused, and nobody else gets the port.
        nobody.bind(("127.0.0.1", 0))
        where = host.format(port=nobody.getsockname()[1])
        fault = cli("image", "build", "-n", "-o", "json", code=4, DOCKER_HOST=where).fault
    assert fault["code"] == "NL-DKR-101"
    assert where in fault["message"]
    assert ["nlctl", "up", "--backend", "process"] in [one["command"] for one in fault["fix"]]


def test_wheels_that_are_no_whole_set_are_refused_before_anything_is_asked(cli: Cli) -> None:
    (cli.home / "nlctl-0.1.0-py3-none-any.whl").touch()
    done = cli("image", "build", "--wheels", ".", "-o", "json", code=3, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.fault["code"] == "NL-DKR-106"
    assert "pip" in done.fault["message"]


def test_wheels_are_those_that_the_glibc_of_the_base_can_load() -> None:
    tags = Python("3.11", "aarch64", 31).tags
    assert {"manylinux_2_17_aarch64", "manylinux_2_31_aarch64", "manylinux2014_aarch64"} <= set(tags)
    assert "manylinux_2_34_aarch64" not in tags


def test_the_dockerfile_ships_with_the_templates() -> None:
    text = (Path(__file__).parents[2] / "templates/docker/Dockerfile").read_text()
    assert "USER 10001:10001" in text
    assert text.count("FROM ${BASE}") == 2
