"""`nlctl doctor object`: why a blob is not found, from any text that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.session import Session

if TYPE_CHECKING:
    from nlserver.reapi.digest import Digest

    from nlctl.doctor.blob import Diagnosis, Hop
    from nlctl.doctor.mending import Ailment
    from nlctl.ui import Ui

EPILOG = """\b
Examples:
  nlctl doctor object @last.stdout
  nlctl doctor object 'Object 7fd2...-148 not found in either fast or ...'
  bazel build //... 2>&1 | nlctl doctor object -
  nlctl doctor object 7fd25e01 --fix --dry-run
\b
Exit status: 0 it is there, 2 no digest in the text, 4 no cluster, 5 it is not well,
  9 its bytes are wrong
"""
_MOST_OTHERS = 4


def command(
    ctx: typer.Context,
    text: Annotated[list[str], typer.Argument(help="HASH/SIZE, a pasted error, @last, file:PATH, or -.")],
    blake3: Annotated[bool, typer.Option("--blake3", help="Hashes are BLAKE3 where the text does not say.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Mend it if that is safe, after showing how.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="With --fix: only show it.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Say why a blob is not found: one verdict, the way that the blob takes with a mark where it ends, and the fix.

    Asks as a client does, then every layer of every store of every part, and looks from everywhere for a fresh probe
    blob: that proves whether all parts speak of the same CAS.
    """
    from nlserver.reapi.digest import Function

    from nlctl.doctor.blob import diagnose, way
    from nlctl.doctor.blob_search import searched
    from nlctl.resolve import blamed

    session: Session = ctx.obj
    wanted, *others = blamed(session, " ".join(text), Function.BLAKE3 if blake3 else Function.SHA256)
    if others:
        session.ui.say(f"the text also names {', '.join(one.written for one in others[:_MOST_OTHERS])}")
    facts = session.wait_for(searched(session, wanted, name))
    found = diagnose(facts)
    hops = way(facts, found)
    if not (fix and session.ui.structured):
        session.ui.item("nlctl.doctor.object/v1", _item(wanted, found, hops), _text(session.ui, wanted, found, hops))
    return _exit(_fixed(session, wanted, found, name, dry_run=dry_run) if fix else found)


def _fixed(session: Session, wanted: Digest, found: Diagnosis, name: str, *, dry_run: bool) -> Diagnosis:
    """Mend, and answer the verdict of then."""
    from nlctl.doctor.blob import diagnose
    from nlctl.doctor.blob_search import searched
    from nlctl.doctor.fixing import fixed

    latest = found

    def again() -> list[Ailment]:
        nonlocal latest
        latest = diagnose(session.wait_for(searched(session, wanted, name)))
        return _ailments(latest)

    fixed(session, name, _ailments(found), again, dry_run=dry_run)
    return latest


def _ailments(found: Diagnosis) -> list[Ailment]:
    from nlctl.doctor.mending import Ailment

    return [] if found.well else [Ailment(str(found.cause), found.what, found.remedies, found.fixes)]


def _item(wanted: Digest, found: Diagnosis, hops: list[Hop]) -> dict[str, Any]:
    from nlctl.recents import as_json

    return {
        "digest": as_json(wanted),
        "verdict": str(found.cause),
        "what": found.what,
        "because": found.because or None,
        "at": list(found.at),
        "evidence": [one._asdict() for one in found.evidence],
        "fix": [{"text": one.text, "command": list(one.command)} for one in found.fixes],
        "way": [
            {
                "place": hop.place,
                "kind": hop.kind or None,
                "says": hop.says,
                "note": hop.note or None,
                "at_fault": hop.at_fault,
            }
            for hop in hops
        ],
    }


def _text(ui: Ui, wanted: Digest, found: Diagnosis, hops: list[Hop]) -> str:
    from nlctl.doctor.report import fix_words, hanging
    from nlctl.recents import as_json

    places = max(len(hop.place) for hop in hops)
    kinds = max(len(hop.kind) for hop in hops)
    lines = [ui.digest(as_json(wanted)), ""]
    for hop in hops:
        mark = ui.mark(hop.says == "has" and not hop.at_fault if hop.says != "silent" else None)
        mark = "-" if hop.says == "lacks" and not hop.at_fault and found.well else mark
        here = "  <--" if hop.at_fault else ""
        lines.append(f"  {mark} {hop.place:<{places}}  {hop.kind:<{kinds}}  {hop.says:<6}  {hop.note}{here}".rstrip())
    lines += ["", *hanging(f"{ui.bold(found.cause)}  ", found.what)]
    lines += hanging("  why   ", found.because) if found.because else []
    for number, one in enumerate(found.evidence[:8]):
        lines += hanging("  seen  " if number == 0 else "        ", f"{one.name}: {one.value}  ({one.source})")
    for number, remedy in enumerate(found.fixes):
        lines.append(("  fix   " if number == 0 else "        ") + fix_words(remedy))
    return ui.fitted("\n".join(lines))


def _exit(found: Diagnosis) -> int:
    from nlctl.doctor.blob import Cause

    if found.cause is Cause.CORRUPT:
        return Exit.CORRUPT
    return Exit.OK if found.well else Exit.UNHEALTHY
