"""The image that `nlctl image build` makes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import docker
import pytest

from nlctl import VERSION
from tests.docker.conftest import BASE
from tests.nlctl.conftest import Cli

pytestmark = pytest.mark.real


def said(engine: docker.DockerClient, image: str, *words: str, entrypoint: str | list[str] = "") -> str:
    output: bytes = engine.containers.run(image, list(words), entrypoint=entrypoint, remove=True, network_mode="none")
    return output.decode().strip()


def test_it_adds_less_than_a_quarter_of_a_gigabyte_to_its_base(built: dict[str, object]) -> None:
    added = built["added_bytes"]
    assert isinstance(added, int)
    assert 0 < added < 250_000_000


def test_it_holds_every_program_compiled_and_runs_them_as_nobody(engine: docker.DockerClient, image: str) -> None:
    script = """
        id -u; nlserver --version; nlctl version -o json >/dev/null && echo works
        find /opt/nlctl/lib -name '*.py' | wc -l; find /opt/nlctl/lib -name '*.pyc' | wc -l
        touch /opt/nlctl/x 2>/dev/null || echo sealed
        touch /data/x /data/cas/x /root/.cache/nativelink/data-worker-test/x /run/nlserver/x && echo ours
    """
    user, version, works, sources, compiled, *rest = said(engine, image, "/bin/sh", "-c", script).splitlines()
    assert (user, version, works) == ("10001", f"nlserver {VERSION}", "works")
    # A few files of others are not meant for this Python.
    assert int(compiled) > 0.98 * int(sources) > 1000
    assert rest == ["sealed", "ours"]


def test_its_first_process_is_an_init_and_its_labels_say_what_it_is(engine: docker.DockerClient, image: str) -> None:
    config = engine.images.get(image).attrs["Config"]
    assert config["Entrypoint"][:3] == ["tini", "--", "nlserver"]
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"] == ["CMD", "nlserver-probe", "/run/nlserver/admin.sock"]
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_a_base_without_python_is_refused_by_name(engine: docker.DockerClient, user: Cli, image: str) -> None:
    done = user("image", "build", "-n", "--base", "no-such-registry.invalid/nothing:1", "-o", "json", code=3)
    assert done.fault["code"] == "NL-DKR-102"


def test_an_engine_elsewhere_is_asked_where_docker_host_names_it(
    engine: docker.DockerClient, user: Cli, gate: str
) -> None:
    item = user("image", "build", "-n", "--base", BASE, "-o", "json", DOCKER_HOST=gate).document["item"]
    assert item["python"].startswith("3.")
    assert item["id"] is None


@pytest.fixture
def gate() -> Iterator[str]:
    """The engine of this machine behind a port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_let_in, args=(listening,), daemon=True).start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def _let_in(listening: socket.socket) -> None:
    while True:
        try:
            outside, _ = listening.accept()
        except OSError:
            return
        inside = socket.socket(socket.AF_UNIX)
        inside.connect("/var/run/docker.sock")
        for source, destination in ((outside, inside), (inside, outside)):
            threading.Thread(target=_carry, args=(source, destination), daemon=True).start()


def _carry(source: socket.socket, destination: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)
    except OSError:
        return
