"""Bazel's execution log as JSON (`--execution_log_json_file`): an action after the other. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from nlctl.buildlog.gathered import CACHED, ERROR, Gathered

_TIMES: Final = (
    ("queueTime", "queued"),
    ("setupTime", "setup"),
    ("uploadTime", "upload of inputs"),
    ("executionWallTime", "execution"),
    ("fetchTime", "download of outputs"),
    ("networkTime", "network"),
)
_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?)s")


class Spawns:
    """Fed action by action."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered

    def spawn(self, spawn: dict[str, Any]) -> None:
        """The next action."""
        gathered = self._gathered
        gathered.entries += 1
        runner = str(spawn.get("runner") or "unknown")
        cached = spawn.get("cacheHit") or spawn.get("remoteCacheHit")
        gathered.ran(CACHED if cached and runner != "disk cache hit" else runner)
        metrics = spawn.get("metrics") or {}
        for key, phase in _TIMES:
            if match := _SECONDS.fullmatch(str(metrics.get(key, ""))):
                gathered.spent(phase, float(match[1]) * 1000)
        code, status = spawn.get("exitCode") or 0, str(spawn.get("status") or "")
        if code or status:
            label = spawn.get("targetLabel") or spawn.get("progressMessage") or spawn.get("mnemonic") or "an action"
            said = f"{label} failed: (Exit {code}) {status}".rstrip()
            gathered.went_wrong(ERROR, gathered.entries, said)
