"""The script for bash 4 and later, which works without the bash-completion package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from nlctl.generate.shells.words import HEADER, Spot, common, patterns, single_quoted, spots, table

_BODY: Final = r"""
# Offer what fits a value of this kind.
_nlctl_offer() {
    local value rest
    case "$1" in
        @*)
            compopt -o nosort 2>/dev/null
            while IFS=$'\t' read -r value rest; do
                COMPREPLY+=("$value")
            done < <("${COMP_WORDS[0]}" __complete "${1#@}" "$cur" "$context" 2>/dev/null)
            ;;
        =*) COMPREPLY=($(compgen -W "${1#=}" -- "$cur")) ;;
        files) compopt -o default ;;
    esac
}

_nlctl() {
    local cur="${COMP_WORDS[COMP_CWORD]}" at="" value="" context="" foreign="" word i REPLY
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        if [[ -n $value ]]; then
            [[ $word == "=" || $word == "@" ]] && continue
            [[ $value == @contexts ]] && context="$word"
            value=""
        elif [[ $word == -- ]]; then
            foreign="$i"
            break
        elif [[ $word == -* ]]; then
            _nlctl_value "$at $word"
            [[ -n $REPLY ]] || _nlctl_common "$word"
            value="$REPLY"
        else
            _nlctl_commands "$at"
            if [[ " $REPLY " == *" $word "* ]]; then
                at="${at:+$at }$word"
            elif _nlctl_wraps "$at"; [[ -n $REPLY ]]; then
                foreign="$((i - 1))"
                break
            fi
        fi
    done
    [[ $cur == "=" ]] && cur=""
    # Bash takes @ for a word of its own, but what it replaces begins there.
    [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[COMP_CWORD - 1]} == "@" ]] && cur="@$cur"
    if [[ -n $foreign ]]; then
        compopt -o default
        [[ $COMP_CWORD -eq $((foreign + 1)) ]] && COMPREPLY=($(compgen -c -- "$cur"))
    elif [[ -n $value ]]; then
        _nlctl_offer "$value"
    elif [[ $cur == -* ]]; then
        _nlctl_options "$at"
        COMPREPLY=($(compgen -W "$REPLY" -- "$cur"))
    else
        _nlctl_commands "$at"
        if [[ -n $REPLY ]]; then
            COMPREPLY=($(compgen -W "$REPLY" -- "$cur"))
        else
            _nlctl_argument "$at"
            _nlctl_offer "$REPLY"
        fi
    fi
}

complete -F _nlctl nlctl
"""


def script() -> str:
    """The text of `completions/nlctl.bash`."""
    quote = single_quoted
    options, kinds = common()
    every = " ".join(one.word for one in options)
    known = spots()
    lines = [f"# nlctl completion for bash. {HEADER}", ""]
    lines += table("_nlctl_commands", _words(known), 'REPLY=""')
    lines += table(
        "_nlctl_options",
        ((quote(s.at), f"REPLY={quote(' '.join([*(o.word for o in s.options), every]))}") for s in known if s.options),
        f"REPLY={quote(every)}",
    )
    values = [(patterns(s.at, names, quote), f"REPLY={quote(kind)}") for s in known for names, kind in s.values]
    lines += table("_nlctl_value", values, 'REPLY=""')
    lines += table("_nlctl_common", ((" | ".join(names), f"REPLY={quote(kind)}") for names, kind in kinds), 'REPLY=""')
    lines += table(
        "_nlctl_argument", ((quote(s.at), f"REPLY={quote(s.argument)}") for s in known if s.argument), 'REPLY=""'
    )
    lines += table("_nlctl_wraps", ((quote(s.at), "REPLY=1") for s in known if s.wraps), 'REPLY=""')
    return "\n".join(lines) + _BODY


def _words(known: Sequence[Spot]) -> Iterator[tuple[str, str]]:
    for spot in known:
        if spot.commands:
            yield single_quoted(spot.at), f"REPLY={single_quoted(' '.join(one.word for one in spot.commands))}"
