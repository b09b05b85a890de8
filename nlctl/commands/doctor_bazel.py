"""`nlctl doctor bazel`: what went wrong in a build, where its time went, and what to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from nlctl.exits import Exit
from nlctl.session import Session

if TYPE_CHECKING:
    from nlctl.buildlog.advice import Advice
    from nlctl.buildlog.gathered import Gathered, Trouble
    from nlctl.buildlog.opening import Kind
    from nlctl.doctor.blob import Diagnosis
    from nlctl.ui import Item, Ui

EPILOG = """\b
Examples:
  nlctl doctor bazel
  nlctl doctor bazel build.log
  nlctl doctor bazel grpc.log -o json | jq .item.calls
  bazel build //... 2>&1 | tee build.log; nlctl doctor bazel build.log
\b
Exit status: 0 no error is in it, 3 there is no log, 5 the build went wrong, 13 the file is no log of a build
"""
_MOST_CALLS: Final = 8
_MOST_PHASES: Final = 10
_MOST_WORDS: Final = 12


def command(
    ctx: typer.Context,
    log: Annotated[Path | None, typer.Argument(help="A log of a build; that of this workspace's last one.")] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Read a log of a build: the first real error, the worst calls, what came from the cache, and where time went.

    It may be what Bazel said, its calls (--remote_grpc_log), profile (--profile), execution log as JSON or events as
    JSON lines, also packed by gzip; its first bytes tell which. A missing blob is looked for in the cluster.
    """
    from nlctl.buildlog.advice import given
    from nlctl.buildlog.latest import command_log
    from nlctl.buildlog.opening import gather

    session: Session = ctx.obj
    path = log or command_log(Path.cwd())
    session.ui.waiting(f"reading {path}")
    kind, gathered = gather(path)
    found = _resolved(session, gathered.trouble, name)
    advice = given(gathered)
    item = _item(path, kind, gathered, found, advice)
    session.ui.item("nlctl.doctor.bazel/v1", item, _text(session.ui, item))
    return Exit.UNHEALTHY if gathered.trouble and gathered.trouble.level == "error" else Exit.OK


def _resolved(session: Session, trouble: Trouble | None, name: str) -> tuple[Diagnosis | None, str]:
    """The verdict on the blob that the error names, or why there is none."""
    from nlserver.errors import Error
    from nlserver.reapi.digest import Digest, Function

    from nlctl.buildlog.causes import Cause
    from nlctl.digests import find, is_action
    from nlctl.doctor.blob import diagnose
    from nlctl.doctor.blob_search import searched
    from nlctl.faults import Fault

    if trouble is None or trouble.cause is not Cause.MISSING_BLOB:
        return None, ""
    likely = sorted(find(trouble.text), key=lambda one: is_action(trouble.text, one))
    named = next((one for one in likely if one.size_bytes is not None), None)
    if named is None:
        return None, "the error names no digest"
    digest = Digest(named.hash, named.size_bytes or 0, named.function or Function.SHA256)
    try:
        return diagnose(session.wait_for(searched(session, digest, name))), ""
    except Fault as fault:
        return None, fault.message
    except Error as error:
        return None, error.message or error.code.name


def _item(
    path: Path, kind: Kind, gathered: Gathered, found: tuple[Diagnosis | None, str], advice: list[Advice]
) -> dict[str, Any]:
    return {
        "log": str(path),
        "kind": str(kind),
        "entries": gathered.entries,
        "cut_off": gathered.cut_off,
        "elapsed_ms": _rounded(gathered.elapsed_ms),
        "critical_path_ms": _rounded(gathered.critical_path_ms),
        "first_error": _error(gathered.trouble, *found) if gathered.trouble else None,
        "calls": _calls(gathered),
        "slowest": [
            {"method": one.method, "ms": _rounded(one.milliseconds), "status": one.status, "about": one.about or None}
            for one in gathered.slowest
        ],
        "cache": {
            "hits": gathered.hits,
            "misses": gathered.misses,
            "hit_ratio": None if gathered.hit_rate is None else round(gathered.hit_rate, 4),
        },
        "runners": dict(gathered.runners),
        "phases": [
            {
                "name": name,
                "count": one.count,
                "total_ms": _rounded(one.total_ms),
                "longest_ms": _rounded(one.longest_ms),
            }
            for name, one in sorted(gathered.phases.items(), key=lambda pair: -pair[1].total_ms)
        ],
        "advice": [{"what": one.what, "because": one.because, "fix": _fixes(one.fixes)} for one in advice],
    }


def _error(trouble: Trouble, found: Diagnosis | None, why_not: str) -> dict[str, Any]:
    from nlctl.buildlog.causes import MEANINGS, fixes
    from nlctl.digests import find

    meaning = MEANINGS[trouble.cause]
    named = [one.hash + ("" if one.size_bytes is None else f"/{one.size_bytes}") for one in find(trouble.text)]
    # A hash alone comes before the same with its size in the words of a call.
    about = next((one for one in named if "/" in one), "")
    blob = {"verdict": str(found.cause), "what": found.what, "because": found.because or None} if found else None
    return {
        "level": trouble.level,
        "at": trouble.at,
        "text": trouble.text,
        "cause": str(trouble.cause),
        "what": meaning.what,
        "because": meaning.because,
        "digests": named,
        "blob": blob,
        "blob_unknown": why_not or None,
        "fix": _fixes(found.fixes if found and not found.well else fixes(trouble.cause, about)),
    }


