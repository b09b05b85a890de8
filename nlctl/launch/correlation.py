"""Which log lines belong to one piece of work, across the parts. Pure.

The scheduler names an operation, its action and the invocation of its client; where it tries again it gives the worker
another id, which it calls the attempt. Workers know only what they were given. So what the scheduler says ties their
lines together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from nlctl.launch.reading import Entry

# `name=value` of the text form, and `"name": "value"` of the JSON form.
_FACT: Final = re.compile(r'"?\b(operation|attempt|action|digest|key|blob|invocation)"?(?:=|: )"?([^\s",}]+)')
_DIGESTS: Final = ("action", "digest", "key", "blob")


class Work:
    """An operation, all operations of an action, or all of an invocation: ids may be cut short."""

    def __init__(self, *, operation: str = "", action: str = "", invocation: str = "") -> None:
        self._operation = operation
        self._action = action
        self._invocation = invocation
        self._runs: set[str] = set()

    def chosen(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Those of these entries that belong to it."""
        for entry in entries:
            if self.concerns(entry):
                yield entry

    def concerns(self, entry: Entry) -> bool:
        """Whether this entry belongs to it. What ties other entries to it is remembered."""
        facts = [(name, value) for line in entry.lines for name, value in _FACT.findall(line)]
        runs = {value for name, value in facts if name in ("operation", "attempt")}
        named = any(self._is_meant(name, value) for name, value in facts)
        if named or runs & self._runs:
            self._runs |= runs
            return True
        return False

    def _is_meant(self, name: str, value: str) -> bool:
        if name == "operation":
            return bool(self._operation) and value.startswith(self._operation)
        if name == "invocation":
            return bool(self._invocation) and value.startswith(self._invocation)
        return bool(self._action) and name in _DIGESTS and value.startswith(self._action)
