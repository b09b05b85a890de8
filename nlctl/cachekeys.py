"""Why two actions do not share an entry of the action cache: every part of the key, compared. Pure.

An action's key is the digest of its Action message, which names the Command and the input root by their digests: one
byte that differs anywhere makes another key.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nlctl.actions import Known
from nlctl.differences import differences
from nlctl.trees import Change, Loaded, Node, changes

_ACTION_FIELDS: Final = ("timeout_ms", "do_not_cache", "salt")
_COMMAND_FIELDS: Final = (
    "working_directory",
    "output_paths",
    "output_files",
    "output_directories",
    "output_node_properties",
    "output_directory_format",
)
_NOTES: Final = {
    "added": "only the second has it",
    "removed": "only the first has it",
    "mode": "one is executable, the other is not",
    "target": "the link leads elsewhere",
    "kind": "another kind of entry",
}


@dataclass(frozen=True)
class Difference:
    """One part of the key that differs. `kind` is `argument`, `env`, `platform`, `input` or the name of a field.

    `name` says which one of its kind; None stands for a side that lacks it. `note` says in words what differs.
    """

    kind: str
    name: str
    before: Any
    after: Any
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All differences of two actions, and the parts of their keys that are the same.

    `encoding` tells that the actions say the same in other bytes: unsorted lists, or fields that nobody knows.
    """

    differences: Sequence[Difference]
    same: Sequence[str]
    encoding: bool = False

    @property
    def decisive(self) -> Difference | None:
        """The one difference that alone changes the key; None where there are several, or none."""
        return self.differences[0] if len(self.differences) == 1 else None


def compare(before: Known, after: Known, old: Loaded, new: Loaded) -> Comparison:
    """Two actions, with the trees of their inputs."""
    parts = {
        "arguments": list(_arguments(before.command.arguments, after.command.arguments)),
        "env": list(_environment(before, after)),
        "platform": list(_platform(before, after)),
        **_fields(before, after),
        "inputs": [_input(one) for one in changes(old, new)],
    }
    found = [one for each in parts.values() for one in each]
    same = [name for name, each in parts.items() if not each]
    return Comparison(found, same, not found and before.digest != after.digest)


def _arguments(before: Sequence[str], after: Sequence[str]) -> Iterator[Difference]:
    """Aligned, so that one that was added makes no difference of those behind it."""
    matcher = difflib.SequenceMatcher(a=list(before), b=list(after), autojunk=False)
    for what, start, end, other, other_end in matcher.get_opcodes():
        if what == "equal":
            continue
        for offset in range(max(end - start, other_end - other)):
            old = before[start + offset] if start + offset < end else None
            new = after[other + offset] if other + offset < other_end else None
            yield Difference("argument", str((start if old is not None else other) + offset), old, new)


def _environment(before: Known, after: Known) -> Iterator[Difference]:
    sides = [{one.name: one.value for one in known.command.environment_variables} for known in (before, after)]
    return _mapped("env", *sides)


def _platform(before: Known, after: Known) -> Iterator[Difference]:
    return _mapped("platform", *(_by_name(known.platform) for known in (before, after)))


def _by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _mapped(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Difference(kind, name, before.get(name), after.get(name))


def _fields(before: Known, after: Known) -> dict[str, list[Difference]]:
    (old_action, old_command), (new_action, new_command) = before.documents(), after.documents()
    sides = [(name, old_action[name], new_action[name]) for name in _ACTION_FIELDS]
    sides += [(name, old_command[name], new_command[name]) for name in _COMMAND_FIELDS]
    return {
        name: [Difference(name, one.field, one.before, one.after) for one in differences(old, new)]
        for name, old, new in sides
    }


def _input(change: Change) -> Difference:
    before, after = _node(change.before), _node(change.after)
    note = _NOTES.get(change.what) or "content differs"
    if change.what == "content" and change.before and change.after:
        note += ", same size" if change.before.size_bytes == change.after.size_bytes else ""
    return Difference("input", change.path, before, after, note)


def _node(node: Node | None) -> Any:
    if node is None:
        return None
    if node.digest is None:
        return node.target
    from nlctl.recents import as_json

    return as_json(node.digest)
