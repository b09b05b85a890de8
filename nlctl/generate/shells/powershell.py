"""The script for PowerShell 7."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nlctl.generate.shells.words import HEADER, Entry, common, spots

_BODY: Final = r"""
Register-ArgumentCompleter -Native -CommandName nlctl -ScriptBlock {
    param($current, $line, $position)
    $show = {
        param($word, $text)
        $shown = if ($text) { $text } else { $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $shown)
    }
    # What fits a value of this kind, behind a prefix that stays.
    $offer = {
        param($kind, $typed, $prefix)
        if ($kind -like '@*') {
            foreach ($one in & $words[0] __complete $kind.Substring(1) $typed $context 2>$null) {
                $value, $text = $one -split "`t", 2
                & $show ($prefix + $value) $text
            }
        } elseif ($kind -like '=*') {
            foreach ($one in $kind.Substring(1) -split ' ') {
                if ($one -like "$typed*") { & $show ($prefix + $one) }
            }
        }
    }
    $kindOf = {
        param($at, $option)
        $kind = $nlctlValues["$at $option"]
        if (-not $kind) { $kind = $nlctlCommon[$option] }
        $kind
    }
    $before = $line.CommandElements | Where-Object { $_.Extent.EndOffset -lt $position -or $_.Extent.Text -ne $current }
    $words = @($before | ForEach-Object { $_.Extent.Text })
    $at = ''
    $value = ''
    $context = ''
    foreach ($word in $words | Select-Object -Skip 1) {
        if ($value) {
            if ($value -eq '@contexts') { $context = $word }
            $value = ''
        } elseif ($word -eq '--') {
            return
        } elseif ($word -like '--*=*') {
            continue
        } elseif ($word -like '-*') {
            $value = & $kindOf $at $word
        } elseif ($nlctlCommands[$at] -and $nlctlCommands[$at].Contains($word)) {
            $at = "$at $word".Trim()
        } elseif ($nlctlWraps -contains $at) {
            return
        }
    }
    if ($value) {
        & $offer $value $current ''
    } elseif ($current -like '--*=*') {
        $option, $typed = $current -split '=', 2
        & $offer (& $kindOf $at $option) $typed "$option="
    } elseif ($current -like '-*') {
        foreach ($table in $nlctlOptions[$at], $nlctlEvery) {
            foreach ($one in $table.Keys) {
                if ($one -like "$current*") { & $show $one $table[$one] }
            }
        }
    } elseif ($nlctlCommands[$at]) {
        foreach ($one in $nlctlCommands[$at].Keys) {
            if ($one -like "$current*") { & $show $one $nlctlCommands[$at][$one] }
        }
    } else {
        & $offer $nlctlArguments[$at] $current ''
    }
}
"""


def script() -> str:
    """The text of `completions/nlctl.ps1`."""
    options, kinds = common()
    known = spots()
    lines = [f"# nlctl completion for PowerShell. {HEADER}", ""]
    lines += ["$nlctlCommands = @{"]
    lines += [f"    {_quoted(s.at)} = {_ordered(s.commands)}" for s in known if s.commands]
    lines += ["}", "$nlctlOptions = @{"]
    lines += [f"    {_quoted(s.at)} = {_ordered(s.options)}" for s in known if s.options]
    lines += ["}", f"$nlctlEvery = {_ordered(options)}", "$nlctlValues = @{"]
    lines += [
        f"    {_quoted(f'{s.at} {name}')} = {_quoted(k)}" for s in known for names, k in s.values for name in names
    ]
    lines += ["}", "$nlctlCommon = @{"]
    lines += [f"    {_quoted(name)} = {_quoted(kind)}" for names, kind in kinds for name in names]
    lines += ["}", "$nlctlArguments = @{"]
    lines += [f"    {_quoted(s.at)} = {_quoted(s.argument)}" for s in known if s.argument]
    lines += ["}", f"$nlctlWraps = @({', '.join(_quoted(s.at) for s in known if s.wraps)})"]
    return "\n".join(lines) + "\n" + _BODY


def _ordered(entries: Iterable[Entry]) -> str:
    # PowerShell's tables do not tell -v from -V; the first spelling stands for both.
    seen: dict[str, Entry] = {}
    for one in entries:
        seen.setdefault(one.word.lower(), one)
    return "[ordered]@{ " + "; ".join(f"{_quoted(e.word)} = {_quoted(e.text)}" for e in seen.values()) + " }"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
