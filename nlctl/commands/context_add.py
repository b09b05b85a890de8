"""`nlctl context add`: write down a server elsewhere, under a name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlctl.contexts import Access, Context, problem_of
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.launch.wish import checked_name
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl context add prod grpcs://cache.example.com --instance main --token-file ~/.prod-token
  nlctl context add lab grpc://lab:50051 --executor grpc://lab:50052 --admin grpc://lab:50061
  nlctl context add nl grpc://nl:50051 --admin-http http://nl:50061/admin
  nlctl context add shop --compose shop --use
\b
Exit status: 0 added, 2 an address or file cannot be, 4 no such project, 7 the name is taken
"""


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    url: Annotated[str, typer.Argument(help="The CAS: grpc://HOST:PORT, or grpcs:// for TLS.")] = "",
    executor: Annotated[str, typer.Option(help="Where actions are sent; the same server.")] = "",
    admin: Annotated[str, typer.Option(help="The admin service of an nlserver.")] = "",
    admin_http: Annotated[str, typer.Option(help="NativeLink's admin route: http://HOST:PORT/admin.")] = "",
    scheduler: Annotated[str, typer.Option(help="The scheduler's name in that config.")] = Context.scheduler,
    tls_ca: Annotated[Path | None, typer.Option(help="PEM file with the authorities to trust.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file with our certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with its key.")] = None,
    compose: Annotated[str, typer.Option(help="A project of Docker Compose on this machine, instead of a URL.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="File with the bearer token.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In place of the context of this name.")] = False,
    use: Annotated[bool, typer.Option("--use", help="Make it the current one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only check it.")] = False,
) -> int:
    """Give a server elsewhere a name. Nothing is connected to; `nlctl context show NAME` asks it.

    --instance is part of the context. Secrets stay in their files: only the paths are kept. A project of Compose is
    taken up as a cluster of this machine: ps, logs, status, restart and doctor work on its containers.
    """
    session: Session = ctx.obj
    if bool(url) == bool(compose):
        see = fix("see how it is written", "nlctl", "context", "add", "--help")
        raise Fault(USAGE, "give a URL, or the project of Compose with --compose", fixes=[see])
    if compose:
        return _adopted(session, name, compose, use=use, dry_run=dry_run)
    access = Access(_file(tls_ca), _file(tls_cert), _file(tls_key), _file(token_file))
    urls = (url, executor or url, admin or None, admin_http or None)
    made = Context(checked_name(name), *urls, scheduler, session.instance, access)
    if problem := problem_of(made):
        raise Fault(USAGE, problem, fixes=[fix("see how it is written", "nlctl", "context", "add", "--help")])
    session.free_name(name, replace=replace)
    before = None
    if not dry_run:
        session.contexts.save(made)
        before = session.remember(name) if use else None
        session.ui.say(f"Context {name!r} added." + (" It is the current one." if use else ""))
        session.ui.say(f"Ask it   nlctl context show {name}")
    item = {"change": "added", "name": name, "before": before, "dry_run": dry_run}
    session.ui.item("nlctl.context.change/v1", item, "", name=name)
    return Exit.OK


def _adopted(session: Session, name: str, project: str, *, use: bool, dry_run: bool) -> int:
    from nlctl.launch.adopting import adopt

    session.free_name(name)
    made = adopt(session.ledger(name), project, dry_run=dry_run)
    before = session.remember(name) if use and not dry_run else None
    session.ui.say(f"Cluster {name!r} is what Compose runs as {project!r}: {len(made.workers)} workers.")
    session.ui.say(f"Look at it   nlctl -C {name} status")
    item = {"change": "added", "name": name, "before": before, "dry_run": dry_run}
    session.ui.item("nlctl.context.change/v1", item, "", name=name)
    return Exit.OK


def _file(path: Path | None) -> str | None:
    """Absolute, because commands run anywhere."""
    if path is not None and not path.is_file():
        raise Fault(USAGE, f"{path} is no file", fixes=[fix("give the path of a file that is there")])
    return str(path.absolute()) if path is not None else None
