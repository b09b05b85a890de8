"""What tests on a real Docker Engine share: the engine, the image that nlctl builds there, and one with a compiler."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from typing import Final

import docker
import pytest
from docker.errors import DockerException

from tests.docker.compose import TOOLCHAIN
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid
from tests.real.bazel import Bazel
from tests.real.workspace import Workspace

BASE: Final = "nlctl-base"
TAG: Final = "nlctl:tested"
DOCKERFILE: Final = f"""\
FROM {TAG}
USER root
COPY --from=nlctl-debs /debs /debs
RUN dpkg --install /debs/*.deb >/dev/null && rm -r /debs
USER 10001:10001
"""


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine of this machine. What tests make there, they remove; its images stay, for the next time."""
    try:
        client = docker.from_env(timeout=1800)
        client.ping()
    except DockerException as failure:
        pytest.fail(f"no Docker Engine answers: run `make test-docker` ({failure})")
    yield client
    client.close()


@pytest.fixture(scope="session")
def built(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What `nlctl image build` said of the image that it built."""
    cli = Cli(tmp_path_factory.mktemp("builder"), limit=3600)
    item: dict[str, object] = valid(
        cli("image", "build", "--base", BASE, "--tag", TAG, "-o", "json", "--progress", "plain").document
    )["item"]
    return item


@pytest.fixture(scope="session")
def image(built: dict[str, object]) -> str:
    """The name of that image."""
    return str(built["tag"])


@pytest.fixture(scope="session")
def toolchain(engine: docker.DockerClient, image: str) -> str:
    """An image for workers that compile: ours, and a compiler, as docs/docker.md shows it."""
    build(engine, DOCKERFILE, TOOLCHAIN)
    return TOOLCHAIN


def build(engine: docker.DockerClient, dockerfile: str, tag: str) -> None:
    """An image of nothing but this and what it names."""
    engine.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=tag, rm=True, forcerm=True)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A user of `nlctl` who has nothing yet."""
    return Cli(tmp_path_factory.mktemp("home"), limit=900)


@pytest.fixture(scope="session")
def bazel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bazel]:
    """Bazel and the project; which cluster it uses, `bazel.workspace.cluster` tells it."""
    assert shutil.which("bazel"), "bazel is not installed: run `sh .ci/install-real-clients.sh`"
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    workspace.write()
    client = Bazel(workspace, tmp_path_factory.mktemp("bazel"))
    yield client
    client.shutdown()
