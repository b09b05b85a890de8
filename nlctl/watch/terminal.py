"""A terminal that is taken over: painted frame by frame, read key by key, and given back as it was, whatever happens.

Only lines that changed are written, a frame in one piece, so that nothing flickers. Nothing is ever asked of the
terminal.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Final

from nlctl.watch.keys import keys
from nlctl.watch.spans import Line, encoded

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
# Terminals that know these show a frame at once; others ignore them.
_BEGIN: Final = "\x1b[?2026h"
_END: Final = "\x1b[?2026l"
_READ_BYTES: Final = 1024
_CONTROL_CHARACTERS: Final = 6


class Terminal:
    """Use it as a context: from entering to leaving it is taken over. `reads` says whether keys come from it."""

    def __init__(self, reading: int, writing: int, encoding: str, *, color: bool) -> None:
        self._reading = reading
        self._writing = writing
        self._encoding = encoding
        self._color = color
        self.reads = os.isatty(reading)
        self._saved: list[Any] | None = None
        self._shown: list[str] = []
        self._wakes, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Terminal:
        atexit.register(self._restore)
        if self.reads:
            self._saved = termios.tcgetattr(self._reading)
            tty.setcbreak(self._reading)
            self._ignore_suspension()
        signal.signal(signal.SIGWINCH, self._resized)
        self._write(_ENTER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        self._restore()
        os.close(self._wakes)
        os.close(self._waker)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            size = os.get_terminal_size(self._writing)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    def paint(self, lines: Sequence[Line]) -> None:
        """Show these lines, as many as the terminal has."""
        wanted = [encoded(line, color=self._color) for line in lines]
        known = self._shown if len(self._shown) == len(wanted) else [None] * len(wanted)
        changed = [
            f"\x1b[{number};1H{text}\x1b[K"
            for number, (text, before) in enumerate(zip(wanted, known, strict=True), 1)
            if text != before
        ]
        self._shown = wanted
        if changed:
            self._write(_BEGIN + "".join(changed) + _END)

    def wait(self, timeout: float | None = None) -> list[str]:
        """The keys that were pressed; none when `wake` was called, the size changed, or the time is over."""
        watched = [self._wakes, *([self._reading] if self.reads else ())]
        ready, _, _ = select.select(watched, [], [], timeout)
        if self._wakes in ready:
            os.read(self._wakes, _READ_BYTES)
        if self._reading not in ready or not self.reads:
            return []
        data = os.read(self._reading, _READ_BYTES)
        # The end of input: its terminal is gone.
        return keys(data.decode(self._encoding, errors="replace")) if data else ["q"]

    def wake(self) -> None:
        """Let `wait` return; from any thread."""
        try:
            os.write(self._waker, b".")
        except OSError:
            # It is full, so that it wakes anyway, or nobody waits any more.
            return

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        # All is painted anew: terminals differ in what they keep.
        self._shown = []
        self.wake()

    def _ignore_suspension(self) -> None:
        """Ctrl-Z would leave the shell on our screen."""
        changed = termios.tcgetattr(self._reading)
        changed[_CONTROL_CHARACTERS][termios.VSUSP] = b"\0"
        termios.tcsetattr(self._reading, termios.TCSANOW, changed)

    def _restore(self) -> None:
        atexit.unregister(self._restore)
        self._write(_LEAVE)
        if self._saved is not None:
            termios.tcsetattr(self._reading, termios.TCSADRAIN, self._saved)
            self._saved = None

    def _write(self, text: str) -> None:
        data = memoryview(text.encode(self._encoding, errors="replace"))
        while data:
            data = data[os.write(self._writing, data) :]
