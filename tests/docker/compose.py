"""Projects of Docker Compose, by the program that people use; and what the engine says of their containers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import docker
from docker.models.containers import Container

from tests.nlctl import conftest

TOOLCHAIN: Final = "nlctl-toolchain:tested"
PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
# Debian's Compose is a program of its own, which the guide's lines call `docker compose`.
_AS_PLUGIN: Final = (
    'docker() { if [ "$1" = compose ]; then shift; docker-compose "$@"; else command docker "$@"; fi; }\n'
)
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something: an engine takes its time where much is built and started."""
    return conftest.until(look, 900)


class Project:
    """A folder with a compose file, under a project name of its own."""

    def __init__(self, engine: docker.DockerClient, folder: Path, environment: Mapping[str, str]) -> None:
        self.engine = engine
        self.folder = folder
        self.name = f"nlctl-test-{uuid.uuid4().hex[:8]}"
        self.seen: set[str] = set()
        self._environment = {**os.environ, **environment, "COMPOSE_PROJECT_NAME": self.name}

    def line(self, line: str, code: int = 0) -> str:
        """What a line of a shell prints that is written for `docker compose`."""
        done = subprocess.run(
            ["bash", "-c", _AS_PLUGIN + line],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        assert done.returncode == code, f"{line} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.seen |= volumes(self.containers())
        return _COLOUR.sub("", done.stdout)

    def containers(self, service: str = "") -> list[Container]:
        """Those that run, of one service or of all."""
        labels = [f"{PROJECT}={self.name}", *([f"{SERVICE}={service}"] if service else [])]
        return self.engine.containers.list(filters={"label": labels})

    def healthy(self, service: str, count: int) -> list[Container]:
        """So many containers of a service, once their health checks say that they are well."""

        def look() -> list[Container]:
            found = self.containers(service)
            return found if [health(one) for one in found] == ["healthy"] * count else []

        found: list[Container] = until(look)
        return found

    def port(self, service: str, inside: int) -> int:
        """Where a port of a service is published on this machine."""
        (one,) = self.containers(service)
        bindings: list[dict[str, str]] = one.attrs["NetworkSettings"]["Ports"][f"{inside}/tcp"]
        return int(bindings[0]["HostPort"])


@contextmanager
def project(engine: docker.DockerClient, folder: Path, **environment: str) -> Iterator[Project]:
    """A project that is taken down at the end, volumes included: nothing of it may be left."""
    made = Project(engine, folder, environment)
    try:
        yield made
    finally:
        made.line("docker compose down --volumes --remove-orphans --timeout 10")
    labelled = {"label": f"{PROJECT}={made.name}"}
    assert engine.containers.list(all=True, filters=labelled) == []
    assert engine.networks.list(filters=labelled) == []
    assert made.seen & {one.name for one in engine.volumes.list()} == set()


def volumes(containers: Iterable[Container]) -> set[str]:
    """The volumes, named or not, that these containers mount."""
    return {mount["Name"] for one in containers for mount in one.attrs["Mounts"] if mount["Type"] == "volume"}


def health(container: Container) -> str:
    """What the health check of a container said last."""
    state: dict[str, Any] = container.attrs["State"]
    return str(state.get("Health", {}).get("Status", "none"))


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return found
