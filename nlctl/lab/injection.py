"""What a fault of the lab is: one declaration, held to what the doctor really says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nlctl.doctor.blob import Cause
from nlctl.doctor.finding import Verdict
from nlctl.launch.backends import DOCKER, PROCESS

if TYPE_CHECKING:
    from nlctl.lab.lab import Lab


class Clue(NamedTuple):
    """What the doctor is told of a fault: a text that names a blob, global flags, variables of the shell.

    `options` are those of `nlctl doctor`, `folder` is where it is asked, "" for anywhere.
    """

    text: str = ""
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    folder: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Injection:
    """`story` says what happens here and where people meet it.

    `breaks` does it with what a Lab offers, each of which writes its undoing down before it changes anything: so there
    is nothing to declare for the way back. It answers what the doctor must be told, None where `nlctl doctor` is all.
    `check` is the one check that must end with `status`, and no other may end badly; `cause` is the verdict of
    `nlctl doctor object` on the clue's text. At least one of the two is asked. `mended_by` are the repairs with which
    `--fix` takes it away, none where a person must; `leaves` is the check that may warn on then.
    """

    name: str
    title: str
    story: str
    breaks: Callable[[Lab], Clue | None]
    check: str = ""
    status: Verdict = Verdict.FAILED
    cause: Cause | None = None
    area: str = field(default="", kw_only=True)
    mended_by: tuple[str, ...] = field(default=(), kw_only=True)
    leaves: str = field(default="", kw_only=True)

    @property
    def backend(self) -> str:
        """What must run the parts of the lab."""
        return DOCKER if self.area == DOCKER else PROCESS

    @property
    def expected(self) -> str:
        """For people: `NLD-SHR-01 failed`, and the verdict on the blob."""
        found = [f"{self.check} {self.status}"] if self.check else []
        return ", ".join([*found, *([str(self.cause)] if self.cause else [])])
