"""docs/doctor.md: the frame is written here, the table comes from the checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from nlctl.doctor import repairs as mended
from nlctl.doctor.check import Check
from nlctl.doctor.checks import every
from nlctl.doctor.repair import Repair
from nlctl.lab import faults
from nlctl.lab.injection import Injection
from nlctl.lab.uncaused import UNCAUSED
from nlctl.lint import rules
from nlctl.lint.rule import Rule

_HEAD: Final = """\
# The doctor

`nlctl doctor` examines a cluster, or any server of the Remote Execution API (`nlctl --endpoint URL doctor`), and says
what is wrong, what it saw and where, why that is bad, and what to do. Without `--fix` it changes nothing but probe
blobs of random bytes and one random key of the action cache.

* Checks run all at once, each after those it needs: **one cause gives one failure**, and what builds on it is skipped
  and says so. One that does not apply here (a server that nlctl did not start has no processes to look at) is skipped
  and blocks nothing.
* `nlctl doctor AREA...`, `--check ID`, `--skip ID` choose; `--list` lists; `-v` shows also what is well, with its
  evidence; `--report FILE.html` (or `.md`) writes everything as a page that needs nothing else; `--watch` looks again
  and again and tells a pipe what changed; `-o json` has a stable schema (`nlctl help schema doctor`).
* What a rule of the linter concludes from the configs and a check proves by looking is told once: by the check, with
  the line of the config as evidence.
* Time limits grow with the load of the machine, so that a busy one is slow and not sick.
* Exit status: 0 nothing failed, 5 something failed (with `--strict` also warnings), 4 nothing could be reached.
* Whether parts share a CAS is proved, not guessed from paths: a fresh blob is written the way a client writes, and
  looked for from each part. Parts need not share a directory; they must reach one CAS server. A shared directory is
  safe with nlserver, and a fault with real NativeLink processes, which would evict each other's blobs.

## One question at a time

| command | question | needs |
|---|---|---|
| `nlctl doctor object TEXT` | why is this blob not found | any error text that names it |
| `nlctl doctor action DIGEST` | why an action waits, was slow, or failed | a digest, an operation's id, `@last` |
| `nlctl doctor bazel [LOG]` | what went wrong in this build, what was slow | what Bazel said, or a log it wrote |
| `nlctl doctor net` | when and where is the way to an endpoint lost | an endpoint |
| `nlctl doctor config FILES` | what is wrong with these files | configs, compose files, Kubernetes, .bazelrc |

`nlctl doctor config` ends with 5 where something is wrong, annotates pull requests with `--format github`, and writes
SARIF for code scanning. The rules that are of the catalogue of defects of NativeLink's shipped examples:

{rules}

## Repairs

`nlctl doctor --fix` mends what has a safe repair, `nlctl doctor object TEXT --fix` what is wrong with one blob.

1. It **plans**: every change in words, config files as a diff, and which parts start anew. `--dry-run` ends here.
2. It **asks**; where nobody can be asked it needs `--yes`.
3. It writes the changes into a **journal**, on the disk before the first is made, and makes them. Parts restart one
   after the other; workers finish what they run first, so no action is lost.
4. It **examines again** and says of each finding whether it is mended. What a repair uncovers is mended in a further
   round, after another question.

`nlctl doctor undo [ID]` takes the latest fix back, or the one of this id: it shows what, asks, does it, and looks
whether all is as it was. Files are as they were byte for byte, wrong bytes stand where they stood, removed results are
back where no newer one is. It refuses, and changes nothing, when somebody changed a file of the fix since.
`nlctl doctor undo --list` shows all that can be taken back: a fix that came to its end for 30 days, the latest ten of
them and those that were interrupted for ever. What a fix set aside goes with its journal.

A change is never told from a mark that it is done, but from the world: a fix that was killed at any moment is taken
back by `undo`, or brought to its end by `--fix`, like one that ended well.

What has no safe repair is listed with the reason and the command for a person. The table of checks below says of each
which repairs its findings may have, and why a person must mend the rest.

A new repair is a file of `nlctl/doctor/repairs/`: a `look` that gathers facts and a pure `plan` that makes changes of
them; a finding names it in `remedies`. The kinds of changes stand in `nlctl/doctor/kinds/`.

{repairs}

## How checks are made

A new check is an entry of `CHECKS` in a file of `nlctl/doctor/checks/`: a `look` that gathers facts and a pure
`judge`.

## The checks

Level: A any server of the Remote Execution API, B a cluster that nlctl started, D the admin API.

"""


_FAULTS: Final = """
## The faults of the lab

`nlctl lab start` runs a small cluster of its own, `nlctl lab break FAULT` puts one of these into it for real, and
`nlctl lab restore` takes it out again; `nlctl lab tour` goes from one to the next. `tests/nlctl/lab` holds the doctor
to this table: with each fault in it, exactly this check fails or warns and no other, this is the verdict of
`nlctl doctor object`, and these repairs of `--fix` take it away, after which nothing is left to say.

Those of containers need a lab in Docker, `nlctl lab start --backend docker`: each is made on the engine itself, and
`tests/docker/test_lab.py` holds the doctor to it, and `--fix` to mending it.

A new fault is an entry of `FAULTS` in a file of `nlctl/lab/faults/`. It is made of what `nlctl.lab.lab.Lab` offers,
which writes down how to undo each change before it is made.

"""


_UNCAUSED: Final = """
Checks and verdicts without a fault there:

"""


def files() -> dict[str, str]:
    """The page, by its path in the repository."""
    head = _HEAD.replace("{repairs}", repairs(mended.every().values())).replace("{rules}", catalogued(rules.every()))
    known = _FAULTS + fault_table(faults.every().values()) + _UNCAUSED + uncaused(UNCAUSED)
    return {"docs/doctor.md": head + table(every().values()) + known}


def catalogued(known: Iterable[Rule]) -> str:
    """One line for each rule of the linter that is in the catalogue, in Markdown, by its id there."""
    listed = sorted((one.nlx, one.id, one.title) for one in known if one.nlx)
    return "\n".join(["| defect | rule | mistake |", "|---|---|---|", *(f"| {' | '.join(one)} |" for one in listed)])


def repairs(known: Iterable[Repair]) -> str:
    """One line for each repair, in Markdown."""
    lines = ["| repair | what it does | why it is safe |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {one.name} | {one.title} | {one.safe} |" for one in known)])


def fault_table(injections: Iterable[Injection]) -> str:
    """One line for each fault of the lab, in Markdown."""
    lines = ["| fault | what is done | `nlctl doctor` | `nlctl doctor object` | `--fix` |", "|---|---|---|---|---|"]
    for one in injections:
        check = f"{one.check} {one.status}" if one.check else "-"
        mended = ", ".join(one.mended_by) or "-"
        lines.append(f"| `{one.name}` | {one.story} | {check} | {one.cause or '-'} | {mended} |")
    return "\n".join(lines) + "\n"


def uncaused(reasons: Mapping[str, str]) -> str:
    """One line for each check or verdict that no fault of the lab leads to, in Markdown."""
    return "\n".join(["| check | why |", "|---|---|", *(f"| {id_} | {why} |" for id_, why in reasons.items())]) + "\n"


def table(checks: Iterable[Check]) -> str:
    """One line for each check, in Markdown."""
    lines = [
        "| id | area | title | level | needs | probe | verdicts | fix | repaired by | by a person, because |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in checks:
        needs = ", ".join(one.needs) or "-"
        mended = [", ".join(one.repairs) or "-", one.by_hand or "-"]
        cells = [one.id, one.area, one.title, one.level, needs, one.probe, one.verdicts, one.fix, *mended]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
