"""`nlctl support bundle`: everything that helps to find what is wrong, without secrets, in one file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nlctl import VERSION, sizes
from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import INTERRUPTED, UNREADABLE, Fault, fix
from nlctl.launch.ledger import Ledger
from nlctl.session import Session
from nlctl.support import contents
from nlctl.support.archive import Archive, Full, written
from nlctl.support.contents import Item
from nlctl.support.redaction import Redactor
from nlctl.ui import human_bytes, stamp
from nlctl.watch.gathering import Gatherer, Place

EPILOG = """\b
Examples:
  nlctl support bundle
  nlctl support bundle --since 10m -O bug.tar.gz
  nlctl support bundle --record
  nlctl support bundle -n
\b
Exit status: 0 written, 2 cannot write there, 4 there is no cluster, 130 interrupted: what was gathered is written
"""
_MANIFEST: Final = "MANIFEST.json"


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Option("--out", "-O", help="Where it goes; .tar.zst or .tar.gz.")] = "",
    since: Annotated[str, typer.Option(help="How far back logs, events and evictions go.")] = "1h",
    record: Annotated[bool, typer.Option("--record", help="From now until you press Enter.")] = False,
    no_redact: Annotated[bool, typer.Option("--no-redact", help="Leave secrets in.")] = False,
    max_size: Annotated[str, typer.Option(help="The most bytes of content, before compression.")] = "50M",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would go in.")] = False,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Gather configs, state, logs, events, workers, operations, evictions, metrics and machine facts into an archive.

    Tokens, keys, passwords and the values of environment variables are taken out. Nothing leaves this machine.
    Ctrl-C ends the gathering; what is there by then is written. Works for a stopped cluster too.
    """
    session: Session = ctx.obj
    ledger = session.cluster(name)
    began = time.time() - seconds(since)
    most = sizes.parse(max_size)
    places = _places(ledger)
    before: list[Item] = []
    interrupted = False
    if record and not dry_run:
        began = time.time()
        try:
            before = _snapshot("before", ledger, places)
            session.ui.say("Recording. Reproduce the problem, then press Enter.")
            session.ui.pause()
        except KeyboardInterrupt:
            interrupted = True
    redactor = Redactor(off=no_redact)
    redactor.learn_environment(session.environment.items())
    items = [*before, *_items(session, ledger, places, began)]
    path = Path(file or f"nlctl-{ledger.name}-{time.strftime('%Y%m%d-%H%M%S')}.tar.zst").absolute()
    if dry_run:
        return _told(session, path, items)
    if no_redact:
        session.ui.warn("secrets are left in: do not hand this file on")
    return _write(session, path, ledger, places, items, redactor, most, interrupted=interrupted)


def _places(ledger: Ledger) -> list[Place]:
    """The parts that run; none of a stopped cluster."""
    from nlctl.launch import backends

    backend = backends.of(ledger)
    reports = backend.reports() or []
    backend.gather_logs()
    return [Place(one.name, one.admin_socket, one) for one in reports if one.admin_socket]


def _items(session: Session, ledger: Ledger, places: Sequence[Place], began: float) -> list[Item]:
    """In this order: what is small and tells much first, logs last. The configs teach what is secret."""
    pids = {place.name: place.report.pid for place in places if place.report and place.report.pid}
    return [
        *contents.of_configs(ledger),
        *contents.of_machine(ledger, session.environment, pids),
        *contents.of_parts(places, began),
        *contents.of_crashes(session.state, began),
        *contents.of_logs(ledger, stamp(began) or ""),
    ]


def _snapshot(name: str, ledger: Ledger, places: Sequence[Place]) -> list[Item]:
    if not places:
        return []
    with Gatherer(ledger.name, lambda: places) as gatherer:
        return contents.of_snapshot(name, gatherer.take(everything=True))


def _told(session: Session, path: Path, items: Sequence[Item]) -> int:
    rows = [{"name": item.name, "source": item.source} for item in items]
    text = "\n".join(f"{item.name:<40} {item.source}" for item in items)
    facts = {"path": str(path), "dry_run": True, "interrupted": False, "size_bytes": None, "redacted": {}}
    session.ui.item("nlctl.support.bundle/v1", {**facts, "files": rows, "left_out": []}, text, name=str(path))
    return Exit.OK


def _write(
    session: Session,
    path: Path,
    ledger: Ledger,
    places: Sequence[Place],
    items: Sequence[Item],
    redactor: Redactor,
    most: int,
    *,
    interrupted: bool,
) -> int:
    folder = path.name.partition(".tar")[0].removesuffix(".tgz")
    left_out: list[str] = []
    try:
        with written(path, folder, most) as archive:
            try:
                for number, item in enumerate(_all(items, ledger, places, redactor)):
                    session.ui.waiting(f"gathering {item.name}")
                    _add(archive, item, redactor, sum(one.is_log for one in items[number:]) or 1, left_out)
            except KeyboardInterrupt:
                interrupted = True
            archive.end(_MANIFEST, _manifest(ledger, archive, redactor, left_out, interrupted=interrupted))
    except OSError as error:
        see = fix("choose another place", "nlctl", "support", "bundle", "-O", "/tmp/bundle.tar.zst")  # noqa: S108
        raise Fault(UNREADABLE, f"cannot write {path}", why=str(error), fixes=[see]) from error
    _report(session, path, archive, redactor, left_out, interrupted=interrupted)
    if interrupted:
        raise Fault(INTERRUPTED, f"interrupted: {path} holds what was gathered by then")
    return Exit.OK


def _all(items: Sequence[Item], ledger: Ledger, places: Sequence[Place], redactor: Redactor) -> Iterator[Item]:
    """The items, and a snapshot of the whole cluster before the first log."""
    shot = False
    for item in items:
        if not item.name.startswith("cluster/"):
            redactor.learning = False
        if item.is_log and not shot:
            shot = True
            yield from _snapshot("metrics", ledger, places)
        yield item


def _add(archive: Archive, item: Item, redactor: Redactor, shares: int, left_out: list[str]) -> None:
    room = archive.left // shares if item.is_log else archive.left
    try:
        archive.add(item.name, item.pieces(redactor, room))
    except Full:
        left_out.append(item.name)


def _manifest(
    ledger: Ledger, archive: Archive, redactor: Redactor, left_out: Sequence[str], *, interrupted: bool
) -> str:
    import json

    document = {
        "schema": 1,
        "cluster": ledger.name,
        "nlctl": VERSION,
        "made": stamp(time.time()),
        "interrupted": interrupted,
        "redacted": dict(redactor.counts),
        "files": archive.files,
        "left_out": list(left_out),
    }
    return json.dumps(document, indent=1) + "\n"


def _report(
    session: Session,
    path: Path,
    archive: Archive,
    redactor: Redactor,
    left_out: Sequence[str],
    *,
    interrupted: bool,
) -> None:
    size, counts = path.stat().st_size, dict(redactor.counts)
    taken = ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in sorted(counts.items()))
    text = f"{path}  {human_bytes(size)}  {len(archive.files)} files, redacted: {taken or 'nothing'}"
    item: dict[str, Any] = {
        "path": str(path),
        "dry_run": False,
        "interrupted": interrupted,
        "size_bytes": size,
        "redacted": counts,
        "files": [{"name": name, "source": None} for name in archive.files],
        "left_out": list(left_out),
    }
    session.ui.item("nlctl.support.bundle/v1", item, text, name=str(path))
    for name in left_out:
        session.ui.warn(f"no room for {name}: see --max-size")
    session.ui.say(f"Look first: nlctl support show {path}")
