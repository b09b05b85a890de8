"""The script for zsh, which shows what each word means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nlctl.generate.shells.words import HEADER, Entry, common, patterns, single_quoted, spots, table

_BODY: Final = r"""
# Offer what fits a value of this kind.
_nlctl_offer() {
    local line
    local -a found
    case "$1" in
        @*)
            for line in "${(@f)$("$words[1]" __complete "${1#@}" "$cur" "$context" 2>/dev/null)}"; do
                [[ -n $line ]] || continue
                found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
            done
            _describe -V -t values "${1#@}" found
            ;;
        \=*)
            found=(${(s: :)1#=})
            _describe -V -t values value found
            ;;
        files) _files ;;
    esac
}

_nlctl() {
    local cur="${(Q)words[CURRENT]}" at="" value="" context="" word REPLY
    local -a found
    integer i foreign=0
    for ((i = 2; i < CURRENT; i++)); do
        word="${(Q)words[i]}"
        if [[ -n $value ]]; then
            [[ $value == @contexts ]] && context="$word"
            value=""
        elif [[ $word == -- ]]; then
            foreign=i
            break
        elif [[ $word == --*=* ]]; then
            continue
        elif [[ $word == -* ]]; then
            _nlctl_kind "$at" "$word"
            value="$REPLY"
        else
            _nlctl_commands "$at"
            if [[ -n ${found[(r)$word:*]} ]]; then
                at="${at:+$at }$word"
            elif _nlctl_wraps "$at"; [[ -n $REPLY ]]; then
                foreign=i-1
                break
            fi
        fi
    done
    if ((foreign)); then
        shift $((foreign)) words
        ((CURRENT -= foreign))
        _normal
    elif [[ -n $value ]]; then
        _nlctl_offer "$value"
    elif [[ $cur == --*=* ]]; then
        _nlctl_kind "$at" "${cur%%=*}"
        compset -P '*='
        cur="${cur#*=}"
        _nlctl_offer "$REPLY"
    elif [[ $cur == -* ]]; then
        _nlctl_options "$at"
        _describe -o -t options option found
    else
        _nlctl_commands "$at"
        if ((${#found})); then
            _describe -V -t commands command found
        else
            _nlctl_argument "$at"
            _nlctl_offer "$REPLY"
        fi
    fi
}

# The kind of an option's value.
_nlctl_kind() {
    _nlctl_value "$1 $2"
    [[ -n $REPLY ]] || _nlctl_common "$2"
}

if [[ $funcstack[1] == _nlctl ]]; then
    _nlctl "$@"
else
    compdef _nlctl nlctl
fi
"""


def script() -> str:
    """The text of `completions/nlctl.zsh`."""
    quote = single_quoted
    options, kinds = common()
    known = spots()
    lines = ["#compdef nlctl", f"# nlctl completion for zsh. {HEADER}", ""]
    lines += table(
        "_nlctl_commands", ((quote(s.at), f"found=({_described(s.commands)})") for s in known if s.commands), "found=()"
    )
    lines += table(
        "_nlctl_own", ((quote(s.at), f"found=({_described(s.options)})") for s in known if s.options), "found=()"
    )
    lines += ["_nlctl_options() {", '    _nlctl_own "$1"', f"    found+=({_described(options)})", "}"]
    values = [(patterns(s.at, names, quote), f"REPLY={quote(kind)}") for s in known for names, kind in s.values]
    lines += table("_nlctl_value", values, 'REPLY=""')
    lines += table("_nlctl_common", ((" | ".join(names), f"REPLY={quote(kind)}") for names, kind in kinds), 'REPLY=""')
    lines += table(
        "_nlctl_argument", ((quote(s.at), f"REPLY={quote(s.argument)}") for s in known if s.argument), 'REPLY=""'
    )
    lines += table("_nlctl_wraps", ((quote(s.at), "REPLY=1") for s in known if s.wraps), 'REPLY=""')
    return "\n".join(lines) + _BODY


def _described(entries: Iterable[Entry]) -> str:
    return " ".join(single_quoted(f"{one.word}:{one.text}") for one in entries)
