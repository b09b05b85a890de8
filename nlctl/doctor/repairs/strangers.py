"""Foreign files in the directory of a store, which counts and evicts only its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from nlserver.filesystem.layout import Layout

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.folder_moved import Moved
from nlctl.doctor.repair import NoRepair, Repair

_OURS: Final = "."
"""What the store writes beside its values is hidden."""


class Strangers(NamedTuple):
    """What lies in a content_path, and where to set it aside: on the same volume, so that nothing is copied."""

    paths: Sequence[str]
    aside: str


def look(ground: Ground, about: tuple[str, ...]) -> Strangers:
    """What is neither the store's nor leads to what a config of the cluster names; `about` is the content_path."""
    from nlctl.lint import judging

    [content] = about
    if not ground.has_its_paths:
        raise NoRepair("which of it is foreign is known in the container alone")
    texts = [judging.Text(str(path), ground.text(path)) for path in ground.ledger.configs.glob("*.json5")]
    files = judging.single(texts, ground.session.environment).files
    keys = ("content_path", "temp_path", "work_directory")
    named = [str(getattr(spec, key, "")) for file in files for spec in file.specs() for key in keys]
    named += Layout(content, "").directories
    found = [os.path.join(content, name) for name in sorted(os.listdir(content)) if not name.startswith(_OURS)]
    foreign = [path for path in found if not any(f"{one}/".startswith(f"{path}/") for one in named)]
    return Strangers(foreign, f"{content}.{ground.keep.name}")


def plan(found: Strangers) -> Sequence[Change]:
    """Set it aside beside the store. Raises NoRepair where nothing is foreign."""
    if not found.paths:
        raise NoRepair("nothing foreign lies there")
    return [Moved(path, os.path.join(found.aside, os.path.basename(path))) for path in found.paths]


REPAIR: Final = Repair(
    "strangers",
    "set aside what lies in the directory of a store and is not the store's, beside it on the same volume",
    "nothing is removed or copied; undoing puts it back",
    look,
    plan,
)
