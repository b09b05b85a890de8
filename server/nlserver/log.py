"""Events for operators: a constant sentence and facts as fields, one line each, on standard error.

`NL_LOG` chooses the shape as NativeLink does (`pretty`, `compact` or `json`), `RUST_LOG` the lowest level.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from nlserver.events import Recent

_logger = logging.getLogger("nlserver")
recent = Recent()
"""What this process said lately."""
_LEVELS = {"trace": 5, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
# Log lines are evidence: a hostile name must not forge a second line or move the terminal's cursor.
_UNSAFE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_LONGEST_VALUE = 2048


def debug(event: str, **facts: object) -> None:
    """An event that matters while hunting a fault."""
    _logger.debug(event, extra={"facts": facts})


def info(event: str, **facts: object) -> None:
    """An event of normal life that operators look for."""
    _logger.info(event, extra={"facts": facts})


def warn(event: str, **facts: object) -> None:
    """Something is wrong and the part goes on."""
    _logger.warning(event, extra={"facts": facts})


def error(event: str, *, cause: BaseException | None = None, **facts: object) -> None:
    """Something failed; `cause` adds its traceback."""
    _logger.error(event, exc_info=cause, extra={"facts": facts})


def configure(part: str = "") -> None:
    """Send events to standard error; `part` names the process (`cas`, `worker-1`) in every line."""
    level = os.environ.get("RUST_LOG", "info").split(",")[0].split("=")[-1].lower()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(part) if os.environ.get("NL_LOG") == "json" else _Text(part))
    _logger.handlers[:] = [handler, recent]
    _logger.propagate = False
    _logger.setLevel(_LEVELS.get(level, logging.INFO))


def _value(value: object) -> str:
    text = str(value)
    if len(text) > _LONGEST_VALUE:
        text = text[:_LONGEST_VALUE] + "..."
    text = text.translate(_UNSAFE)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text or "=" in text else text


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Text(logging.Formatter):
    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = f" {part}" if part else ""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = getattr(record, "facts", {})
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        fields = "".join(f" {name}={_value(value)}" for name, value in facts.items())
        line = f"{_instant(record)} {level:<5}{self._part} {record.getMessage().translate(_UNSAFE)}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "part": self._part,
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str, ensure_ascii=False)
