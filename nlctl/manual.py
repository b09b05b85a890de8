"""Help that needs no command: the root's and the groups' pages, drawn from the registry. Pure."""

from __future__ import annotations

from nlctl.registry import COMMANDS, FLAGS, GROUPS

_WIDTH = 24


def root() -> str:
    """The page of `nlctl --help`."""
    lines = ["Usage: nlctl COMMAND [OPTIONS] ...", "", "Runs and explains a build cluster (Remote Execution API v2)."]
    for group in dict.fromkeys(leaf.group for leaf in COMMANDS.values()):
        lines += ["", f"{group}:"]
        lines += [_line(" ".join(path), leaf.summary) for path, leaf in COMMANDS.items() if leaf.group == group]
    lines += ["", "Options, accepted anywhere before `--`:", *_flags()]
    lines += ["", "First steps:  nlctl up   nlctl run -- echo hello   nlctl bazelrc --write   nlctl down"]
    lines += ["`nlctl COMMAND --help` tells more about one command."]
    return "\n".join(lines) + "\n"


def group(name: str) -> str:
    """The page of a group such as `nlctl cas`."""
    lines = [f"Usage: nlctl {name} COMMAND [OPTIONS] ...", "", f"{GROUPS[name]}.", ""]
    lines += [_line(" ".join(path), leaf.summary) for path, leaf in COMMANDS.items() if path[0] == name]
    return "\n".join(lines) + "\n"


def _flags() -> list[str]:
    lines = []
    for flag in FLAGS:
        name = ", ".join(flag.spellings) + (f" {flag.metavar}" if flag.metavar else "")
        choices = f": {' '.join(flag.choices)}" if flag.choices else ""
        variable = f"  [{flag.variable}]" if flag.variable else ""
        lines.append(_line(name, flag.summary + choices + variable))
    return lines


def _line(left: str, right: str) -> str:
    return f"  {left:<{_WIDTH}}{right}" if len(left) < _WIDTH else f"  {left}\n  {'':<{_WIDTH}}{right}"
