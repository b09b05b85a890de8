"""Results that were kept with --save, for --compare: files below the user's state directory, or any file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from nlctl.bench.row import SCHEMA, Row
from nlctl.faults import BAD_BASELINE, NO_BASELINE, UNREADABLE, USAGE, Fault, fix
from nlctl.launch.ledger import write

_is_name: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch


class Shelf:
    """The results of one user."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "bench"

    def path(self, name: str) -> Path:
        """Where this result is: a name stands for a file of ours, anything with a slash is a path. Raises Fault."""
        if "/" in name:
            return Path(name)
        if not _is_name(name):
            raise Fault(USAGE, f"{name!r} is no name for a result", fixes=[fix("use letters, digits, dots and dashes")])
        return self._folder / f"{name}.json"

    def keep(self, name: str, document: dict[str, Any]) -> None:
        """Write a result, in place of one of that name. Raises Fault."""
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, json.dumps({"schema": SCHEMA, **document}, indent=1) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise Fault(UNREADABLE, f"{path} cannot be written", why=reason, fixes=[fix("check the path")]) from error

    def rows(self, name: str) -> list[Row]:
        """The rows of a result. Raises Fault NO_BASELINE or BAD_BASELINE."""
        path = self.path(name)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document.get("schema") != SCHEMA:
                raise ValueError(f"its schema is {document.get('schema')!r}, not {SCHEMA!r}")
            return [Row.read(item) for item in document["items"]]
        except FileNotFoundError:
            raise Fault(NO_BASELINE, f"there is no result {name!r}", why=self._known(), fixes=[_KEEP]) from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Fault(
                BAD_BASELINE, f"{path} holds no result of a benchmark", why=str(error), fixes=[_KEEP]
            ) from error

    def _known(self) -> str:
        names = sorted(path.stem for path in self._folder.glob("*.json"))
        return f"there are: {', '.join(names)}" if names else "none was kept yet"


_KEEP: Final = fix("keep one", "nlctl", "bench", "cas", "--save", "NAME")
