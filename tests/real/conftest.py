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

BUILDBOX = Path(os.environ.get("BUILDBOX", Path(__file__).parents[2] / ".venv/real/buildbox"))


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
