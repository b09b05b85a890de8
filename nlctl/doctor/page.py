"""An examination as one HTML page: nothing is fetched, nothing runs, light or dark as its reader likes it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from nlctl.doctor.check import AREAS
from nlctl.doctor.examination import Outcome
from nlctl.doctor.finding import Finding, Verdict
from nlctl.doctor.report import summary
from nlctl.faults import Fix

_WORDS: Final = {
    Verdict.FAILED: "failed",
    Verdict.WARNING: "warning",
    Verdict.UNKNOWN: "unknown",
    Verdict.INFO: "info",
    Verdict.OK: "ok",
    Verdict.SKIPPED: "skipped",
}
_BAD: Final = (Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN)
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5c6670; --paper: #ffffff; --card: #f5f7f9; --line: #d5dbe1;
  --failed: #b3261e; --warning: #8a5a00; --unknown: #6b4fa0; --info: #1f5fa8; --ok: #1e7b3a; --skipped: #6b7580; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9aa5b0; --paper: #14181c; --card: #1d2329;
  --line: #353d46; --failed: #ff8a80; --warning: #f2b84b; --unknown: #c3a6ff; --info: #84b9f5; --ok: #6fd08c;
  --skipped: #93a0ac; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.25rem 0 .75rem; }
.lead, .where, .ms { color: var(--soft); }
.areas { display: flex; flex-wrap: wrap; gap: .5rem; list-style: none; margin: 1.25rem 0 0; padding: 0; }
.areas li { border: 1px solid var(--line); border-left: .3rem solid currentColor; border-radius: .3rem;
  padding: .15rem .6rem; background: var(--card); }
.areas span { color: var(--ink); }
article { background: var(--card); border: 1px solid var(--line); border-left: .3rem solid currentColor;
  border-radius: .4rem; margin: 0 0 .75rem; padding: .75rem 1rem; }
article > * { color: var(--ink); } article p { margin: .3rem 0; }
article .head { margin: 0; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .9rem; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
pre { margin: .35rem 0 0; padding: .4rem .6rem; border: 1px solid var(--line); border-radius: .3rem;
  background: var(--paper); white-space: pre-wrap; }
table { width: 100%; border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid var(--line); } th { color: var(--soft); font-weight: 500; }
td:first-child, .mark { white-space: nowrap; } .mark { font-weight: 600; }
.failed { color: var(--failed); } .warning { color: var(--warning); } .unknown { color: var(--unknown); }
.info { color: var(--info); } .ok { color: var(--ok); } .skipped { color: var(--skipped); }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } .ms { display: none; } }
"""


def page(outcomes: Sequence[Outcome], title: str, when: str, seconds: float) -> str:
    """The whole examination: how the areas stand, what is bad with evidence and remedy, then every finding."""
    return "".join(
        [
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n",
            f'<p class="lead">{escape(when)}: {escape(summary(outcomes, seconds))}</p>\n',
            f'<ul class="areas">{"".join(_areas(outcomes))}</ul>\n',
            *_attention(outcomes),
            "<h2>Everything that was looked at</h2>\n<table><thead><tr><th>Check</th><th>Status</th><th>What</th>",
            '<th class="ms">ms</th></tr></thead>\n<tbody>\n',
            *_rows(outcomes),
            "</tbody></table>\n</body></html>\n",
        ]
    )


def _areas(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for area in AREAS:
        here = [one for one in outcomes if one.check.area == area]
        if here:
            looked = [one for one in here if one.verdict is not Verdict.SKIPPED]
            worst = max((one.verdict for one in looked or here), key=lambda one: one.rank)
            good = sum(one.verdict in (Verdict.OK, Verdict.INFO) for one in looked)
            yield f'<li class="{_WORDS[worst]}"><span>{area} {good}/{len(looked)}, {_WORDS[worst]}</span></li>'


def _attention(outcomes: Sequence[Outcome]) -> Iterator[str]:
    bad = [(one, found) for one in outcomes for found in one.findings if found.verdict in _BAD]
    if not bad:
        return
    yield "<h2>What needs attention</h2>\n"
    for outcome, found in sorted(bad, key=lambda pair: -pair[1].verdict.rank):
        yield f'<article class="{_WORDS[found.verdict]}">\n'
        yield f'<p class="head"><span class="mark {_WORDS[found.verdict]}">{_WORDS[found.verdict]}</span> '
        yield f"<code>{escape(outcome.check.id)}</code> {escape(found.what)}</p>\n"
        if found.because:
            yield f"<p>{escape(found.because)}</p>\n"
        yield from _evidence(found)
        yield from map(_remedy, found.fixes)
        yield "</article>\n"


def _evidence(found: Finding) -> Iterator[str]:
    if found.evidence:
        yield "<dl>"
        for one in found.evidence:
            value = f'{escape(one.value)} <span class="where">({escape(one.source)})</span>'
            yield f"<dt>{escape(one.name)}</dt><dd>{value}</dd>"
        yield "</dl>\n"


def _remedy(remedy: Fix) -> str:
    text = f"<p>{escape(remedy.text)}</p>" if remedy.text else ""
    return text + (f"<pre><code>{escape(shlex.join(remedy.command))}</code></pre>\n" if remedy.command else "\n")


def _rows(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for one in outcomes:
        for found in one.findings:
            word = _WORDS[found.verdict]
            title = f'<td><code title="{escape(one.check.title)}">{escape(one.check.id)}</code></td>'
            status = f'<td class="mark {word}">{word}</td>'
            yield f'<tr>{title}{status}<td>{escape(found.what)}</td><td class="ms">{one.milliseconds:.0f}</td></tr>\n'
