"""The ways to run members, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nlctl.launch.ledger import Ledger, Record

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


def admin_of(ledger: Ledger, record: Record) -> str | None:
    """Where the scheduler answers operators: at its worker API, unless Compose runs it and a socket of it is in reach.

    None for another server, which has no admin service. Raises Fault NO_ENGINE.
    """
    if record.containers is not None and record.containers.foreign:
        return None
    if not record.project:
        return record.ports.urls[2]
    from nlctl.launch.backend import answering

    return answering(of(ledger).reports() or ()).get("scheduler", record.ports.urls[2])
