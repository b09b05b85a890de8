"""Real shells in a pseudo-terminal: what a line becomes when the completion key is pressed on it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_LIMIT = 30.0
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?<>=]*[a-zA-Z~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>()][0-9A-B]?)")
_PROMPT = "ready> "


class Shell:
    """An interactive shell that reads none of its user's files."""

    def __init__(self, argv: Sequence[str], prompt: str, environment: Mapping[str, str], home: Path) -> None:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(home)
            os.execvpe(argv[0], list(argv), {**environment, "TERM": "dumb"})
        self._count = 0
        self._send(prompt + "\n")
        self.run("true")

    def run(self, line: str) -> str:
        """What this line prints."""
        self._count += 1
        # The typed line does not hold the mark itself: the echo of it is no output.
        mark = f"done-{self._count}-done"
        self._send(f"{line}; echo done-'{self._count}'-done\n")
        return self._until(mark)

    def completed(self, line: str) -> str:
        """This line as it stands after the key: it is put behind a printf, so the shell itself prints its words."""
        self._count += 1
        mark = f"done-{self._count}-done"
        self._send(f"{line}\t\x05 END; echo done-'{self._count}'-done\x01printf '[%s]' BEGIN \n")
        return " ".join(re.findall(r"\[([^\[\]]*)\]", self._until(mark).rpartition("[BEGIN]")[2])).removesuffix(" END")

    def close(self) -> None:
        """End it."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def _send(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def _until(self, mark: str) -> str:
        text = ""
        deadline = time.monotonic() + _LIMIT
        while mark not in text:
            left = deadline - time.monotonic()
            assert left > 0, f"the shell never came to {mark}:\n{text}"
            if select.select([self._terminal], [], [], left)[0]:
                text = _ESCAPES.sub("", text + os.read(self._terminal, 1 << 16).decode(errors="replace"))
        return text
