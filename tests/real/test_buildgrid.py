"""BuildGrid's command line is content with our server: capabilities, blobs, directories, execution, operations."""

from __future__ import annotations

import filecmp
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real import sites
from tests.real.sites import Site

pytestmark = pytest.mark.real
Bgd = Callable[..., str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.all_in_one(tmp_path_factory.mktemp("all")) as running:
        yield running


@pytest.fixture
def bgd(buildgrid: Path, site: Site, tmp_path: Path) -> Bgd:
    """Run `bgd COMMAND --remote OURS ...` in a fresh directory; it must succeed and gives what it says."""

    def run(command: str, *arguments: str) -> str:
        ended = subprocess.run(
            [buildgrid / "bgd", command, "--remote", site.endpoint.replace("grpc://", "http://"), *arguments],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, f"bgd {command} {' '.join(arguments)}:\n{ended.stdout}"
        return ended.stdout

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "in.txt").write_text("hello\n")
    (root / "sub/large").write_bytes(os.urandom(3_000_000))
    return root


def test_capabilities_are_understood(bgd: Bgd) -> None:
    said = bgd("capabilities")
    assert '"execEnabled": true' in said
    assert '"SHA256"' in said


def test_a_directory_goes_up_and_comes_down(bgd: Bgd, tree: Path, tmp_path: Path) -> None:
    pushed = bgd("cas", "upload-dir", "--verify", str(tree))
    digest = re.findall(r"with digest=\[([0-9a-f]{64}/\d+)\]", pushed)[-1]
    bgd("cas", "download-dir", "--verify", digest, str(tmp_path / "down"))
    for name in ("in.txt", "sub/large"):
        assert filecmp.cmp(tree / name, tmp_path / "down" / name, shallow=False)


def test_a_file_goes_up_and_comes_down(bgd: Bgd, tree: Path, tmp_path: Path) -> None:
    pushed = bgd("cas", "upload-file", "--verify", str(tree / "sub/large"))
    (digest,) = re.findall(r"with digest=\[([0-9a-f]{64}/\d+)\]", pushed)
    bgd("cas", "download-file", digest, str(tmp_path / "down"))
    assert filecmp.cmp(tree / "sub/large", tmp_path / "down", shallow=False)


def test_a_command_runs_and_its_operation_is_listed(bgd: Bgd, tree: Path, tmp_path: Path) -> None:
    shell = "tr a-z A-Z < in.txt > out.txt"
    platform = ("--platform-property", "OSFamily", "linux")
    said = bgd("execute", "command", "--output-file", "out.txt", *platform, str(tree), "--", "/bin/sh", "-c", shell)
    assert (tmp_path / "testing/out.txt").read_text() == "HELLO\n"
    (operation, *_) = re.findall(r'name: "(operations/[0-9a-f-]+)"', said)
    assert "Completed" in bgd("operation", "status", operation)
    assert bgd("operation", "list").count("stage=4, exit_code=0") == 1
