"""What fixes changed, so that each can be taken back: a folder for each under the user's state directory.

    fixes/ID/fix.json    the changes, written and on the disk before the first of them is made
    fixes/ID/...         what they set aside

A command that is killed leaves the journal of a fix that is not done, or nothing at all. Fixes that came to their end
are kept for 30 days, and the latest ten of them for ever.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nlctl.doctor import kinds
from nlctl.doctor.change import Change
from nlctl.faults import NEWER_STATE, NO_FIX, Fault, fix
from nlctl.launch.ledger import write

_SCHEMA: Final = 1
_NAME: Final = "fix.json"
_KEPT_SECONDS: Final = 30 * 86400.0
_KEPT: Final = 10


@dataclass(frozen=True)
class Entry:
    """One fix: the cluster it was of ("" for a server elsewhere), and its changes in the order in which they are made.

    `is_done` is False for one that was interrupted, or failed; `when` it was written down last, seconds since 1970.
    """

    id: str
    cluster: str
    changes: tuple[Change, ...] = ()
    is_done: bool = False
    when: float = 0.0


class Journal:
    """The fixes of one user. Nothing is created before it is needed."""

    def __init__(self, state: Path) -> None:
        self._home = state / "fixes"

    def fresh(self) -> str:
        """An id for a fix that begins now."""
        return time.strftime("%Y%m%dT%H%M%S", time.localtime()) + f"-{os.getpid()}"

    def folder(self, id_: str) -> Path:
        """Where a fix keeps what it sets aside."""
        return self._home / id_

    def ids(self) -> list[str]:
        """All that can be undone, the latest first."""
        return sorted((one.parent.name for one in self._home.glob(f"*/{_NAME}")), reverse=True)

    def keep(self, entry: Entry) -> None:
        """Write it down; on the disk when this returns."""
        folder = self.folder(entry.id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        document = {
            "schema": _SCHEMA,
            "cluster": entry.cluster,
            "done": entry.is_done,
            "changes": [kinds.document(one) for one in entry.changes],
        }
        write(folder / _NAME, json.dumps(document, indent=2) + "\n")
        for parent in (folder, self._home, self._home.parent):
            _sync(parent)

    def load(self, id_: str) -> Entry:
        """The fix of this id, the latest for "". Raises Fault NO_FIX or NEWER_STATE."""
        known = self.ids()
        wanted = id_ or (known[0] if known else "")
        if wanted not in known:
            remedy = fix("see what would be undone", "nlctl", "doctor", "undo", "--dry-run")
            why = f"known: {', '.join(known[:5])}" if known else "nothing was repaired, or all of it was taken back"
            what = f"there is no fix {id_!r}" if id_ else "there is no fix to undo"
            raise Fault(NO_FIX, what, why=why, fixes=[remedy] if known else [fix("repair", "nlctl", "doctor", "--fix")])
        path = self.folder(wanted) / _NAME
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != _SCHEMA:
            raise Fault(
                NEWER_STATE,
                f"fix {wanted} was written by a newer nlctl",
                why=f"it has schema {document['schema']}, this nlctl knows {_SCHEMA}",
                fixes=[fix("undo it with the nlctl that made it")],
            )
        made = tuple(kinds.of_document(one) for one in document["changes"])
        return Entry(wanted, document["cluster"], made, document["done"], path.stat().st_mtime)

    def done(self, entry: Entry) -> Entry:
        """It came to its end."""
        finished = replace(entry, is_done=True)
        self.keep(finished)
        return finished

    def interrupted(self, cluster: str) -> list[str]:
        """The fixes of this cluster that did not come to their end, the latest first."""
        entries: Sequence[Entry] = [self.load(one) for one in self.ids()]
        return [one.id for one in entries if one.cluster == cluster and not one.is_done]

    def prune(self, now: float) -> list[str]:
        """Forget the fixes that came to their end long ago, with what they set aside; answers which."""
        done = [one for one in map(self.load, self.ids()) if one.is_done]
        old = [one.id for one in done[_KEPT:] if now - one.when > _KEPT_SECONDS]
        for id_ in old:
            self.forget(id_)
        return old

    def forget(self, id_: str) -> None:
        """It was taken back, or is too old: the journal goes first, so that nothing half removed is offered again."""
        import shutil

        (self.folder(id_) / _NAME).unlink(missing_ok=True)
        shutil.rmtree(self.folder(id_), ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
