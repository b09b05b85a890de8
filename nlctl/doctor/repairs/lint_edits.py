"""Mistakes in configs whose repair the rule itself knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.file import Rewritten
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix
from nlctl.lint.finding import Finding
from nlctl.lint.judging import Text
from nlctl.lint.repair import repaired


class Judged(NamedTuple):
    """The configs, and what the rule says of them."""

    texts: Sequence[Text]
    findings: Sequence[Finding]


def look(ground: Ground, about: tuple[str, ...]) -> Judged:
    """The configs of the cluster; `about` is the rule."""
    from nlctl.lint import disk, judging
    from nlctl.lint.scene import Runs

    texts = [Text(str(path), ground.text(path)) for path in sorted(ground.ledger.configs.glob("*.json5"))]
    alone = judging.single(texts, ground.session.environment)
    verdict = judging.together(alone, texts, disk.look(alone.files), Runs.NLSERVER)
    return Judged(texts, [one for one in verdict.findings if one.id in about])


def plan(judged: Judged) -> Sequence[Change]:
    """Make the edits of these findings. Raises NoRepair where there are none."""
    made = []
    for text in judged.texts:
        edits = [edit for one in judged.findings for edit in one.edits if edit.file == text.name]
        after = repaired(text.content, edits)
        if after != text.content:
            made.append(Rewritten(text.name, (text.content, after)))
    if not made:
        raise NoRepair(
            "the rule knows no edit that means the same", fix("edit it", "nlctl", "config", "edit", "--help")
        )
    return made


REPAIR: Final = Repair(
    "lint_edits",
    "write what `nlctl config validate --fix` writes, and restart the parts whose config it is",
    "the edits are shown; undoing writes the files as they were",
    look,
    plan,
)
