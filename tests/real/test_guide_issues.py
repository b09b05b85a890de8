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


class Nlctl:
    """A user who knows the guide's two endpoints and nothing else."""

    def __init__(self, home: Path) -> None:
        self._environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        self("context", "add", "guide", "grpc://127.0.0.1:50051", "--executor", "grpc://127.0.0.1:50052", "--use")

    def __call__(self, *words: str) -> Any:
        ran = subprocess.run(
            [program("nlctl"), *words, "-o", "json"],
            env=self._environment,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        assert ran.stdout, ran.stderr.decode()
        return json.loads(ran.stdout)

    def bad(self) -> list[Mapping[str, Any]]:
        """What `nlctl doctor` finds that is not well, apart from what the guide's own configs lack."""
        found = self("doctor", "execution", "cas", "ac")["items"]
        return [row for row in found if row["status"] in ("failed", "warning", "unknown")]


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
