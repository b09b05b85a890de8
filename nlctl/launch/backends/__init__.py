"""The ways to run members, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nlctl.launch.ledger import Ledger

if TYPE_CHECKING:
    from nlctl.launch.backend import Backend

PROCESS: Final = "process"
DOCKER: Final = "docker"
NAMES: Final = (PROCESS, DOCKER)


def of(ledger: Ledger, kind: str = "") -> Backend:
    """What runs the members of this cluster; `kind` is for one without a record."""
    record = ledger.load()
    if record is not None:
        kind = DOCKER if record.containers else PROCESS
    if kind == DOCKER:
        from nlctl.launch.backends.docker import Docker

        return Docker(ledger)
    from nlctl.launch.backends.processes import Processes

    return Processes(ledger)
