"""The script for fish: one function that answers for every place, because fish looks at each condition of a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nlctl.generate.shells.words import HEADER, Entry, common, spots

_BODY: Final = r"""
# The kind of an option's value: of this command, else of every one.
function __nlctl_kind
    set -l kind (__nlctl_value "$argv[1] $argv[2]")
    test -n "$kind"; or set kind (__nlctl_common $argv[2])
    echo $kind
end

# What fits a value of this kind, behind a prefix that stays.
function __nlctl_offer -a kind cur context prefix
    switch $kind
        case '@*'
            for line in (command nlctl __complete (string sub -s 2 -- $kind) "$cur" "$context" 2>/dev/null)
                echo $prefix$line
            end
        case '=*'
            for word in (string split ' ' -- (string sub -s 2 -- $kind))
                echo $prefix$word
            end
        case files
            __fish_complete_path "$cur"
    end
end

function __nlctl_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    set -l at ''
    set -l value ''
    set -l context ''
    for word in $words[2..-1]
        if test -n "$value"
            test "$value" = @contexts; and set context $word
            set value ''
        else if test "$word" = --
            __fish_complete_subcommand --fcs-skip=(contains -i -- -- $words)
            return
        else if string match -q -- '--*=*' $word
            continue
        else if string match -q -- '-*' $word
            set value (__nlctl_kind "$at" $word)
        else if contains -- $word (__nlctl_commands "$at" | string split -f 1 \t)
            set at (string trim -- "$at $word")
        else if __nlctl_wraps "$at"
            __fish_complete_subcommand --fcs-skip=(math (contains -i -- $word $words) - 1)
            return
        end
    end
    if test -n "$value"
        __nlctl_offer $value "$cur" "$context" ''
    else if string match -q -- '--*=*' $cur
        set -l parts (string split -m 1 = -- $cur)
        __nlctl_offer (__nlctl_kind "$at" $parts[1]) "$parts[2]" "$context" "$parts[1]="
    else if string match -q -- '-*' $cur
        __nlctl_options "$at"
    else
        set -l commands (__nlctl_commands "$at")
        if test (count $commands) -gt 0
            printf '%s\n' $commands
        else
            __nlctl_offer (__nlctl_argument "$at") "$cur" "$context" ''
        end
    end
end

complete -c nlctl -f -k -a '(__nlctl_complete)'
"""


def script() -> str:
    """The text of `completions/nlctl.fish`."""
    options, kinds = common()
    known = spots()
    lines = [f"# nlctl completion for fish. {HEADER}", ""]
    lines += _table("__nlctl_commands", [([s.at], _printed(s.commands)) for s in known if s.commands])
    own = _table("__nlctl_options", [([s.at], _printed(s.options)) for s in known if s.options])
    lines += [*own[:-1], f"    {_printed(options)}", "end"]
    lines += _table(
        "__nlctl_value",
        [([f"{s.at} {name}" for name in names], f"echo {_quoted(kind)}") for s in known for names, kind in s.values],
    )
    lines += _table("__nlctl_common", [(names, f"echo {_quoted(kind)}") for names, kind in kinds])
    lines += _table("__nlctl_argument", [([s.at], f"echo {_quoted(s.argument)}") for s in known if s.argument])
    lines += ["function __nlctl_wraps", f"    contains -- $argv[1] {' '.join(_quoted(s.at) for s in known if s.wraps)}"]
    return "\n".join([*lines, "end"]) + _BODY


def _table(name: str, rows: Iterable[tuple[Iterable[str], str]]) -> list[str]:
    lines = [f"function {name}", '    switch "$argv[1]"']
    for names, body in rows:
        lines += [f"        case {' '.join(map(_quoted, names))}", f"            {body}"]
    return [*lines, "    end", "end"]


def _printed(entries: Iterable[Entry]) -> str:
    return " ".join(["printf '%s\\t%s\\n'", *(f"{one.word} {_quoted(one.text)}" for one in entries)])


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
