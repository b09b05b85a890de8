"""The common issues of NativeLink's multi-worker guide, with its own configs, as the doctor sees them from outside."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.real import sites
from tests.real.programs import Part, program

pytestmark = pytest.mark.real
LIMIT = 240.0
TURNS = 3
FAST_BYTES = 8_000_000
"""More than the inputs of one action, and less than those of two."""


class Nlctl:
    """A user who knows the guide's two endpoints and nothing else."""

    def __init__(self, home: Path) -> None:
        self._environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        self("context", "add", "guide", "grpc://127.0.0.1:50051", "--executor", "grpc://127.0.0.1:50052", "--use")

    def __call__(self, *words: str) -> Any:
        ran = subprocess.run(
            [program("nlctl"), "-o", "json", *words],
            env=self._environment,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        assert ran.stdout, ran.stderr.decode()
        return json.loads(ran.stdout)

    def bad(self) -> list[Mapping[str, Any]]:
        """What `nlctl doctor` finds that is not well, apart from what the guide's own configs lack."""
        found = self("doctor", "execution", "cas", "ac", "storage")["items"]
        return [row for row in found if row["status"] in ("failed", "warning", "unknown")]

    def works(self, folder: Path) -> None:
        """Run actions by turns, of which each uses inputs that the one before does not."""
        for turn in range(TURNS):
            for name in ("one", "other"):
                self("run", "--input", str(folder / name), "--", "/bin/echo", str(turn))


@contextmanager
def other_cas(folder: Path) -> Iterator[None]:
    """The guide's CAS again, at another address and with a directory of its own."""
    text = (sites.HERE / "seed/cas.json5").read_text()
    config = folder / "other-cas.json5"
    config.write_text(text.replace("0.0.0.0:50051", "[::1]:50051").replace("/data/cas", str(folder / "other")))
    with Part("other-cas", [program("nlserver"), str(config)], folder / "other-cas.log") as part:
        part.wait_for("Ready, listening on")
        yield


def test_a_cluster_as_the_guide_has_it_is_well(tmp_path: Path) -> None:
    """Statement 49: its workers share a volume, which is safe here, and nothing is said of it."""
    with sites.seed(tmp_path, 2):
        assert Nlctl(tmp_path).bad() == []


def test_object_not_found_is_a_worker_that_reads_from_another_cas(tmp_path: Path) -> None:
    """The guide: `Object HASH-SIZE not found`, and that all workers must share one CAS."""
    with other_cas(tmp_path), sites.seed(tmp_path, 1, "other-cas"):
        [found] = Nlctl(tmp_path).bad()
    assert (found["id"], found["status"]) == ("NLD-EXE-01", "failed")
    assert found["what"].endswith(" not found")
    assert "its slow tier leads to another CAS" in found["because"]
    assert any("grpc store that leads to the CAS of the clients" in one["text"] for one in found["fix"])


def test_workers_that_receive_no_jobs_are_looked_for_where_the_guide_looks(tmp_path: Path) -> None:
    """The guide: whether they are connected, and whether properties match."""
    with sites.seed(tmp_path, 0):
        [found] = Nlctl(tmp_path).bad()
    assert (found["id"], found["status"]) == ("NLD-EXE-01", "warning")
    assert any("Connected to scheduler" in one["text"] for one in found["fix"])
    assert any("platform_properties" in one["text"] for one in found["fix"])


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Those of two actions; and nobody else's servers are in reach."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("one", "other"):
        folder = tmp_path / "inputs" / name
        folder.mkdir(parents=True)
        for number in range(6):
            (folder / str(number)).write_bytes(os.urandom(FAST_BYTES // 8))
    return tmp_path / "inputs"


def test_a_cas_with_too_much_to_do_has_workers_whose_fast_stores_are_too_small(tmp_path: Path, inputs: Path) -> None:
    """The guide: `CAS server becomes bottleneck`, and max_bytes of the fast store, increased to 50 GB."""
    config = tmp_path / "worker.json5"
    text = (sites.HERE / "seed/worker.json5").read_text()
    config.write_text(text.replace("max_bytes: 10000000000, // 10GB", f"max_bytes: {FAST_BYTES},"))
    with sites.seed(tmp_path, 2, worker_config=config):
        nlctl = Nlctl(tmp_path)
        nlctl.works(inputs)
        [found] = nlctl.bad()
    assert (found["id"], found["status"]) == ("NLD-STO-07", "warning")
    assert found["what"].startswith("the CAS sends the same blobs again and again to pid ")
    assert {one["name"] for one in found["evidence"]} >= {"of them again", "sent by the CAS"}
    assert "eviction_policy, max_bytes: 50000000000" in found["fix"][0]["text"]


def test_fast_stores_of_the_size_that_the_guide_has_keep_what_workers_use(tmp_path: Path, inputs: Path) -> None:
    with sites.seed(tmp_path, 2):
        nlctl = Nlctl(tmp_path)
        nlctl.works(inputs)
        [found] = nlctl("doctor", "--check", "NLD-STO-07")["items"][-1:]
    assert (found["id"], found["status"]) == ("NLD-STO-07", "ok")
