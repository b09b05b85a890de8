"""`nlctl run`, also `nlctl action run`: a command, run by a worker as if it ran here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import UNREADABLE, USAGE, Fault, fix
from nlctl.launch.wish import AIM
from nlctl.recents import as_json, remember
from nlctl.running import (
    Sent,
    absent,
    aim,
    announced_aim,
    executes_nothing,
    facts,
    files,
    not_run,
    performed,
    phases,
    refuse_what_no_worker_can,
    show,
    streams,
    unheeded,
)
from nlctl.session import Session, Target
from nlctl.settings import pairs

if TYPE_CHECKING:
    from nlserver.reapi.client import Client, ExecutionState, Outcome, Prepared

EPILOG = """\b
Examples:
  nlctl run -- echo hello
  nlctl run --input src --fetch a.o -- gcc -c a.c -o a.o
  nlctl run --on worker-2 --no-cache -- uname -a
  nlctl action run --platform ISA=x86-64 -v -- sh -c 'make -j2'
\b
Exit status: that of the command; 125 when it never ran, which every failure of ours is here
"""
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command(
    ctx: typer.Context,
    argv: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The command and its arguments.")],
    input_root: Annotated[Path | None, typer.Option("--input", help="Directory that the command sees.")] = None,
    output: Annotated[
        list[str] | None, typer.Option("--output", "--fetch", help="Path to bring back; may be repeated.")
    ] = None,
    out_dir: Annotated[Path, typer.Option(help="Where outputs are put.")] = Path(),
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for the command; may be repeated.")] = None,
    platform: Annotated[list[str] | None, typer.Option(help="NAME=VALUE a worker must offer.")] = None,
    on: Annotated[str, typer.Option(help="The worker that shall run it, by name or id.")] = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run it although a result is known.")] = False,
    action_timeout: Annotated[str, typer.Option(help="Longest the command may run.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait; tell the operation's name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only tell what would be run.")] = False,
) -> int:
    """Run a command on a worker: upload its inputs, show what it writes, bring back outputs, pass its exit status on.

    The command sees the input directory as its working directory and nothing of this shell's environment but a
    usual PATH. A command that no worker could ever run is refused at once. -v tells how long each phase took. A
    scheduler gives up what nobody asks about for a while (a minute), also after --detach.
    """
    session: Session = ctx.obj
    asked = _Asked(
        argv,
        _directory(input_root),
        tuple(output or ()),
        out_dir,
        pairs([_PATH, *(env or ())], "--env"),
        pairs(platform or (), "--platform"),
        on,
        no_cache,
        seconds(action_timeout) if action_timeout else None,
    )
    if detach and output:
        raise Fault(USAGE, "--detach brings nothing back", fixes=[fix("leave --fetch out; the result names outputs")])
    target = session.target()
    # Where the admin service can tell, what cannot run is refused before anything slower is even imported.
    aimed = {AIM: aim(target.admin, on)} if on and target.admin is not None else {}
    refuse_what_no_worker_can(target, {**asked.platform, **aimed}.items())
    for one in unheeded(target, asked.platform):
        session.ui.warn(f"--platform {one} restricts nothing: no worker offers it, and the scheduler does not list it")
    return session.wait_for(_run(session, target, asked, aimed, detach=detach, dry_run=dry_run))


@dataclass(frozen=True)
class _Asked:
    argv: list[str]
    input_root: Path | None
    outputs: tuple[str, ...]
    out_dir: Path
    environment: Mapping[str, str]
    platform: Mapping[str, str]
    worker: str
    no_cache: bool
    timeout_seconds: float | None


def _directory(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise Fault(UNREADABLE, f"--input {path} is no directory", fixes=[fix("give a directory")])
    return path


async def _run(
    session: Session, target: Target, asked: _Asked, aimed: Mapping[str, str], *, detach: bool, dry_run: bool
) -> int:
    from nlctl.remote import client

    async with client(target) as remote:
        if asked.worker and not aimed:
            aimed = {AIM: await announced_aim(target, remote, asked.worker)}
        made = await remote.prepare(
            asked.argv,
            input_root=asked.input_root,
            environment=asked.environment,
            output_paths=asked.outputs,
            platform={**asked.platform, **aimed},
            timeout_seconds=asked.timeout_seconds,
        )
        if dry_run:
            await _would(session, remote, made, asked)
            return Exit.OK
        if detach:
            await _detached(session, target, remote, made, no_cache=asked.no_cache)
            return Exit.OK
        sent = Sent()
        outcome = await performed(session, target, remote, made, no_cache=asked.no_cache, on_uploaded=sent)
        if session.verbose or session.ui.progress == "tty":
            _tell_phases(session, outcome, sent)
        show(session, outcome.stdout, outcome.stderr)
        if asked.outputs:
            await remote.download_outputs(outcome, into=asked.out_dir)
    _tell(session, outcome, asked)
    return outcome.exit_code & 0xFF


async def _would(session: Session, remote: Client, made: Prepared, asked: _Asked) -> None:
    known = None if asked.no_cache else await remote.action_result(made.action)
    missing = await remote.missing(made.sources)
    cached = known is not None and known.exit_code == 0
    size = sum(one.size_bytes for one in missing)
    does = "would be answered by the cache" if cached else "would run"
    session.ui.say(f"action {made.action.written} {does}; {len(missing)} blobs are not there yet")
    item = {
        "action": as_json(made.action),
        "cached": cached,
        "blobs": len(made.sources),
        "missing_blobs": len(missing),
        "missing_bytes": size,
    }
    session.ui.item("nlctl.run.plan/v1", item, "", name=made.action.written)


async def _detached(session: Session, target: Target, remote: Client, made: Prepared, *, no_cache: bool) -> None:
    await remote.send(made)
    try:
        state = await _accepted(remote, made.action, no_cache=no_cache)
    except Error as error:
        if error.code is Code.UNIMPLEMENTED:
            raise executes_nothing(target, made.action) from error
        raise not_run(target, error) from error
    remember(session.state, "run", {"action": made.action})
    item = {"operation": state.name, "state": state.stage.name.lower(), "action": as_json(made.action)}
    session.ui.say(f"follow it: nlctl ops watch {state.name}")
    session.ui.item("nlctl.run.detached/v1", item, state.name, name=state.name)


async def _accepted(remote: Client, action: Digest, *, no_cache: bool) -> ExecutionState:
    """The first state that the server tells; the operation goes on."""
    async with aclosing(remote.execute(action, skip_cache_lookup=no_cache)) as states:
        return await anext(states)


def _tell_phases(session: Session, outcome: Outcome, sent: Sent) -> None:
    session.ui.waiting("")
    for line in (sent.text, "" if outcome.cached else phases(outcome.metadata)):
        if line:
            session.ui.say(line)


def _tell(session: Session, outcome: Outcome, asked: _Asked) -> None:
    outputs = files(outcome)
    remember(session.state, "run", {"action": outcome.action, **streams(outcome), **outputs})
    for path in absent(outcome, asked.outputs):
        session.ui.warn(f"the command left no {path}")
    if session.verbose or session.ui.progress == "tty":
        hit = "cached" if outcome.cached else "not cached before"
        shown = session.ui.digest
        made = [f"{path} {shown(as_json(one))} -> {asked.out_dir / path}" for path, one in outputs.items()]
        parts = [
            f"exit {outcome.exit_code}",
            hit,
            *(made if asked.outputs else []),
            f"action {shown(as_json(outcome.action))} (@last)",
        ]
        session.ui.say(" - ".join(parts))
    if session.ui.structured:
        session.ui.item("nlctl.run/v1", _document(outcome, outputs, asked.out_dir), "")


def _document(outcome: Outcome, outputs: Mapping[str, Digest], out_dir: Path) -> dict[str, Any]:
    kept = streams(outcome)
    return {
        **facts(outcome),
        "action": as_json(outcome.action),
        "stdout": outcome.stdout.decode(errors="replace"),
        "stderr": outcome.stderr.decode(errors="replace"),
        "stdout_digest": as_json(kept["stdout"]) if "stdout" in kept else None,
        "stderr_digest": as_json(kept["stderr"]) if "stderr" in kept else None,
        "outputs": [{"path": path, "digest": as_json(digest)} for path, digest in outputs.items()],
        "out_dir": str(out_dir),
        "message": outcome.message or None,
    }
