"""Commands about work, pointed at buildbox-casd alone: a server that stores blobs and knows no workers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.real.programs import Part, program

pytestmark = pytest.mark.real
ADDRESS = "127.0.0.1:50957"


@pytest.fixture(scope="module")
def casd(buildbox: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("casd")
    command = [str(buildbox / "buildbox-casd"), f"--bind={ADDRESS}", str(home / "cache")]
    running = Part("buildbox-casd", command, home / "casd.log")
    try:
        with grpc.insecure_channel(ADDRESS) as waiting:
            grpc.channel_ready_future(waiting).result(timeout=20)
        yield f"grpc://{ADDRESS}"
    finally:
        running.kill()


def _nlctl(home: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [program("nlctl"), *words],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code, f"{words} ended with {ended.returncode}:\n{ended.stderr}"
    assert "Traceback" not in ended.stderr
    return ended


def test_every_command_works_or_names_the_substitute(casd: str, tmp_path: Path) -> None:
    """Statement 51."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("foreign\n")
    words = ("run", "--input", "in", "--endpoint", casd)
    planned = _nlctl(tmp_path, *words, "--dry-run", "-o", "json", "--", "cat", "a").stdout
    digest = "{hash}/{size_bytes}".format(**json.loads(planned)["item"]["action"])
    nothing = _nlctl(tmp_path, *words, "--", "cat", "a", code=125).stderr
    assert f"nlctl action local {digest}" in nothing
    at = ("--endpoint", casd)
    assert "cat a" in _nlctl(tmp_path, *at, "action", "show", digest).stdout
    assert _nlctl(tmp_path, *at, "action", "inputs", digest, "-q").stdout == "a\n"
    assert _nlctl(tmp_path, *at, "action", "diff", digest, digest).stdout == ""
    assert _nlctl(tmp_path, *at, "action", "local", digest).stdout == "foreign\n"
    for verb in ("replay", "determinism"):
        assert "this server executes nothing" in _nlctl(tmp_path, *at, "action", verb, digest, code=10).stderr
    for line in (
        *("workers ls", "workers show w", "workers kill w --yes", "workers add", "workers cordon w", "workers drain w"),
        *("workers uncordon w", "workers match", "workers logs w", "ops ls", "ops show x", "ops watch", "ops cancel x"),
        *("queue ls", "queue show", f"queue explain {digest}"),
    ):
        assert "NL-NET-105" in _nlctl(tmp_path, *at, *line.split(), code=10).stderr
