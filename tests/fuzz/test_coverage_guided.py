"""Each target of the coverage-guided fuzzer for a moment, from the same seed in each run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import executions

SCRIPT = Path(__file__).with_name("coverage_guided.py")
TARGETS = ("zstd", "deflate", "wire", "name", "config", "recipe", "digest", "closure", "journal")


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str, tmp_path: Path) -> None:
    seconds = 3 * executions.TIMES
    # It leaves what it finds in the working directory; the name of this project's root must be importable from there.
    done = subprocess.run(
        [sys.executable, str(SCRIPT), target, f"-max_total_time={seconds}", "-seed=7"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)},
        timeout=seconds + 120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    ran = re.search(r"Done (\d+) runs", done.stderr)
    assert ran is not None, done.stderr[-2000:]
    executions.count += int(ran[1])


def test_a_difference_would_be_found(tmp_path: Path) -> None:
    """The script ends with a failure when a target fails, so that the other tests can."""
    broken = "import sys; sys.argv[1:] = ['wire', '-runs=2000', '-seed=7']\n"
    broken += "from tests.fuzz import coverage_guided as guided\n"
    broken += "def wrong(data): assert len(data) < 3\n"
    broken += "guided.TARGETS['wire'] = wrong\nguided.main()\n"
    done = subprocess.run(
        [sys.executable, "-c", broken],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)},
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "AssertionError" in done.stdout + done.stderr
