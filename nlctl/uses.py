"""Which results of an action cache name a blob: as an output, as what a command wrote, or as the action itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nlserver.errors import Error
from nlserver.reapi.closure import named_by
from nlserver.reapi.digest import Digest
from nlserver.reapi.results import parsed

from nlctl.admin import Admin
from nlctl.layers import listed, read_of

MOST: Final = 500


@dataclass(frozen=True)
class Uses:
    """How many results name each blob, of those that were looked into: `complete` when these are all.

    A directory counts as one blob: what is in it is named by the directory alone.
    """

    results: Mapping[Digest, int]
    looked_into: int
    complete: bool


def uses(parts: Mapping[str, str | Path], wanted: Sequence[Digest]) -> Uses:
    """Look into at most MOST results, in no order. Raises Fault NO_STORE, Error where the cache cannot be listed."""
    layer, found = listed(parts, "ac", "", "", MOST + 1)
    count = dict.fromkeys(wanted, 0)
    functions = {one.function for one in wanted}
    with Admin(str(parts[layer.part])) as admin:
        for entry in found[:MOST]:
            for action in filter(None, map(entry.digest, functions)):
                # It may be gone by now.
                with suppress(Error):
                    named = named_by(parsed(b"".join(read_of(admin, layer.path, action))), action.function)
                    for one in {action, *named.blobs, *named.trees, *named.roots} & count.keys():
                        count[one] += 1
    return Uses(count, min(len(found), MOST), len(found) <= MOST)
