"""The command line, cut: which command, which global flags, what is left for the command. Pure.

Global flags stand anywhere before a bare `--`, because people press the up key and append.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from nlctl.faults import USAGE, Fault, Fix, fix
from nlctl.registry import COLUMNS, COMMANDS, FLAGS, GROUPS, Flag, Leaf
from nlctl.spelling import misspelt, nearest

_BY_SPELLING: Final = {spelling: flag for flag in FLAGS for spelling in flag.spellings}
_COUNT: Final = re.compile("[0-9]{1,3}")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Rank(IntEnum):
    """Where a value may come from; what stands first wins."""

    FLAG = 0
    VARIABLE = 1
    PROJECT = 2
    CONTEXT = 3
    USER = 4
    DEFAULT = 5


@dataclass(frozen=True)
class Origin:
    """Where a value came from: by what right, and the flag, variable or file that said it."""

    rank: Rank
    where: str


@dataclass
class Invocation:
    """One command line. `path` may be a group or empty; `words` belong to the command.

    `origins` tell of each of the `texts` where it came from.
    """

    path: tuple[str, ...] = ()
    words: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)

    @property
    def leaf(self) -> Leaf | None:
        """The command, None when the words name only a group or nothing."""
        return COMMANDS.get(self.path)


def cut(arguments: Sequence[str], environment: Mapping[str, str]) -> Invocation:
    """Cut a command line. Raises Fault USAGE for an unknown command, an unknown flag before it, or a bad value."""
    made = Invocation()
    _from_environment(made, environment)
    rest = iter(arguments)
    for word in rest:
        leaf = made.leaf
        if word == "--":
            made.words += [word, *rest]
        elif _is_flag(word):
            _flag(made, word, rest)
        elif leaf is None or (not made.words and (*made.path, word) in COMMANDS):
            made.path = _descend(made.path, word)
        elif leaf.wraps:
            made.words += ["--", word, *rest]
        else:
            if not made.words:
                _check_near(made.path, word)
            made.words.append(word)
    return made


def seconds(text: str) -> float:
    """A duration: `30`, `500ms`, `10s`, `5m`, `1h`. Raises Fault USAGE."""
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.strip()[len(number) :] or "s"
    try:
        value = float(number) * _SECONDS[unit]
    except (KeyError, ValueError):
        value = -1.0
    if not 0 <= value < 10**9:
        raise Fault(USAGE, f"{text!r} is no duration", fixes=[Fix("write 30, 500ms, 10s, 5m or 1h")])
    return value


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")


def _from_environment(made: Invocation, environment: Mapping[str, str]) -> None:
    for flag in FLAGS:
        value = environment.get(flag.variable, "") if flag.variable else ""
        if not value:
            continue
        if flag.counts:
            made.counts[flag.name] = int(value) if _COUNT.fullmatch(value) else 1
        else:
            _set(made, flag, value, flag.variable, Rank.VARIABLE)


def _flag(made: Invocation, word: str, rest: Iterator[str]) -> None:
    name, equals, value = word.partition("=")
    leaf = made.leaf
    flag = None if leaf is not None and name in leaf.owned else _BY_SPELLING.get(name)
    if flag is None and (short := _bundle(word)) and not _own(leaf, word):
        for letter in short:
            made.counts[letter.name] = made.counts.get(letter.name, 0) + 1
    elif flag is None and word[:2] == "-o" and word[:3] != "--":
        _set(made, _BY_SPELLING["-o"], word[2:].removeprefix("="), "-o")
    elif flag is None:
        _foreign(made, leaf, word, rest)
    elif flag.counts:
        made.counts[flag.name] = made.counts.get(flag.name, 0) + 1
    elif flag.constant:
        _set(made, flag, flag.constant, name)
    else:
        _set(made, flag, value if equals else _next(rest, name), name)


def _own(leaf: Leaf | None, word: str) -> bool:
    return leaf is not None and (word in leaf.owned or word in leaf.valued)


def _bundle(word: str) -> list[Flag]:
    """`-qq` or `-vy` as flags; empty when it is not made of counting short flags alone."""
    if word.startswith("--"):
        return []
    flags = [_BY_SPELLING.get(f"-{letter}") for letter in word[1:]]
    return [flag for flag in flags if flag is not None and flag.counts] if all(f and f.counts for f in flags) else []


def _foreign(made: Invocation, leaf: Leaf | None, word: str, rest: Iterator[str]) -> None:
    if leaf is None:
        known = nearest(word.partition("=")[0], _BY_SPELLING)
        hint = f"did you mean {' or '.join(known)}?" if known else "flags of a command stand after its name"
        raise Fault(USAGE, f"unknown option {word}", fixes=[fix(hint), fix("see all", "nlctl", *made.path, "--help")])
    made.words.append(word)
    if word in leaf.valued:
        made.words += [value for value in [next(rest, None)] if value is not None]


def _next(rest: Iterator[str], name: str) -> str:
    value = next(rest, None)
    if value is None:
        raise Fault(USAGE, f"{name} needs a value", fixes=[fix("see what it takes", "nlctl", "--help")])
    return value


def _set(made: Invocation, flag: Flag, value: str, spelling: str, rank: Rank = Rank.FLAG) -> None:
    chosen = flag.name == "output" and value.startswith(COLUMNS)
    if flag.choices and value not in flag.choices and not chosen:
        raise Fault(USAGE, f"{spelling} cannot be {value!r}", fixes=[Fix(f"choose one of {', '.join(flag.choices)}")])
    made.texts[flag.name] = value
    made.origins[flag.name] = Origin(rank, spelling)


def _check_near(path: tuple[str, ...], word: str) -> None:
    """Raises Fault USAGE for a misspelt command below one that takes arguments itself."""
    here = [known[-1] for known in COMMANDS if known[:-1] == path]
    if close := misspelt(word, here):
        remedy = fix("did you mean this?", "nlctl", *path, close[0])
        raise Fault(USAGE, f"there is no command {' '.join(('nlctl', *path, word))!r}", fixes=[remedy])


def _descend(path: tuple[str, ...], word: str) -> tuple[str, ...]:
    longer = (*path, word)
    if longer in COMMANDS or (not path and word in GROUPS):
        return longer
    here = sorted({known[len(path)] for known in COMMANDS if known[: len(path)] == path and len(known) > len(path)})
    fixes = [fix("did you mean this?", "nlctl", *path, close) for close in nearest(word, here)]
    raise Fault(
        USAGE,
        f"there is no command {' '.join(('nlctl', *longer))!r}",
        why=f"known here: {', '.join(here)}",
        fixes=[*fixes, fix("all commands", "nlctl", *path, "--help")],
    )
