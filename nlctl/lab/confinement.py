"""Control groups around the parts of a lab, so that it can be short of something and this machine is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nlctl.faults import NOT_POSSIBLE, Fault, fix
from nlctl.lab.undo import Joined
from nlctl.launch.cgroups import LIMITS, MEMBERS, groups

if TYPE_CHECKING:
    from nlctl.lab.lab import Lab


def confined(lab: Lab, part: str, controller: str, most: int) -> Path:
    """Move the process of a part into a group that may have so much; its folder. Raises Fault NOT_POSSIBLE."""
    pid = lab.process(part).pid
    folders = list(groups(pid, controller))
    parent = next((folder for folder in folders if _divides(folder, controller)), None)
    if parent is None:
        raise _refused(f"this machine has no control groups for {controller}")
    group = parent / f"nlctl-{lab.ledger.name}-{os.getpid()}"
    lab.journal.note(Joined(str(group), str(folders[0])))
    try:
        group.mkdir()
        [limit] = [name for name, _ in LIMITS[controller] if (group / name).exists()]
        (group / limit).write_text(str(most), encoding="ascii")
        (group / MEMBERS).write_text(str(pid), encoding="ascii")
    except OSError as error:
        raise _refused(f"{error.filename}: {error.strerror}") from error
    return group


def _divides(folder: Path, controller: str) -> bool:
    """Whether groups within this one may be limited; in version 1 all may."""
    try:
        return controller in (folder / "cgroup.subtree_control").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return True


def _refused(why: str) -> Fault:
    return Fault(NOT_POSSIBLE, "no control group can be made here", why=why, fixes=[fix("run it as root")])
