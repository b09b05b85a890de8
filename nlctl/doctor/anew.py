"""Starting parts anew for a repair: with what their files say, and without losing an action."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from nlserver.errors import Error

from nlctl.admin import workers
from nlctl.faults import CANARY_FAILED, NOT_READY, PART_FAILED, Fault
from nlctl.launch import backends
from nlctl.launch.restarting import Limits, Restart, on_disk
from nlctl.launch.wish import workers_of

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground
    from nlctl.launch.backend import Backend

_LIMITS: Final = Limits(60.0, 60.0)
_CANARY_SECONDS: Final = 30.0
_REGISTERED_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.05


def rolling(ground: Ground, names: Sequence[str]) -> None:
    """One after the other; a worker finishes first. Raises Fault.

    A canary that fails is only told: another cause may be mended later, and the examination says what is left.
    """
    backend = backends.of(ground.ledger)
    there = [one.name for one in backend.reports() or () if one.name in names]
    work = Restart(ground.ledger, ground.record.ports, backend, ground.ui, _LIMITS)
    for name in there:
        try:
            work.rolling([name])
        except Fault as fault:
            if fault.kind is not CANARY_FAILED:
                raise
            _tell(ground, fault)
    if len(workers_of(there)) < len(there):
        _registered(ground, backend)


def _registered(ground: Ground, backend: Backend) -> None:
    """Wait until the scheduler, which may be a new one, has the workers that serve; the doctor tells who stays away."""
    if (endpoint := backends.admin_of(ground.ledger, ground.record)) is None:
        return
    ground.ui.waiting("waiting for the workers to register")
    wanted = set(workers_of([one.name for one in backend.reports() or () if one.state == "ready"]))
    deadline = time.monotonic() + _REGISTERED_SECONDS
    while time.monotonic() < deadline:
        with suppress(Error):
            if {one.name for one in workers(endpoint)} >= wanted:
                return
        time.sleep(_LOOK_SECONDS)


def proven(ground: Ground, names: Sequence[str]) -> None:
    """Wait until the workers among these run actions; one that does not is only told, as above."""
    from nlctl.launch.canary import prove

    if those := workers_of(names):
        try:
            prove(ground.record.ports, those, _CANARY_SECONDS)
        except Fault as fault:
            _tell(ground, fault)


def as_recorded(ground: Ground) -> None:
    """Bring the cluster to its recorded shape; what fails is left as it is, to be looked at. Raises Fault."""
    from nlctl.launch.reconcile import Asked, Reconciliation, plan

    work = Reconciliation(ground.ledger, ground.ui, Asked(keep_on_fail=True), "doctor")
    reports = work.reports()
    made = plan(ground.ledger, Asked(), reports)
    if not made.done:
        work.carry_out(made, reports)


def as_files_say(ground: Ground, written: Collection[str]) -> list[str]:
    """Start those anew that run something else than their files say, whether or not they serve then; answers which.

    `written` are the parts whose files were written just now: a container has a copy of its own.
    """
    backend = backends.of(ground.ledger)
    other = [
        one.name
        for one in backend.reports() or ()
        if (one.name in written if one.container is not None else on_disk(one) not in ("", one.fingerprint))
    ]
    work = Restart(ground.ledger, ground.record.ports, backend, ground.ui, _LIMITS)
    for name in other:
        try:
            work.together([name])
        except Fault as fault:
            if fault.kind not in (PART_FAILED, NOT_READY):
                raise
            _tell(ground, fault)
    return other


def _tell(ground: Ground, fault: Fault) -> None:
    ground.ui.warn(f"{fault.message}: {fault.why}" if fault.why else fault.message)
