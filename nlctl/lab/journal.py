"""What is broken in a lab, written down before it is done: what is killed halfway can be undone by the next command."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from nlctl.lab.undo import Undo, read
from nlctl.launch.ledger import Ledger, write

_SCHEMA: Final = 1


class Journal:
    """`lab.json` in the folder of a cluster; that it is there makes the cluster a lab."""

    def __init__(self, ledger: Ledger) -> None:
        self._path: Path = ledger.home / "lab.json"

    @property
    def exists(self) -> bool:
        """Whether this cluster is a lab."""
        return self._path.exists()

    @property
    def broken(self) -> str:
        """The name of the fault that is in it, "" for none."""
        return str(self._read().get("broken") or "")

    def begin(self, fault: str = "") -> None:
        """Write down that this fault is put in now; none: that nothing is broken any more."""
        self._write({"broken": fault or None, "undo": []})

    def note(self, undo: Undo) -> None:
        """What is changed next can be undone so. On the disk when this returns."""
        document = self._read()
        self._write({**document, "undo": [*document["undo"], undo.document()]})

    def undo(self, failed: Callable[[Undo, OSError], None]) -> None:
        """Carry everything out, the latest first; what cannot be done is told, and the rest done."""
        steps: Sequence[dict[str, Any]] = self._read().get("undo", ())
        for step in reversed(steps):
            one = read(step)
            try:
                one.carry_out()
            except OSError as error:
                failed(one, error)

    def _read(self) -> dict[str, Any]:
        with suppress(FileNotFoundError):
            document: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            return document
        return {}

    def _write(self, document: dict[str, Any]) -> None:
        write(self._path, json.dumps({"schema": _SCHEMA, **document}, indent=2) + "\n")
