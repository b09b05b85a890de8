"""The manual pages: one for every command, and that of `nlctl` itself (man-pages(7), groff_man(7))."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nlctl import VERSION, manual
from nlctl.description import Description, describe
from nlctl.registry import COMMANDS, FLAGS, GROUPS

_TITLE: Final = '.TH {name} 1 "" "nlctl {version}" "nlctl manual"'


def files() -> dict[str, str]:
    """Paths in the repository and their texts."""
    made = {f"nlctl/pages/man/{name_of(path)}.1": page(describe(path)) for path in COMMANDS}
    return {"nlctl/pages/man/nlctl.1": root(), **made}


def name_of(path: Iterable[str]) -> str:
    """The name of a command's page: `nlctl-cas-get`."""
    return "-".join(("nlctl", *path))


def page(of: Description) -> str:
    """The page of a command."""
    name = name_of(of.path)
    lines = [
        _TITLE.format(name=name.upper(), version=VERSION),
        ".SH NAME",
        rf"{_text(name)} \- {_text(of.leaf.summary)}",
    ]
    lines += [".SH SYNOPSIS", rf"\fB{_text(of.usage)}\fR", ".SH DESCRIPTION"]
    for number, paragraph in enumerate(of.paragraphs):
        lines += [".PP"] * bool(number) + [_text(paragraph)]
    lines += [".PP", _text(f"It needs {manual.NEEDS[of.leaf.level]}.")]
    if of.arguments:
        lines += [".SH ARGUMENTS", *_entries((one.metavar, one.help) for one in of.arguments)]
    if of.options:
        named = [(", ".join(one.spellings) + f" {one.metavar}".rstrip(), one.help) for one in of.options]
        lines += [".SH OPTIONS", *_entries(named)]
    lines += [".PP", r"Options of every command are described in \fBnlctl\fR(1)."]
    lines += [".SH EXIT STATUS", _text(of.exits), ".SH EXAMPLES", ".EX", *map(_text, of.examples), ".EE"]
    return "\n".join([*lines, *_see_also(of.path)]) + "\n"


def root() -> str:
    """The page of `nlctl`."""
    lines = [_TITLE.format(name="NLCTL", version=VERSION), ".SH NAME"]
    lines += [r"nlctl \- runs and explains a build cluster (Remote Execution API v2)", ".SH SYNOPSIS"]
    lines += [r"\fBnlctl\fR COMMAND [OPTIONS] ...", ".SH DESCRIPTION"]
    lines += ["Starts, shows and explains a content-addressable storage, an action cache, a scheduler and workers."]
    for group in dict.fromkeys(leaf.group for leaf in COMMANDS.values()):
        lines.append(f".SS {_text(group)}")
        named = [(" ".join(path), leaf.summary) for path, leaf in COMMANDS.items() if leaf.group == group]
        lines += _entries(named)
    lines += [".SH OPTIONS", r"They are accepted anywhere before a bare \fB\-\-\fR."]
    lines += _entries((manual.flag_name(flag), manual.flag_text(flag)) for flag in FLAGS)
    lines += [".SH EXIT STATUS", r"\fBnlctl help exit\-codes\fR lists all of them.", ".SH GROUPS"]
    return "\n".join([*lines, *_entries(GROUPS.items()), *_see_also(())]) + "\n"


def _see_also(path: tuple[str, ...]) -> list[str]:
    near = [one for one in COMMANDS if one != path and (not path or (one[0] == path[0]))]
    pages = [*([] if not path else ["nlctl"]), *(name_of(one) for one in near)]
    return [".SH SEE ALSO", ",\n".join(rf"\fB{_text(name)}\fR(1)" for name in pages)]


def _entries(entries: Iterable[tuple[str, str]]) -> list[str]:
    return [line for name, text in entries for line in (".TP", rf"\fB{_text(name)}\fR", _text(text) or r"\&")]


def _text(text: str) -> str:
    """Plain text as roff takes it: a hyphen that can be copied, nothing that begins a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", "")
    return rf"\&{text}" if text.startswith(".") else text
