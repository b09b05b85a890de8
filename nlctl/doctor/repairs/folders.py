"""Directories that the config of a part names, and that are gone or something else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from nlserver.filesystem.layout import Layout

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.folder_made import Made
from nlctl.doctor.kinds.parts_restarted import Restarted
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix
from nlctl.launch import backends
from nlctl.lint.scene import File


class Folders(NamedTuple):
    """What a part needs and has not: paths where nothing is, where a file is, and where a link leads nowhere.

    `mark` tells this fix from others, `keep` is where it keeps what it sets aside.
    """

    part: str
    is_member: bool
    absent: Sequence[str]
    files: Sequence[str]
    links: Sequence[str]
    mark: str
    keep: str


def look(ground: Ground, about: tuple[str, ...]) -> Folders:
    """The directories of this part as they are now."""
    from nlctl.lint import judging

    [part] = about
    if not ground.has_its_paths:
        raise NoRepair("its directories are in a container, or on another machine")
    path = ground.ledger.config(part)
    text = judging.Text(str(path), ground.text(path))
    needed = [one for file in judging.single([text], ground.session.environment).files for one in _needed(file)]
    bad = [one for one in dict.fromkeys(needed) if not os.path.isdir(one)]
    links = [one for one in bad if os.path.islink(one)]
    files = [one for one in bad if os.path.lexists(one) and one not in links]
    absent = [one for one in bad if not os.path.lexists(one)]
    members = [one.name for one in backends.of(ground.ledger).reports() or ()]
    return Folders(part, part in members, absent, files, links, ground.keep.name, str(ground.keep))


def _needed(file: File) -> Iterator[str]:
    """Those above come first."""
    for spec in file.specs():
        if isinstance(content := getattr(spec, "content_path", None), str):
            yield content
            yield from Layout(content, "").directories
        for key in ("temp_path", "work_directory"):
            if isinstance(path := getattr(spec, key, None), str):
                yield path


def plan(folders: Folders) -> Sequence[Change]:
    """Make what is missing, and start the part anew. Raises NoRepair where nothing is, or a volume may be."""
    if folders.links:
        why = f"{folders.links[0]} is a link that leads nowhere: a volume may not be mounted"
        raise NoRepair(why, fix("mount it"))
    if not folders.absent and not folders.files:
        raise NoRepair(f"the directories of {folders.part} are all there")
    made: list[Change] = [
        Made(path, os.path.join(folders.keep, f"{number}-{os.path.basename(path)}"), f"{path}.{folders.mark}")
        for number, path in enumerate(folders.files)
    ]
    made += [Made(path, "", f"{path}.{folders.mark}") for path in folders.absent]
    return [*made, *([Restarted((folders.part,))] if folders.is_member else [])]


REPAIR: Final = Repair(
    "folders",
    "make directories that a config names and that are gone, set aside a file in their place, and restart the part",
    "nothing is removed; undoing keeps the directory and what came into it under another name",
    look,
    plan,
)
