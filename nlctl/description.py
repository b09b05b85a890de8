"""A command as its help, its man page and the completion of a shell show it, read off the command itself."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nlctl.registry import COMMANDS, FLAGS, Leaf

if TYPE_CHECKING:
    from typer._click.core import Command, Parameter

LIVE_ARGUMENTS: Final = {
    "code": "codes",
    "context": "contexts",
    "digest": "digests",
    "digests": "digests",
    "operation": "operations",
    "operations": "operations",
    "part": "parts",
    "parts": "parts",
    "template": "templates",
    "topic": "topics",
    "worker": "workers",
    "workers": "workers",
}
"""What to complete an argument of this name with (the kinds of `nlctl __complete`)."""
LIVE_OPTIONS: Final = {
    "--action": "digests",
    "--context": "contexts",
    "--name": "contexts",
    "--on": "workers",
    "--op": "operations",
    "--part": "parts",
    "--worker": "workers",
}
FILES: Final = "files"
CHOICES: Final = {
    "shell": ("bash", "zsh", "fish", "powershell"),
    "suite": ("cas", "ac", "exec", "mix", "startup"),
}
"""Arguments of these names, which a command checks itself so that its message is ours, and what they may be."""
_DURATIONS: Final = ("--timeout", "--deadline", "--grace", "--since", "--until", "--duration", "--interval", "--every")


@dataclass(frozen=True)
class Argument:
    """One positional argument; `live` is the kind of values to complete it with, "" for none."""

    metavar: str
    help: str
    required: bool
    many: bool
    live: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """One option; `metavar` is "" for a switch."""

    spellings: tuple[str, ...]
    metavar: str
    help: str
    live: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """A command. `paragraphs` are each one line, `examples` are as they stand in its epilog."""

    path: tuple[str, ...]
    leaf: Leaf
    paragraphs: tuple[str, ...]
    arguments: tuple[Argument, ...]
    options: tuple[Option, ...]
    examples: tuple[str, ...]
    exits: str

    @property
    def name(self) -> str:
        """`cas get`."""
        return " ".join(self.path)

    @property
    def usage(self) -> str:
        """The line behind `Usage:`."""
        words = ["nlctl", *self.path, "[OPTIONS]"]
        return " ".join([*words, *map(_usage, self.arguments)])


def describe(path: tuple[str, ...]) -> Description:
    """The description of this command, which is imported for it."""
    leaf = COMMANDS[path]
    module = importlib.import_module(f"nlctl.commands.{leaf.module}")
    made = command(leaf)
    text = inspect.cleandoc(module.command.__doc__ or "")
    examples, exits = _epilog(module.EPILOG)
    arguments = [_argument(one) for one in made.params if one.param_type_name == "argument"]
    options = [_option(one) for one in made.params if one.param_type_name == "option"]
    paragraphs = tuple(" ".join(part.split()) for part in text.split("\n\n"))
    return Description(path, leaf, paragraphs, tuple(arguments), tuple(options), tuple(examples), exits)


def command(leaf: Leaf) -> Command:
    """The parser of this command, without a help option of its own: `nlctl` shows its page."""
    import typer

    module = importlib.import_module(f"nlctl.commands.{leaf.module}")
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command(add_help_option=False)(module.command)
    return typer.main.get_command(app)


def spellings(path: tuple[str, ...]) -> list[str]:
    """Every option that may stand behind this command."""
    own = [name for one in command(COMMANDS[path]).params for name in (*one.opts, *one.secondary_opts)]
    return [*(name for name in own if name.startswith("-")), *(name for flag in FLAGS for name in flag.spellings)]


def commands_in(line: str) -> list[list[str]]:
    """The words behind each `nlctl` in a line for a shell, without redirections; behind two blanks stands prose.

    What xargs would add is one word. Raises ValueError for a line whose quotes do not end.
    """
    import shlex

    reader = shlex.shlex(re.split(r"\s{2,}", line.strip())[0], posix=True, punctuation_chars="|&;<>")
    reader.whitespace_split = True
    commands: list[list[str]] = [[]]
    words = iter(reader)
    for word in words:
        if set(word) <= set("|&;"):
            commands.append([])
        elif set(word) <= set("<>&"):
            next(words, "")
        else:
            commands[-1].append(word)
    return [one[one.index("nlctl") + 1 :] + ["WORD"] * ("xargs" in one) for one in commands if "nlctl" in one]


def _epilog(text: str) -> tuple[Sequence[str], str]:
    lines = [line.rstrip() for line in text.replace("\b", "").splitlines()]
    start = next((n for n, line in enumerate(lines) if line.startswith("Exit status:")), len(lines))
    examples = [line.strip() for line in lines[:start] if line.startswith("  ")]
    return examples, " ".join(" ".join(lines[start:]).removeprefix("Exit status:").split())


def _usage(argument: Argument) -> str:
    dots = "..." if argument.many and not argument.metavar.endswith("...") else ""
    text = argument.metavar + dots
    return text if argument.required else f"[{text}]"


def _argument(one: Parameter) -> Argument:
    name = one.name or ""
    return Argument(
        metavar=one.metavar or name.upper(),
        help=getattr(one, "help", None) or "",
        required=one.required,
        many=one.nargs != 1,
        live=LIVE_ARGUMENTS.get(name, FILES if _is_path(one) or name in ("path", "paths", "file", "files") else ""),
        choices=_choices(one),
    )


def _option(one: Parameter) -> Option:
    spellings = tuple(sorted([*one.opts, *one.secondary_opts], key=lambda text: (text.startswith("--"), text)))
    long = next((text for text in one.opts if text.startswith("--")), one.opts[0])
    switch = bool(getattr(one, "is_flag", False) or getattr(one, "count", False))
    live = next((LIVE_OPTIONS[text] for text in one.opts if text in LIVE_OPTIONS), FILES if _is_path(one) else "")
    text = getattr(one, "help", None) or ""
    default = "" if switch or not one.default or callable(one.default) else str(one.default)
    shown = f"{text} [default: {default}]" if default and default != "." else text
    return Option(spellings, "" if switch else _metavar(one, long), shown, "" if switch else live, _choices(one))


def _metavar(one: Parameter, long: str) -> str:
    if one.metavar:
        return one.metavar
    if choices := _choices(one):
        return "|".join(choices)
    if long.endswith(_DURATIONS):
        return "DUR"
    if _is_path(one):
        return "PATH"
    if one.type.name.startswith(("int", "float")):
        return "N"
    return long.rpartition("-")[2].upper()


def _choices(one: Parameter) -> tuple[str, ...]:
    named = CHOICES.get(one.name or "", ()) if one.param_type_name == "argument" else ()
    return tuple(str(choice) for choice in getattr(one.type, "choices", named))


def _is_path(one: Parameter) -> bool:
    return type(one.type).__name__ in ("TyperPath", "Path", "File")


def parsed(words: Sequence[str]) -> Any:
    """The arguments of this command line (without `nlctl`) as its parser takes them; None where it names a group.

    Raises Fault USAGE, or typer's UsageError, for a line that a user could not run.
    """
    from nlctl.arguments import cut

    invocation = cut(words, {})
    if invocation.leaf is None or invocation.counts.get("help"):
        return None
    with command(invocation.leaf).make_context("nlctl", list(invocation.words), obj=None) as context:
        return context.params
