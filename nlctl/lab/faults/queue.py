"""Actions that wait, come back or do not end."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import Final

from nlctl import admin
from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab
from nlctl.launch.process import tell
from nlctl.worker_ids import worker_name

_LOSSES: Final = 3
_FOR_EVER: Final = ("/bin/sleep", "infinity")
_LONG_SECONDS: Final = 1_000_000
_SHORT_SECONDS: Final = 1


def _coming_back(lab: Lab) -> None:
    """Kill the worker that has it: the other one is next, so that none is lost so often that this is told of it."""
    lab.ask_for("OSFamily=linux", *_FOR_EVER, stage="executing")
    for losses in range(_LOSSES):
        lab.until(partial(_holder, lab, losses), "a worker takes the action")
        tell(lab.process(_holder(lab, losses)), signal.SIGKILL)
        lab.until(partial(_is_back, lab, losses + 1), "the action comes back")
    lab.registered()


def _busy(lab: Lab) -> Clue:
    """One more of those that want all processors of a worker than there are workers."""
    workers = admin.workers(lab.admin)
    [cpus] = workers[0].properties["cpu_count"]
    for number, _ in enumerate(workers):
        lab.ask_for(f"cpu_count={cpus}", "/bin/sleep", str(_LONG_SECONDS + number), stage="executing", count=number + 1)
    lab.ask_for(f"cpu_count={cpus}", *_FOR_EVER)
    lab.until(lambda: _age(lab, "queued") > _SHORT_SECONDS, "it waits for a while")
    return Clue(options=("--waits", f"{_SHORT_SECONDS}s"))


def _long(lab: Lab) -> Clue:
    lab.ask_for("OSFamily=linux", *_FOR_EVER, stage="executing")
    lab.until(lambda: _age(lab, "executing") > _SHORT_SECONDS, "it runs for a while")
    return Clue(options=("--runs", f"{_SHORT_SECONDS}s"))


def _age(lab: Lab, stage: str) -> float:
    """For how long the oldest has been in this stage."""
    there, _ = admin.operations(lab.admin, (stage,), 1)
    return time.time() - there[0].since


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
    Injection(
        "busy-workers",
        "an action waits while all workers are taken",
        "Every worker runs an action that takes all its processors and does not end, and one more waits. The doctor is "
        f"told to speak of it after {_SHORT_SECONDS} s in place of five minutes.",
        _busy,
        "NLD-QUE-02",
        Verdict.WARNING,
    ),
    Injection(
        "endless-action",
        "an action does not end",
        f"An action waits for what never comes. The doctor is told to speak of it after {_SHORT_SECONDS} s in place of "
        "an hour.",
        _long,
        "NLD-QUE-04",
        Verdict.WARNING,
    ),
)
