"""A short soak of each kind of cluster, with the same faults at the same places of the course in each run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 900


@pytest.mark.real
@pytest.mark.parametrize(("site", "faults"), [("up", 12), ("spread", 8)])
def test_a_cluster_keeps_its_promises_whatever_is_done_to_it(site: str, faults: int, tmp_path: Path) -> None:
    words = (
        "--site",
        site,
        "--seed",
        "7",
        "--quick",
        "--most",
        str(faults),
        "--minutes",
        "12",
        "--keep",
        str(tmp_path),
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak", *words, "--keep", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    # The table is what a person wants to see of it, also when all is well.
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    assert f"{site}, seed 7: {faults + 1} faults" in done.stdout
