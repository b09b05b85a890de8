"""The connection to a Docker Engine, and its failures worded for people."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from nlctl.faults import ENGINE_REFUSED, NO_ENGINE, NO_IMAGE, Fault, fix

if TYPE_CHECKING:
    from docker import APIClient

_ANSWER_SECONDS: Final = 300
_LOCAL: Final = ("", "unix", "npipe")


def address(environment: Mapping[str, str] = os.environ) -> str:
    """Where the engine is, as Docker's own client is told it."""
    return environment.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def remote_host(environment: Mapping[str, str] = os.environ) -> str | None:
    """The host of an engine that runs elsewhere; None for one that sees this machine's files."""
    parts = urlsplit(address(environment))
    return None if parts.scheme in _LOCAL else parts.hostname or "localhost"


def connect(environment: Mapping[str, str] = os.environ) -> APIClient:
    """The engine that DOCKER_HOST names, or this machine's. Raises Fault NO_ENGINE."""
    # It takes 0.1 s, which only those pay who speak to an engine.
    import docker
    from docker.errors import DockerException

    try:
        return docker.DockerClient.from_env(
            timeout=_ANSWER_SECONDS, environment=dict(environment), use_ssh_client=True
        ).api
    except (DockerException, OSError, ImportError) as error:
        raise absent(str(error), environment) from error


def absent(why: str, environment: Mapping[str, str] = os.environ) -> Fault:
    """No engine answers."""
    where = address(environment)
    known = {"FileNotFoundError": "there is no such socket", "ConnectionRefused": "nobody listens there"}
    plain = next((words for sign, words in known.items() if sign in why), why)
    if "PermissionError" in why:
        plain = "this user may not open its socket"
    return Fault(
        NO_ENGINE,
        f"no Docker Engine answers at {where}",
        why=plain,
        fixes=[
            fix("start it, or join the group docker: systemctl start docker; usermod -aG docker $USER"),
            fix("say where another one is: DOCKER_HOST=unix:///run/user/1000/docker.sock"),
            fix("run the parts as processes", "nlctl", "up", "--backend", "process"),
        ],
    )


@contextmanager
def told() -> Iterator[None]:
    """What the engine raises inside, as Faults: NO_ENGINE, NO_IMAGE, ENGINE_REFUSED."""
    from docker.errors import APIError, DockerException, ImageNotFound
    from requests.exceptions import RequestException

    try:
        yield
    except ImageNotFound as error:
        raise no_image(str(error.explanation)) from error
    except APIError as error:
        why = str(error.explanation or error)
        raise Fault(
            ENGINE_REFUSED,
            "the Docker Engine refused",
            why=why,
            fixes=[fix("see what it runs", "nlctl", "ps"), fix("read its own log: journalctl -u docker")],
        ) from error
    except (DockerException, RequestException, OSError) as error:
        raise absent(str(error)) from error


def no_image(why: str) -> Fault:
    """The engine has no such image."""
    return Fault(
        NO_IMAGE,
        "the Docker Engine does not have this image",
        why=why,
        fixes=[
            fix("build it, or fetch it with docker pull", "nlctl", "image", "build"),
            fix("or build it upon an image that is there", "nlctl", "image", "build", "--base", "IMAGE"),
        ],
    )
