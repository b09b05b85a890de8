"""What a terminal sends, as keys: characters, and names for the rest. Pure."""

from __future__ import annotations

import re
from typing import Final

_KEY: Final = re.compile(r"\x1b[\[O][0-9;]*[~A-Za-z]|\x1b.|.", re.DOTALL)
_NAMES: Final = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[5~": "pageup",
    "\x1b[6~": "pagedown",
    "\x1b[H": "home",
    "\x1bOH": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1bOF": "end",
    "\x1b[4~": "end",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}


def keys(text: str) -> list[str]:
    """The keys in what was read; sequences that mean nothing here are left out."""
    found = [_NAMES.get(one, one) for one in _KEY.findall(text)]
    return [key for key in found if not key.startswith("\x1b") and (key.isprintable() or len(key) > 1)]
