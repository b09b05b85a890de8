"""The difference between what runs and what is wished, as steps. Pure, so that a dry run costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Sign(StrEnum):
    """What a step does to a member."""

    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    KEEP = "="


@dataclass(frozen=True)
class Step:
    """One member's lot. `reason` is a phrase for people."""

    sign: Sign
    member: str
    reason: str

    @property
    def changes(self) -> bool:
        """Whether anything happens."""
        return self.sign is not Sign.KEEP


@dataclass(frozen=True)
class Running:
    """What the supervisor says of a member: the config it runs with, and whether it serves."""

    fingerprint: str
    state: str


@dataclass(frozen=True)
class Wanted:
    """A member as it shall run; `edited` tells that a person changed its config file."""

    name: str
    fingerprint: str
    summary: str = ""
    edited: bool = False


def steps(wanted: Sequence[Wanted], running: Mapping[str, Running]) -> list[Step]:
    """What to do, wanted members first in their order, then what goes, last started first."""
    names = {member.name for member in wanted}
    gone = [name for name in running if name not in names]
    return [
        *(_step(member, running.get(member.name)) for member in wanted),
        *(Step(Sign.REMOVE, name, "drained and stopped") for name in reversed(gone)),
    ]


def _step(member: Wanted, running: Running | None) -> Step:
    if running is None:
        return Step(Sign.ADD, member.name, member.summary)
    if running.fingerprint != member.fingerprint:
        return Step(Sign.CHANGE, member.name, "config file was edited" if member.edited else "config changes")
    if running.state in ("backoff", "failed"):
        return Step(Sign.CHANGE, member.name, f"is {running.state}, start it again")
    return Step(Sign.KEEP, member.name, running.state)
