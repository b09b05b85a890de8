"""Processes are known by id and start, and ended for certain."""

from __future__ import annotations

import os
import subprocess
import sys

from nlctl.launch.process import Identity, alive, end, identity, proportional_bytes, title, usage

_STUBBORN = (
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); sys.stdin.read()"
)
_POLITE = "import sys; print('on', flush=True); sys.stdin.read()"


def _started(script: str) -> tuple[subprocess.Popen[str], Identity]:
    process = subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    who = identity(process.pid)
    assert who is not None
    return process, who


def test_a_process_is_itself_and_no_other_with_its_id() -> None:
    me = identity(os.getpid())
    assert me is not None
    assert alive(me)
    assert not alive(Identity(me.pid, me.start + 1))
    assert sys.executable in title(me.pid) or "pytest" in title(me.pid)
    assert (proportional_bytes(me.pid) or 0) > 1 << 20
    assert (usage(me.pid) or (0, 0))[1] > 1 << 20


def test_what_is_gone_has_no_facts() -> None:
    assert identity(2**22 - 1) is None
    assert usage(2**22 - 1) is None
    assert title(2**22 - 1) == ""
    assert end([Identity(2**22 - 1, 1)], 1) == []


def test_the_polite_end_by_themselves_and_the_stubborn_are_killed() -> None:
    polite, first = _started(_POLITE)
    stubborn, second = _started(_STUBBORN)
    with polite, stubborn:
        assert end([first, second], 0.3) == [second]
        assert polite.wait(10) == -15
        assert stubborn.wait(10) == -9
