"""What this user handled lately, so that `@last` and the first digits of a hash name it again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from nlserver.reapi.digest import Digest, Function

from nlctl.launch.ledger import write

_MOST: Final = 200


def remember(state: Path, kind: str, digests: Mapping[str, Digest]) -> None:
    """Keep one event: its digests by role (`action`, `stdout`, a path), the main one first.

    Where nothing can be kept nothing is: what was handled is no worse for it.
    """
    lines = _lines(state)[-(_MOST - 1) :]
    document = {
        "kind": kind,
        "when": int(time.time()),
        "digests": {role: as_json(digest) for role, digest in digests.items()},
    }
    with suppress(OSError):
        state.mkdir(parents=True, exist_ok=True)
        write(state / "recents.jsonl", "\n".join([*lines, json.dumps(document)]) + "\n")


def latest(state: Path) -> list[dict[str, Digest]]:
    """The events, the newest first."""
    found = []
    for line in reversed(_lines(state)):
        try:
            digests = json.loads(line)["digests"]
            found.append({role: _digest(one) for role, one in digests.items()})
        except (ValueError, KeyError, TypeError):
            continue
    return found


def as_json(digest: Digest) -> dict[str, Any]:
    """A digest as documents show it."""
    return {"hash": digest.hash, "size_bytes": digest.size_bytes, "function": digest.function.name.lower()}


def _digest(document: Mapping[str, Any]) -> Digest:
    return Digest(document["hash"], int(document["size_bytes"]), Function[document["function"].upper()])


def _lines(state: Path) -> Sequence[str]:
    try:
        return (state / "recents.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
