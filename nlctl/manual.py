"""The pages of help: the root's, the groups' and the commands', as plain text of 80 columns. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from nlctl.registry import COMMANDS, FLAGS, GROUPS, Flag, Level
from nlctl.wrap import WIDTH, wrapped

if TYPE_CHECKING:
    from nlctl.description import Description

_NAMES: Final = 24
_FIRST: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "Run a cluster": (("up",), ("down",), ("bazelrc",), ("run",)),
    "Look at things": (("status",), ("logs",), ("workers", "ls"), ("cas", "get")),
    "Find out why": (("cas", "why"), ("queue", "explain"), ("events",), ("explain",)),
}
NEEDS: Final = {
    Level.NONE: "no server",
    Level.STANDARD: "any server of the Remote Execution API (level A)",
    Level.LOCAL: "a cluster that nlctl started on this machine (level B)",
    Level.HTTP: "NativeLink's HTTP routes (level C)",
    Level.ADMIN: "a server with nlctl's admin API (level D)",
}


def root() -> str:
    """The page of `nlctl --help`: what is needed first."""
    lines = ["Usage: nlctl COMMAND [OPTIONS] ...", "", "Runs and explains a build cluster (Remote Execution API v2)."]
    for title, paths in _FIRST.items():
        lines += ["", f"{title}:"]
        lines += _commands(paths)
    lines += ["", "Groups:"]
    lines += [line for name, text in GROUPS.items() for line in _entry(name, text)]
    lines += ["", "Options, accepted anywhere before `--`:", *_flags()]
    lines += ["", "First steps:  nlctl up   nlctl run -- echo hello   nlctl bazelrc --write"]
    lines += ["More:  nlctl help all (every command)  nlctl help (topics)  nlctl COMMAND --help"]
    return "\n".join(lines) + "\n"


def everything() -> str:
    """The page of `nlctl help all`: every command in a line, by what it is for."""
    lines = ["Every command. `nlctl COMMAND --help` tells more about one."]
    for group in dict.fromkeys(leaf.group for leaf in COMMANDS.values()):
        lines += ["", f"{group}:"]
        lines += _commands(path for path, leaf in COMMANDS.items() if leaf.group == group)
    return "\n".join(lines) + "\n"


def group(name: str) -> str:
    """The page of a group such as `nlctl cas`."""
    lines = [f"Usage: nlctl {name} COMMAND [OPTIONS] ...", "", f"{GROUPS[name]}.", ""]
    lines += _commands(path for path in COMMANDS if path[0] == name)
    return "\n".join(lines) + "\n"


def page(of: Description) -> str:
    """The page of a command."""
    lines = [f"Usage: {of.usage}", "", f"nlctl {of.name} - {of.leaf.summary}", ""]
    for text in of.paragraphs:
        lines += [*wrapped(text, "  "), ""]
    if of.arguments:
        lines += ["Arguments:", *(line for one in of.arguments for line in _entry(one.metavar, one.help)), ""]
    if of.options:
        named = [(", ".join(one.spellings) + f" {one.metavar}".rstrip(), one.help) for one in of.options]
        lines += ["Options:", *(line for name, text in named for line in _entry(name, text)), ""]
    lines += ["Examples:", *(line for one in of.examples for line in _example(one)), ""]
    lines += ["Exit status:", *wrapped(of.exits, "  "), ""]
    lines += [f"Needs {NEEDS[of.leaf.level]}.", "Options of every command: nlctl help options"]
    return "\n".join(lines) + "\n"


def options() -> str:
    """The page of `nlctl help options`: those of every command."""
    return "\n".join(["Options of every command, accepted anywhere before `--`:", *_flags()]) + "\n"


def levels() -> str:
    """Every command below what it needs of a server."""
    lines = []
    for level, text in NEEDS.items():
        names = ", ".join(" ".join(path) for path, leaf in COMMANDS.items() if leaf.level is level)
        if names:
            lines += ["", f"Needs {text}:", *wrapped(names, "  ")]
    return "\n".join(lines) + "\n"


def environment() -> str:
    """Every variable that stands for a global option."""
    flags = [flag for flag in FLAGS if flag.variable]
    return "\n".join(line for flag in flags for line in _entry(flag.variable, f"{flag.spellings[-1]}: {flag.summary}"))


def _example(text: str) -> list[str]:
    """An example in lines of the page's width, continued as a shell continues them."""
    command, _, note = text.partition("  ")
    if len(text) + 2 <= WIDTH:
        return [f"  {text}"]
    said = [f"  # {note.strip()}"] if note.strip() else []
    lines = [f"  {command}"]
    while len(lines[-1]) > WIDTH and (cut := lines[-1].rfind(" -", 6, WIDTH - 1)) > 0:
        lines[-1:] = [lines[-1][:cut] + " \\", "     " + lines[-1][cut:]]
    return [*said, *lines]


def _commands(paths: Iterable[tuple[str, ...]]) -> list[str]:
    return [line for path in paths for line in _entry(" ".join(path), COMMANDS[path].summary)]


def _flags() -> list[str]:
    return [line for flag in FLAGS for line in _entry(flag_name(flag), flag_text(flag))]


def flag_name(flag: Flag) -> str:
    """`-C, --context NAME`."""
    return ", ".join(flag.spellings) + (f" {flag.metavar}" if flag.metavar else "")


def flag_text(flag: Flag) -> str:
    """What a global option does, its choices, and its variable."""
    choices = f": {' '.join(flag.choices)}" if flag.choices else ""
    variable = f" [{flag.variable}]" if flag.variable else ""
    return flag.summary + choices + variable


def _entry(left: str, right: str) -> list[str]:
    first, *rest = wrapped(right, " " * (_NAMES + 2)) if right else [""]
    if len(left) < _NAMES:
        return [f"  {left:<{_NAMES}}{first.strip()}".rstrip(), *rest]
    return [f"  {left}", *([first] if first else []), *rest]
