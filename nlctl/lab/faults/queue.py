"""Actions that wait, come back or do not end."""

from __future__ import annotations

import signal
from functools import partial
from typing import Final

from nlctl import admin
from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Injection
from nlctl.lab.lab import Lab
from nlctl.launch.process import tell
from nlctl.worker_ids import worker_name

_LOSSES: Final = 3
_FOR_EVER: Final = ("/bin/sleep", "infinity")


def _coming_back(lab: Lab) -> None:
    """Kill the worker that has it: the other one is next, so that none is lost so often that this is told of it."""
    lab.ask_for("OSFamily=linux", *_FOR_EVER, stage="executing")
    for losses in range(_LOSSES):
        lab.until(partial(_holder, lab, losses), "a worker takes the action")
        tell(lab.process(_holder(lab, losses)), signal.SIGKILL)
        lab.until(partial(_is_back, lab, losses + 1), "the action comes back")
    lab.registered()


def _holder(lab: Lab, losses: int) -> str:
    """The worker that runs it after so many losses."""
    there, _ = admin.operations(lab.admin, ("executing",), 1)
    return next((worker_name(one.worker) for one in there if one.attempts == losses), "")


def _is_back(lab: Lab, losses: int) -> bool:
    lab.apply(wait=False)
    there, _ = admin.operations(lab.admin, ("queued", "executing"), 1)
    return any(one.attempts == losses for one in there)


FAULTS: Final = (
    Injection(
        "killing-action",
        "an action comes back again and again",
        f"{_LOSSES} times the worker that ran it was killed, as by an action that needs all memory: the scheduler gave "
        "it to the next.",
        _coming_back,
        "NLD-QUE-03",
        Verdict.WARNING,
    ),
)
