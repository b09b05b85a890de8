"""A part moves on to a new log file by itself, and no line is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nlctl.launch.journal import previous

_TWO = """
import os, sys
from pathlib import Path
from nlctl.launch import journal
path = Path(sys.argv[1])
journal.redirect(path)
other = os.fork()
for number in range(500):
    os.write(1, f"{'parent' if other else 'child'} {number} {'x' * 50}\\n".encode())
    journal.rotate(path, 48 << 10)
other and os.waitpid(other, 0)
"""
_SCRIPT = """
import os, sys
from pathlib import Path
from nlctl.launch import journal
path = Path(sys.argv[1])
journal.redirect(path)
for number in range(1000):
    os.write(1, f"line {number} {'x' * 50}\\n".encode())
    os.write(2, b"err\\n") if number % 100 == 0 else None
    journal.rotate(path, 32 << 10)
assert os.read(0, 1) == b""
"""


def test_no_line_is_lost_or_cut_when_the_file_changes(tmp_path: Path) -> None:
    log = tmp_path / "cas.log"
    subprocess.run([sys.executable, "-c", _SCRIPT, str(log)], check=True, timeout=120)
    kept = previous(log).read_text() + log.read_text()
    numbers = [int(line.split()[1]) for line in kept.splitlines() if line.startswith("line")]
    assert numbers == list(range(numbers[0], 1000))
    assert len(numbers) > 400
    assert "err\n" in kept
    assert log.stat().st_size < 34 << 10


def test_processes_that_share_a_file_move_on_together(tmp_path: Path) -> None:
    log = tmp_path / "cas.log"
    subprocess.run([sys.executable, "-c", _TWO, str(log)], check=True, timeout=120)
    lines = [line.split()[:2] for line in (previous(log).read_text() + log.read_text()).splitlines()]
    for who in ("parent", "child"):
        numbers = [int(number) for name, number in lines if name == who]
        assert numbers == list(range(500))[-len(numbers) :]
    assert log.stat().st_size < 49 << 10
