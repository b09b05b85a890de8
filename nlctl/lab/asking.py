"""What the doctor is asked about a fault, and whether it names that fault and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from nlctl.faults import REFUSED, Fault, fix
from nlctl.lab.injection import Clue, Injection

_BAD: Final = ("failed", "warning", "unknown")


class Question(NamedTuple):
    """A command that looks for a fault, with its variables and the folder where it is given, "" for any."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "command": list(self.command),
            "environment": dict(self.environment),
            "folder": self.folder or None,
        }

    def __str__(self) -> str:
        import shlex

        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        there = [f"cd {shlex.quote(self.folder)};"] if self.folder else []
        return " ".join([*there, *variables, shlex.join(self.command)])


def questions(injection: Injection, clue: Clue, cluster: str) -> list[Question]:
    """`nlctl doctor` and `nlctl doctor object`, as far as each has something to say about this fault."""
    where = clue.flags if {"--endpoint", "-C"} & set(clue.flags) else ("-C", cluster, *clue.flags)
    commands = [("nlctl", *where, "doctor", *clue.options)] if injection.check else []
    if injection.cause:
        commands.append(("nlctl", *where, "doctor", "object", clue.text))
    return [Question(command, clue.environment, clue.folder) for command in commands]


@dataclass(frozen=True)
class Answer:
    """What the doctor found: what is bad or was looked for, and its verdict on a blob, "" where none was asked for."""

    findings: Sequence[Mapping[str, Any]] = ()
    cause: str = ""
    what: str = ""

    def names(self, injection: Injection) -> bool:
        """Whether it named this fault, and only that."""
        found = {(one["id"], one["status"]) for one in self.findings}
        wanted = {(injection.check, str(injection.status))} if injection.check else set()
        return found == wanted and self.cause == str(injection.cause or "")


def ask(injection: Injection, asked: Sequence[Question]) -> Answer:
    """Run these commands of our own and read what they say. Raises Fault REFUSED for one that says nothing."""
    wanted = injection.check, str(injection.status)
    findings: Sequence[Mapping[str, Any]] = ()
    cause = what = ""
    for one in asked:
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "nlctl", *one.command[1:], "-o", "json"],
            env={**os.environ, **one.environment},
            cwd=one.folder or None,
            capture_output=True,
            check=False,
        )
        if not ran.stdout:
            see = fix("ask it yourself", *one.command)
            raise Fault(REFUSED, f"the doctor ended with {ran.returncode}", fixes=[see], log=ran.stderr.decode())
        document = json.loads(ran.stdout)
        if "item" in document:
            cause, what = document["item"]["verdict"], document["item"]["what"]
        else:
            said = document["items"]
            findings = [row for row in said if row["status"] in _BAD or (row["id"], row["status"]) == wanted]
    return Answer(findings, cause, what)
