"""A command on a terminal of its own: what its screen shows, what was written to it, and the keys that are pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyte

from tests.nlctl.conftest import PROGRAM, Cli

LIMIT = 60.0


class Screen:
    """The terminal and the process on it; it ends with the test."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int, columns: int, lines: int) -> None:
        self.process = process
        self.written = b""
        self._terminal = terminal
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen now."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def cursor_hidden(self) -> bool:
        return bool(self._screen.cursor.hidden)

    def settings(self) -> list[Any]:
        """How the terminal treats what is typed."""
        return termios.tcgetattr(self._terminal)

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        self._screen.resize(lines, columns)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def until(self, shown: Callable[[str], bool]) -> str:
        """Read until the screen is so."""
        deadline = time.monotonic() + LIMIT
        while not shown(self.text):
            assert self._read(deadline), f"it ended or never came:\n{self.text}"
        return self.text

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + LIMIT
        while self._read(deadline):
            pass
        return self.process.wait(LIMIT)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._terminal, 65536) if ready else b""
        except OSError:
            # The last process on the terminal is gone.
            data = b""
        self.written += data
        self._stream.feed(data)
        return bool(data)


def _at_terminal() -> None:
    """Sit at the terminal, and listen to Ctrl-C though a shell may have started these tests in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def on_terminal(cli: Cli, *words: str, columns: int = 80, lines: int = 24, **environment: str) -> Iterator[Screen]:
    """Run `nlctl` with these words on a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NLCTL_", "XDG_", "NL_"))}
    process = subprocess.Popen(
        [PROGRAM, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cli.home,
        env={
            **kept,
            "HOME": str(cli.home),
            "XDG_STATE_HOME": str(cli.home / "state"),
            "TERM": "xterm-256color",
            "CI": "",
            "COLUMNS": "",
            **cli.environment,
            **environment,
        },
        start_new_session=True,
        preexec_fn=_at_terminal,
    )
    # The descriptor of the other end stays open here, so that settings can be read after the process ended.
    screen = Screen(process, ours, columns, lines)
    try:
        os.close(theirs)
        yield screen
    finally:
        process.kill()
        process.wait()
        os.close(ours)
