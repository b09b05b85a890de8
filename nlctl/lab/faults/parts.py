"""Processes that are down, stand still, or lack something."""

from __future__ import annotations

import secrets
import signal
import time
from typing import Final

from nlserver.reapi.digest import of

from nlctl.doctor.blob import Cause
from nlctl.doctor.checks.hygiene import OLD_SECONDS
from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab
from nlctl.launch.process import alive, tell

_FEW: Final = 256


def _supervisor(lab: Lab) -> None:
    parts = [lab.process(name) for name in ("cas", "scheduler", "worker-1", "worker-2")]
    tell(lab.supervisor(), signal.SIGKILL)
    lab.until(lambda: not any(map(alive, parts)), "the parts end with their supervisor")


def _crashing(lab: Lab) -> None:
    folder = lab.ledger.data / "work" / "worker-2"
    lab.apply("worker-2")
    lab.move_aside(folder)
    folder.write_text("no folder")
    lab.apply()


def _port(lab: Lab) -> None:
    lab.apply("cas")
    lab.stand_in("plain", str(lab.ports.cas))
    lab.apply()


def _wedged_worker(lab: Lab) -> Clue:
    lab.halt(lab.process("worker-2"))
    return Clue(of(secrets.token_bytes(100)).written)


def _wedged_cas(lab: Lab) -> None:
    lab.halt(lab.process("cas"))


def _left_behind(lab: Lab) -> None:
    lab.stand_in("stay", str(lab.ledger.data / "work" / "worker-2" / "earlier-action" / "work"))


def _litter(lab: Lab) -> None:
    path = lab.ledger.data / "work" / "worker-2" / "earlier-action"
    lab.leave(path)
    path.touch()
    lab.until(lambda: time.time() > path.stat().st_ctime + OLD_SECONDS, "it is old")


def _few_files(lab: Lab) -> None:
    lab.allow_files(lab.process("worker-2"), _FEW)


FAULTS: Final = (
    Injection(
        "dead-cas",
        "the CAS does not run",
        "Somebody stopped the CAS: no client and no worker has anything to read from.",
        lambda lab: lab.apply("cas"),
        "NLD-PRC-02",
        mended_by=("start_parts",),
    ),
    Injection(
        "dead-scheduler",
        "the scheduler does not run",
        "Somebody stopped the scheduler: blobs are there, and nobody runs actions.",
        lambda lab: lab.apply("scheduler"),
        "NLD-PRC-02",
        mended_by=("start_parts",),
    ),
    Injection(
        "dead-worker",
        "a worker does not run",
        "Somebody stopped worker-2; the cluster goes on at half its strength, and nobody is told.",
        lambda lab: lab.apply("worker-2"),
        "NLD-PRC-02",
        mended_by=("start_parts",),
    ),
    Injection(
        "dead-supervisor",
        "everything was killed",
        "The supervisor was killed with kill -9, and the parts ended with it.",
        _supervisor,
        "NLD-PRC-02",
        mended_by=("start_parts",),
    ),
    Injection(
        "crashing-worker",
        "a worker ends right after each start",
        "A file stands where worker-2 wants its work directory: it cannot start, and is started again and again.",
        _crashing,
        "NLD-PRC-01",
        mended_by=("folders", "start_parts"),
        leaves="NLD-PRC-05",
    ),
    Injection(
        "port-taken",
        "another program has the port of the CAS",
        "While the CAS was down another program began to listen at its port: the CAS cannot start, and clients meet "
        "something that speaks no HTTP/2.",
        _port,
        "NLD-PORT-01",
    ),
    Injection(
        "wedged-worker",
        "a worker stands still",
        "The process of worker-2 is there and does nothing: it was stopped (SIGSTOP), as a debugger does.",
        _wedged_worker,
        "NLD-PRC-01",
        cause=Cause.UNKNOWN,
        mended_by=("wake",),
    ),
    Injection(
        "wedged-cas",
        "the CAS stands still",
        "The process of the CAS is there, its port takes connections, and nothing is ever answered.",
        _wedged_cas,
        "NLD-PRC-01",
        mended_by=("wake",),
    ),
    Injection(
        "few-files",
        "a worker may open few files",
        f"worker-2 may have {_FEW} files open, as some systems allow by default. It works until much goes on at once.",
        _few_files,
        "NLD-ENV-02",
        Verdict.WARNING,
        mended_by=("allow_files",),
    ),
    Injection(
        "left-process",
        "a process of an earlier action runs on",
        "A process works in the directory of an action of worker-2 which ended, and belongs to no worker: one that "
        "was killed and never came back leaves such.",
        _left_behind,
        "NLD-PRC-03",
        Verdict.WARNING,
        mended_by=("end_strays",),
    ),
    Injection(
        "littered-worker",
        "something lies in the work directory of an idle worker",
        f"worker-2 runs nothing, and for {OLD_SECONDS:g} s something has been lying in its work_directory: what an "
        "action left that could not be cleared away.",
        _litter,
        "NLD-PRC-04",
        Verdict.WARNING,
        mended_by=("litter",),
    ),
)
