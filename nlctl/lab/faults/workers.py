"""Workers that get no work, or do it badly."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from functools import partial
from typing import Final

from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Injection
from nlctl.lab.lab import Lab
from nlctl.launch.process import tell

_LOSSES: Final = 3
_TIMEOUT: Final = 2
_CPUS: Final = 'cpu_count: { query_cmd: "nproc" }'
_ISA: Final = r'ISA: \{ values: \["(.+?)"\]'
_MOST: Final = 1_000_000


def _elsewhere(lab: Lab) -> None:
    lab.edit("worker-2", f"127.0.0.1:{lab.ports.worker_api}", f"127.0.0.1:{lab.other_server().worker_api}")
    lab.apply()


def _killed(times: int) -> Callable[[Lab], None]:
    return partial(_dying, times)


def _dying(times: int, lab: Lab) -> None:
    for _ in range(times):
        seat = lab.seat("worker-2")
        tell(lab.process("worker-2"), signal.SIGKILL)
        lab.until(partial(_runs_again, lab, seat), "worker-2 is back")


def _runs_again(lab: Lab, before: str) -> bool:
    lab.apply()
    return lab.seat("worker-2") not in ("", before)


def _flapping(lab: Lab) -> None:
    lab.edit("scheduler", "simple: {", f"simple: {{ worker_timeout_s: {_TIMEOUT},")
    lab.apply()
    for _ in range(_LOSSES):
        lab.until(lambda: lab.seat("worker-2"), "worker-2 registers")
        lab.halt(who := lab.process("worker-2"))
        lab.until(lambda: not lab.seat("worker-2"), "worker-2 is given up")
        tell(who, signal.SIGCONT)
    lab.until(lambda: len(lab.seats()) > 1, "all workers register")


def _property(lab: Lab) -> None:
    lab.ask_for("ISA=arm64", "/bin/true")


def _lost_property(lab: Lab) -> None:
    offered = re.search(_ISA, lab.ledger.config("worker-1").read_text(encoding="utf-8"))
    assert offered is not None
    for part in ("worker-1", "worker-2"):
        lab.edit(part, offered[0], offered[0].replace(offered[1], "none"))
    lab.apply()
    lab.registered()
    lab.ask_for(f"ISA={offered[1]}", "/bin/true")


def _offers(lab: Lab, old: str, new: str) -> None:
    lab.edit("worker-2", old, new)
    lab.apply()
    lab.registered()


def _unoffered(lab: Lab) -> None:
    lab.edit("scheduler", 'ISA: "exact",', 'ISA: "exact", gpu: "exact",')
    lab.apply()
    lab.registered()


def _damaged(lab: Lab) -> None:
    folder = lab.ledger.data / "work" / "worker-2"
    lab.move_aside(folder)
    folder.write_text("no folder")


FAULTS: Final = (
    Injection(
        "cordoned-worker",
        "a worker is kept from work",
        "Somebody cordoned worker-2 and forgot it.",
        lambda lab: lab.cordon("worker-2"),
        "NLD-WRK-03",
        Verdict.WARNING,
        mended_by=("uncordon",),
    ),
    Injection(
        "other-scheduler",
        "a worker works for another scheduler",
        "worker-2 is alive and well, and registered with the scheduler of another cluster.",
        _elsewhere,
        "NLD-WRK-01",
        mended_by=("recorded",),
    ),
    Injection(
        "dying-worker",
        "a worker is killed again and again",
        f"worker-2 was killed {_LOSSES} times within a minute, as the kernel does where memory is short.",
        _killed(_LOSSES),
        "NLD-PRC-05",
        Verdict.WARNING,
    ),
    Injection(
        "killed-worker",
        "a worker was killed and runs again",
        "worker-2 was killed once and is back; whoever wonders about a build of a moment ago should know.",
        _killed(1),
        "NLD-PRC-05",
        Verdict.INFO,
    ),
    Injection(
        "flapping-worker",
        "a worker comes and goes",
        f"worker-2 stood still for more than {_TIMEOUT} s, which is all that the scheduler waits, and came back, "
        f"{_LOSSES} times.",
        _flapping,
        "NLD-WRK-02",
        Verdict.WARNING,
    ),
    Injection(
        "wrong-property",
        "an action asks for what no worker offers",
        "A client asks for ISA=arm64, a value that no worker has: its action waits for ever, without an error.",
        _property,
        "NLD-QUE-01",
    ),
    Injection(
        "lost-property",
        "workers no longer offer what actions ask for",
        "Somebody wrote another ISA into the configs of the workers: actions that ran before wait for ever.",
        _lost_property,
        "NLD-QUE-01",
        mended_by=("recorded",),
    ),
    Injection(
        "damaged-worker",
        "a worker runs and fails at every action",
        "The work directory of worker-2 went away beneath it: it takes actions, and none succeeds.",
        _damaged,
        "NLD-EXE-01",
        mended_by=("folders",),
    ),
    Injection(
        "no-processors",
        "a worker offers no processor",
        "worker-2 offers cpu_count=0, as where nproc was asked in a container without a share: no action that asks "
        "for a processor ever goes there.",
        lambda lab: _offers(lab, _CPUS, 'cpu_count: { values: ["0"] }'),
        "NLD-WRK-04",
        Verdict.WARNING,
    ),
    Injection(
        "greedy-worker",
        "a worker takes more actions than memory holds",
        f"worker-2 takes {_MOST:,} actions at a time: memory is gone long before that.",
        lambda lab: _offers(lab, "platform_properties: {", f"max_inflight_tasks: {_MOST}, platform_properties: {{"),
        "NLD-WRK-04",
        Verdict.WARNING,
    ),
    Injection(
        "unoffered-property",
        "no worker offers what the scheduler compares",
        "The scheduler compares `gpu`, and nobody gave it to a worker: whoever asks for one waits.",
        _unoffered,
        "NLD-WRK-06",
        Verdict.INFO,
    ),
)
