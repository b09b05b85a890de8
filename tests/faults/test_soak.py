"""A short soak of each kind of cluster and work, with the same faults at the same places of the course in each run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 1200


@pytest.mark.real
@pytest.mark.parametrize(
    ("site", "work", "faults"), [("up", "actions", 12), ("spread", "actions", 8), ("up", "builds", 3)]
)
def test_a_cluster_keeps_its_promises_whatever_is_done_to_it(site: str, work: str, faults: int, tmp_path: Path) -> None:
    words = {
        "site": site,
        "work": work,
        "pace": "quick",
        "seed": 7,
        "most": faults,
        "minutes": 20,
        "keep": tmp_path,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak", *(f"--{name}={value}" for name, value in words.items())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    # The table is what a person wants to see of it, also when all is well.
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    assert f"site {site}, work {work}, pace quick, seed 7: {faults} faults" in done.stdout