def _calls(gathered: Gathered) -> list[dict[str, Any]]:
    """The worst first: those that failed, then those that took the most time."""
    order = sorted(gathered.calls.items(), key=lambda pair: (-pair[1].failed, -pair[1].total_ms))
    return [
        {
            "method": method,
            "count": len(one.times),
            "p50_ms": _micro(one.times.quantile(0.5)),
            "p95_ms": _micro(one.times.quantile(0.95)),
            "longest_ms": _micro(one.times.largest()),
            "total_ms": _rounded(one.total_ms),
            "size_bytes": one.size_bytes,
            "statuses": dict(one.statuses),
        }
        for method, one in order
    ]


def _fixes(fixes: Any) -> list[dict[str, Any]]:
    return [{"text": one.text, "command": list(one.command)} for one in fixes]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _micro(value: float | None) -> float | None:
    return None if value is None else round(value / 1000, 1)


def _text(ui: Ui, item: Item) -> str:
    from nlctl.ui import human_span

    elapsed = f", {human_span(item['elapsed_ms'])}" if item["elapsed_ms"] else ""
    ended = ", cut off at its end" if item["cut_off"] else ""
    lines = [f"{item['log']}: {item['kind']}, {item['entries']} entries{elapsed}{ended}"]
    lines += _error_lines(ui, item["first_error"]) if item["first_error"] else [f"{ui.mark(True)} no error is in it"]
    lines += _cache_lines(item) + _call_lines(item) + _phase_lines(item)
    for one in item["advice"]:
        lines += ["", *_hanging(f"{ui.mark(None)} ", one["what"]), *_hanging("  why   ", one["because"])]
        lines += _fix_lines(one["fix"])
    return "\n".join(lines)


def _error_lines(ui: Ui, error: Item) -> list[str]:
    words = error["text"].split("\n")
    lines = ["", *_hanging(f"{ui.mark(False)} {ui.bold(error['cause'])}  ", error["what"])]
    lines += [f"  {'said' if number == 0 else '':<6}{line}" for number, line in enumerate(words[:_MOST_WORDS])]
    lines += [f"        ... {len(words) - _MOST_WORDS} lines more"] if len(words) > _MOST_WORDS else []
    lines += _hanging("  why   ", error["because"])
    if blob := error["blob"]:
        lines += _hanging("  blob  ", f"{blob['verdict']}: {blob['what']}")
    elif error["blob_unknown"]:
        lines += _hanging("  blob  ", f"not looked for: {error['blob_unknown']}")
    return lines + _fix_lines(error["fix"])


def _fix_lines(fixes: list[Item]) -> list[str]:
    from nlctl.doctor.report import fix_words
    from nlctl.faults import fix

    words = [fix_words(fix(one["text"], *one["command"])) for one in fixes]
    return [("  fix   " if number == 0 else "        ") + one for number, one in enumerate(words)]


def _cache_lines(item: Item) -> list[str]:
    ran = ", ".join(f"{count} {name}" for name, count in item["runners"].items())
    lines = ["", f"actions  {ran}"] if ran else []
    cache = item["cache"]
    if cache["hit_ratio"] is not None:
        looked = (cache["hits"] or 0) + (cache["misses"] or 0)
        lines += [*([] if ran else [""]), f"cache    {cache['hit_ratio']:.0%} of {looked} came from it"]
    return lines


def _call_lines(item: Item) -> list[str]:
    if not item["calls"]:
        return []
    width = max(len(one["method"]) for one in item["calls"][:_MOST_CALLS])
    lines = ["", f"{'CALLS':<{width}} {'COUNT':>7} {'P50':>9} {'P95':>9} {'MAX':>9}  STATUS"]
    for one in item["calls"][:_MOST_CALLS]:
        times = " ".join(f"{_ms(one[key]):>9}" for key in ("p50_ms", "p95_ms", "longest_ms"))
        said = " ".join(f"{name}={count}" for name, count in one["statuses"].items())
        lines.append(f"{one['method']:<{width}} {one['count']:>7} {times}  {said}")
    return lines


def _phase_lines(item: Item) -> list[str]:
    from nlctl.ui import human_span

    if not item["phases"]:
        return []
    shown = item["phases"][:_MOST_PHASES]
    width = max(len(one["name"]) for one in shown)
    lines = ["", f"{'TIME':<{width}} {'COUNT':>7} {'TOTAL':>9} {'LONGEST':>9}"]
    for one in shown:
        total, longest = human_span(one["total_ms"]), human_span(one["longest_ms"])
        lines.append(f"{one['name']:<{width}} {one['count']:>7} {total:>9} {longest:>9}")
    return lines


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}ms"


def _hanging(head: str, words: str) -> list[str]:
    from nlctl.doctor.report import hanging

    return hanging(head, words)
