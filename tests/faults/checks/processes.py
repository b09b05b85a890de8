"""Nobody lives in this run's process-id namespace but the parts, what keeps them, and this run itself."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

from tests.faults.check import Check
from tests.faults.scene import Scene


class Processes(Check):
    """Finds processes of actions that live on, second lives of parts, and children that nobody waits for."""

    name = "processes"
    settling_seconds = 20.0

    async def findings(self, scene: Scene) -> list[str]:
        known = {*scene.site.parts().values(), *scene.site.kept().values()}
        return strangers(known | set(scene.load.processes()))


def strangers(known: Collection[int]) -> list[str]:
    """Every process but these, this one and the first."""
    own = {1, os.getpid(), *known}
    others = sorted({int(name) for name in os.listdir("/proc") if name.isdigit()} - own)
    return [said for pid in others if (said := _said(pid))]


def _said(pid: int) -> str:
    """Who it is; "" when it is gone, or a dead child of the first process, which will reap it."""
    with suppress(OSError):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            name, _, rest = file.read().rpartition(")")
        state, parent = rest.split()[:2]
        if state == "Z" and parent in ("1", str(os.getpid())):
            return ""
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"pid {pid} of {parent}, state {state}: {words or name.partition('(')[2]}"
    return ""
