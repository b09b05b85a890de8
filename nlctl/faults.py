"""What can go wrong for the user of a command, each under a stable id, and how an engine's Error becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nlctl.exits import Exit

if TYPE_CHECKING:
    from nlserver.errors import Error


class Kind(NamedTuple):
    """One way to fail: its public id and the exit code it leads to."""

    id: str
    exit: Exit


USAGE = Kind("NL-USE-101", Exit.USAGE)
BAD_DIGEST = Kind("NL-USE-102", Exit.USAGE)
AMBIGUOUS = Kind("NL-USE-103", Exit.USAGE)
UNCONFIRMED = Kind("NL-USE-104", Exit.USAGE)
UNREADABLE = Kind("NL-USE-105", Exit.USAGE)
UNKNOWN_PAGE = Kind("NL-USE-106", Exit.NOT_FOUND)
UNWRITABLE = Kind("NL-USE-107", Exit.DENIED)
UNREACHABLE = Kind("NL-NET-101", Exit.UNREACHABLE)
NOT_RUNNING = Kind("NL-NET-102", Exit.UNREACHABLE)
TIMEOUT = Kind("NL-NET-103", Exit.TIMEOUT)
DENIED = Kind("NL-NET-104", Exit.DENIED)
UNSUPPORTED = Kind("NL-NET-105", Exit.UNSUPPORTED)
REFUSED = Kind("NL-NET-106", Exit.UNHEALTHY)
NO_CONTEXT = Kind("NL-CTX-101", Exit.NOT_FOUND)
BAD_CONTEXT = Kind("NL-CTX-102", Exit.INVALID)
CONTEXT_TAKEN = Kind("NL-CTX-103", Exit.CONFLICT)
BAD_SETTINGS = Kind("NL-CTX-104", Exit.INVALID)
BAD_CONFIG = Kind("NL-CFG-101", Exit.INVALID)
EDITED_CONFIG = Kind("NL-CFG-102", Exit.CONFLICT)
NO_CONFIG = Kind("NL-CFG-201", Exit.NOT_FOUND)
NO_EDIT = Kind("NL-CFG-202", Exit.NOT_FOUND)
NO_PATH = Kind("NL-CFG-203", Exit.NOT_FOUND)
NOT_KNOWN = Kind("NL-CFG-204", Exit.NOT_FOUND)
OCCUPIED = Kind("NL-CFG-205", Exit.CONFLICT)
PART_FAILED = Kind("NL-PRC-201", Exit.UNHEALTHY)
NOT_READY = Kind("NL-PRC-202", Exit.TIMEOUT)
PORT_TAKEN = Kind("NL-PRC-203", Exit.CONFLICT)
LOCKED = Kind("NL-PRC-204", Exit.CONFLICT)
NEWER_STATE = Kind("NL-PRC-205", Exit.CONFLICT)
CANARY_FAILED = Kind("NL-PRC-206", Exit.UNHEALTHY)
NOT_YET = Kind("NL-PRC-209", Exit.TIMEOUT)
SUPERVISOR_LOST = Kind("NL-PRC-207", Exit.UNHEALTHY)
UNKNOWN_PART = Kind("NL-PRC-208", Exit.NOT_FOUND)
BLOB_MISSING = Kind("NL-CAS-101", Exit.NOT_FOUND)
BLOB_CORRUPT = Kind("NL-CAS-102", Exit.CORRUPT)
SIZE_UNKNOWN = Kind("NL-CAS-103", Exit.USAGE)
OTHER_KIND = Kind("NL-CAS-104", Exit.INVALID)
TOO_LARGE = Kind("NL-CAS-105", Exit.INVALID)
PATH_TAKEN = Kind("NL-CAS-106", Exit.CONFLICT)
INCOMPLETE = Kind("NL-CAS-107", Exit.PARTIAL)
NO_LOG = Kind("NL-BZL-106", Exit.NOT_FOUND)
BAD_LOG = Kind("NL-BZL-107", Exit.INVALID)
NO_RESULT = Kind("NL-AC-101", Exit.NOT_FOUND)
DANGLING = Kind("NL-AC-104", Exit.NOT_FOUND)
NO_BASELINE = Kind("NL-BEN-101", Exit.NOT_FOUND)
BAD_BASELINE = Kind("NL-BEN-102", Exit.INVALID)
REGRESSED = Kind("NL-BEN-103", Exit.UNHEALTHY)
NOT_RUN = Kind("NL-EXE-101", Exit.NOT_RUN)
NO_PROGRAM = Kind("NL-EXE-102", Exit.NOT_FOUND)
NO_STORE = Kind("NL-STO-101", Exit.NOT_FOUND)
NO_OPERATION = Kind("NL-OPS-101", Exit.NOT_FOUND)
UNKNOWN_WORKER = Kind("NL-WRK-101", Exit.NOT_FOUND)
NOT_DRAINED = Kind("NL-WRK-102", Exit.TIMEOUT)
NO_QUEUE = Kind("NL-QUE-102", Exit.NOT_FOUND)
NO_WORKER = Kind("NL-QUE-101", Exit.NOT_RUN)
NO_FIX = Kind("NL-DOC-101", Exit.NOT_FOUND)
CHANGED_SINCE = Kind("NL-DOC-102", Exit.CONFLICT)
NOT_UNDONE = Kind("NL-DOC-103", Exit.UNHEALTHY)
NOT_A_LAB = Kind("NL-LAB-101", Exit.CONFLICT)
BROKEN_ALREADY = Kind("NL-LAB-102", Exit.CONFLICT)
NO_FAULT = Kind("NL-LAB-103", Exit.NOT_FOUND)
NOT_POSSIBLE = Kind("NL-LAB-104", Exit.DENIED)
OTHER_LAB = Kind("NL-LAB-105", Exit.CONFLICT)
BAD_BUNDLE = Kind("NL-SUP-101", Exit.INVALID)
NO_ENGINE = Kind("NL-DKR-101", Exit.UNREACHABLE)
NO_IMAGE = Kind("NL-DKR-102", Exit.NOT_FOUND)
ENGINE_REFUSED = Kind("NL-DKR-103", Exit.UNHEALTHY)
NAME_TAKEN = Kind("NL-DKR-104", Exit.CONFLICT)
NOT_BUILT = Kind("NL-DKR-105", Exit.UNHEALTHY)
NO_WHEELS = Kind("NL-DKR-106", Exit.NOT_FOUND)
INTERNAL = Kind("NL-INT-101", Exit.INTERNAL)
INTERRUPTED = Kind("NL-INT-130", Exit.INTERRUPTED)
TERMINATED = Kind("NL-INT-143", Exit.TERMINATED)


@dataclass(frozen=True)
class Fix:
    """Something to do about it: words, and the command if one does it."""

    text: str = ""
    command: tuple[str, ...] = ()


class Fault(Exception):
    """A failure worded for people: what, why, and what to do; `said` keeps a server's own words."""

    def __init__(
        self, kind: Kind, message: str, *, why: str = "", fixes: Sequence[Fix] = (), said: str = "", log: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.why = why
        self.fixes = tuple(fixes)
        self.said = said
        self.log = log

    @property
    def exit(self) -> Exit:
        """The exit code that this leads to."""
        return self.kind.exit


def fix(text: str, *command: str) -> Fix:
    """A remedy in words, with the command that carries it out."""
    return Fix(text, command)


@dataclass(frozen=True)
class _Wording:
    kind: Kind
    fixes: tuple[Fix, ...] = ()


def of_error(error: Error) -> Fault:
    """The Fault that an Error of the engine or of a server stands for."""
    wording = _wording(error)
    fixes = wording.fixes if not error.remedy else (Fix(error.remedy), *wording.fixes)
    why = f"at {error.where}" if error.where else f"the answer was {error.code.name}"
    return Fault(wording.kind, error.message or error.code.name, why=why, fixes=fixes)


def _wording(error: Error) -> _Wording:
    from nlserver.errors import Code

    match error.code:
        case Code.NOT_FOUND:
            lost = [one.removeprefix("blobs/") for one in error.missing[:1]]
            whereabouts = [fix("which store lost it, and what helps", "nlctl", "doctor", "object", one) for one in lost]
            return _Wording(BLOB_MISSING, (*whereabouts, fix("upload it", "nlctl", "cas", "put", "PATH")))
        case Code.UNAVAILABLE:
            return _Wording(UNREACHABLE, (fix("see what runs", "nlctl", "status"), fix("start it", "nlctl", "up")))
        case Code.DEADLINE_EXCEEDED:
            return _Wording(TIMEOUT, (fix("see what is slow", "nlctl", "status"),))
        case Code.PERMISSION_DENIED | Code.UNAUTHENTICATED:
            return _Wording(DENIED, (fix("ask the owner of this endpoint for access"),))
        case Code.UNIMPLEMENTED:
            return _Wording(UNSUPPORTED, (fix("point --endpoint at a server that has it"),))
        case Code.DATA_LOSS:
            return _Wording(BLOB_CORRUPT, (fix("upload it again", "nlctl", "cas", "put", "PATH"),))
        case Code.INVALID_ARGUMENT | Code.OUT_OF_RANGE:
            return _Wording(USAGE, (fix("check the arguments", "nlctl", "--help"),))
        case _:
            return _Wording(REFUSED, (fix("see what the parts log", "nlctl", "logs", "--tail", "50"),))


def reason(fault: Fault) -> str:
    """Why it failed: what is known of this case, else what its kind means."""
    from nlctl import pages

    told = pages.sections(pages.read(pages.CODES, fault.kind.id) or "").get("What happened", "")
    return fault.why or " ".join(told.split())


def document(fault: Fault) -> dict[str, object]:
    """The error as `-o json` shows it (schema nlctl.error/v1)."""
    return {
        "schema": "nlctl.error/v1",
        "code": fault.kind.id,
        "message": fault.message,
        "why": " ".join(reason(fault).split()) if not fault.why else fault.why,
        "fix": [{"text": item.text, "command": list(item.command)} for item in fault.fixes],
        "server_said": fault.said or None,
        "log": fault.log.splitlines() if fault.log else None,
        "exit": int(fault.exit),
        "exit_name": fault.exit.label,
    }


def as_not_run(fault: Fault) -> Fault:
    """The same fault for `run`, where every failure of ours is 125 so that the remote status is never ambiguous."""
    other = Fault(
        fault.kind._replace(exit=Exit.NOT_RUN),
        fault.message,
        why=fault.why,
        fixes=fault.fixes,
        said=fault.said,
        log=fault.log,
    )
    other.__cause__ = fault.__cause__
    return other
