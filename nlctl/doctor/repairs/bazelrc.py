"""The lines for Bazel in a workspace, written for another cluster or before its ports changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from nlctl.bazelrc import FILE
from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.file import Rewritten
from nlctl.doctor.repair import NoRepair, Repair


class Lines(NamedTuple):
    """The file that `nlctl bazelrc --write` writes: its path, what it says, and what it would say."""

    path: str
    text: str
    ours: str


def look(ground: Ground, about: tuple[str, ...]) -> Lines:
    """The file in the workspace `about[0]`, for `--config=about[1]`. Raises Fault NO_CONFIG."""
    from nlctl.clients.bazel import lines

    root, config = about
    path = Path(root) / FILE
    made = lines(ground.target.server, config, ground.target.words)
    return Lines(str(path), ground.text(path), "\n".join(made) + "\n")


def plan(found: Lines) -> Sequence[Change]:
    """Write it. Raises NoRepair where it says so already."""
    if found.text == found.ours:
        raise NoRepair(f"{found.path} says what this cluster needs")
    return [Rewritten(found.path, (found.text, found.ours))]


REPAIR: Final = Repair(
    "bazelrc",
    f"write what `nlctl bazelrc --write` writes into {FILE} of the workspace",
    "no other file is touched; the difference is shown; undoing writes the file as it was",
    look,
    plan,
)
