"""`nlctl __complete KIND PREFIX [CONTEXT]`: a value a line, behind a tab what it is; nothing where something is wrong.

All but operations are read from files; operations are asked from the scheduler of a cluster that runs here, which has
120 ms for the answer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from nlctl import homes

Value = tuple[str, str]
_RECENT: Final = 50


def main(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Print what fits; the exit code is always 0, because a shell shows whatever goes wrong here amid a line."""
    kind, prefix, context, *_ = [*words, "", "", ""]
    # A file may be half written, gone, or from another version: then there is nothing to offer.
    with suppress(Exception):
        lines = (
            f"{value}\t{text}\n" if text else f"{value}\n" for value, text in values(kind, prefix, context, environment)
        )
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
    return 0


def values(kind: str, prefix: str, context: str, environment: Mapping[str, str]) -> Iterator[Value]:
    """The values of this kind that begin so, the likeliest first, each with a few words about it.

    `context` is the cluster that the line names already, "" for none.
    """
    asked = _KINDS.get(kind)
    if asked is not None:
        yield from (one for one in asked(prefix, _Place(context, environment)) if one[0].startswith(prefix))


class _Place:
    """The state of this user, and the cluster that is meant."""

    def __init__(self, context: str, environment: Mapping[str, str]) -> None:
        self.state = homes.state(environment)
        self.config = homes.config(environment)
        self._asked = context or environment.get("NLCTL_CONTEXT", "")

    def clusters(self) -> list[str]:
        """The clusters of this machine."""
        folder = os.path.join(self.state, "clusters")
        with suppress(OSError):
            return sorted(
                name for name in os.listdir(folder) if os.path.exists(os.path.join(folder, name, "cluster.json"))
            )
        return []

    def home(self) -> str:
        """The folder of the cluster that is meant."""
        return os.path.join(self.state, "clusters", os.path.basename(self._asked or self._latest()))

    def _latest(self) -> str:
        with suppress(OSError), open(os.path.join(self.state, "current"), encoding="utf-8") as file:
            return file.read().strip()
        names = self.clusters()
        return names[0] if len(names) == 1 else "dev"


def _contexts(_prefix: str, place: _Place) -> Iterator[Value]:
    for name in place.clusters():
        yield name, "cluster of this machine"
    with suppress(OSError):
        for name in sorted(os.listdir(os.path.join(place.config, "contexts"))):
            if name.endswith(".toml"):
                yield name.removesuffix(".toml"), "context"


def _parts(_prefix: str, place: _Place) -> Iterator[Value]:
    names = [name.removesuffix(".json5") for name in os.listdir(os.path.join(place.home(), "config"))]
    yield from ((name, "") for name in sorted([*names, "supervisor"], key=_natural))


def _workers(prefix: str, place: _Place) -> Iterator[Value]:
    yield from (one for one in _parts(prefix, place) if one[0].startswith("worker-"))


def _natural(name: str) -> tuple[str, int]:
    head, _, number = name.rpartition("-")
    return (head, int(number)) if number.isdigit() else (name, 0)


def _operations(_prefix: str, place: _Place) -> Iterator[Value]:
    from nlctl.completing.schedulers import operations

    found = operations(os.path.join(place.home(), "run", "scheduler.sock"))
    for one in sorted(found, key=lambda one: one.stage == "completed"):
        yield one.id, f"{one.stage} {_ago(one.since)}".rstrip()


def _digests(prefix: str, place: _Place) -> Iterator[Value]:
    with open(os.path.join(place.state, "recents.jsonl"), encoding="utf-8") as file:
        lines = file.readlines()[: -_RECENT - 1 : -1]
    seen = set()
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        age = _ago(event.get("when", 0))
        for place_in_event, (role, digest) in enumerate(event["digests"].items()):
            text = f"{role} {age}".rstrip()
            name = "last" if number == 1 else str(number)
            if prefix.startswith("@"):
                yield f"@{name}" if place_in_event == 0 else f"@{name}.{role}", text
            elif (value := f"{digest['hash']}/{digest['size_bytes']}") not in seen:
                seen.add(value)
                yield value, text


def _codes(_prefix: str, _place: _Place) -> Iterator[Value]:
    from nlctl import pages

    yield from ((name, pages.title(pages.read(pages.CODES, name) or "")) for name in pages.names(pages.CODES))


def _topics(_prefix: str, _place: _Place) -> Iterator[Value]:
    from nlctl import topics

    yield from ((name, topics.title(name)) for name in topics.names())


_KINDS: Final[Mapping[str, Callable[[str, _Place], Iterator[Value]]]] = {
    "codes": _codes,
    "contexts": _contexts,
    "digests": _digests,
    "operations": _operations,
    "parts": _parts,
    "topics": _topics,
    "workers": _workers,
}


def _ago(when: float) -> str:
    """How long ago this was (seconds since 1970), "" when that is not known."""
    if not when:
        return ""
    seconds = max(0, int(time.time() - when))
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
