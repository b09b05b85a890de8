"""What a filesystem store evicted, when and by which limit: JSON lines beside the store, for whoever asks why.

Two files of at most `ROTATE_BYTES` each; only the process that holds the eviction lock writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from nlserver.eviction import Eviction, Limit

ROTATE_BYTES: Final = 8 << 20


def append(path: str, evictions: Sequence[Eviction]) -> None:
    """Add lines, and start a new file when the present one is full. Blocking. Raises OSError."""
    if not evictions:
        return
    with open(path, "a", encoding="utf-8", errors="surrogateescape") as journal:
        journal.write("".join(_line(eviction) for eviction in evictions))
        full = journal.tell() >= ROTATE_BYTES
    if full:
        os.replace(path, f"{path}.1")


def read(path: str, prefix: str = "") -> Iterator[Eviction]:
    """What is recorded of keys that begin so, oldest first; a torn or foreign line is passed over. Blocking."""
    # As it stands in the line: parsing all lines for the sake of one takes ten times as long.
    begins = f'"key": {json.dumps(prefix)[:-1]}'
    for file in (f"{path}.1", path):
        with suppress(FileNotFoundError), open(file, encoding="utf-8", errors="surrogateescape") as journal:
            yield from filter(None, map(_parsed, (line for line in journal if begins in line)))


def _line(eviction: Eviction) -> str:
    when = datetime.fromtimestamp(eviction.when, UTC).isoformat(timespec="milliseconds")
    facts = {
        "when": when,
        "key": eviction.key,
        "size": eviction.size,
        "limit": eviction.limit,
        "age_seconds": round(eviction.age, 3),
    }
    return json.dumps(facts) + "\n"


def _parsed(line: str) -> Eviction | None:
    try:
        facts = json.loads(line)
        when = datetime.fromisoformat(facts["when"]).timestamp()
        return Eviction(when, str(facts["key"]), int(facts["size"]), Limit(facts["limit"]), float(facts["age_seconds"]))
    except (ValueError, KeyError, TypeError):
        return None
