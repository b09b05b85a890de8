"""`nlctl run`: a command, run by a worker as if it ran here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nlserver.reapi.digest import Digest, Function, digest_of
from nlserver.reapi.times import moment_of

from nlctl.arguments import seconds
from nlctl.faults import NO_WORKER, NOT_RUN, UNREADABLE, Fault, fix
from nlctl.recents import as_json, remember
from nlctl.session import Session, Target
from nlctl.settings import pairs

if TYPE_CHECKING:
    from nlserver.reapi.client import Outcome

EPILOG = """\b
Examples:
  nlctl run -- echo hello
  nlctl run --input src --output a.o -- gcc -c a.c -o a.o
  nlctl run --platform ISA=x86-64 --no-cache -- sh -c 'make -j2'
\b
Exit status: that of the command; 125 when it never ran, which every failure of ours is here
"""
_SHOWN = 10
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
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run it although a result is known.")] = False,
    action_timeout: Annotated[str, typer.Option(help="Longest the command may run.")] = "",
) -> int:
    """Run a command on a worker: upload its inputs, show what it writes, bring back outputs, pass its exit status on.

    The command sees the input directory as its working directory and nothing of this shell's environment but a
    usual PATH. A command that no worker could ever run is refused at once.
    """
    session: Session = ctx.obj
    asked = _Asked(
        argv,
        _directory(input_root),
        tuple(output or ()),
        pairs([_PATH, *(env or ())], "--env"),
        pairs(platform or (), "--platform"),
        no_cache,
        seconds(action_timeout) if action_timeout else None,
    )
    target = session.target()
    _refuse_what_no_worker_can(target, asked.platform)
    outcome = session.wait_for(_run(session, target, asked, out_dir))
    _tell(session, outcome, asked, out_dir)
    return outcome.exit_code & 0xFF


@dataclass(frozen=True)
class _Asked:
    argv: Sequence[str]
    input_root: Path | None
    outputs: tuple[str, ...]
    environment: Mapping[str, str]
    platform: Mapping[str, str]
    no_cache: bool
    timeout_seconds: float | None


def _directory(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise Fault(UNREADABLE, f"--input {path} is no directory", fixes=[fix("give a directory")])
    return path


def _refuse_what_no_worker_can(target: Target, wanted: Mapping[str, str]) -> None:
    """Raises Fault NO_WORKER; a server without the admin service is not asked."""
    if target.admin is None:
        return
    from nlctl import admin

    found = admin.explain_properties(target.admin, wanted.items())
    if not found.workers:
        add = fix("add some", "nlctl", "up", "--workers", "3")
        raise Fault(NO_WORKER, "no worker is connected to the scheduler", fixes=[add])
    if found.unsatisfiable:
        raise Fault(
            NO_WORKER,
            "no worker can run this action",
            why="\n".join(f"{one.worker} {one.reason}" for one in found.workers[:_SHOWN]),
            fixes=[
                fix("drop or change a --platform", "nlctl", "workers", "match", *map("=".join, wanted.items())),
                fix("see what is offered", "nlctl", "workers", "ls"),
            ],
        )


async def _run(session: Session, target: Target, asked: _Asked, out_dir: Path) -> Outcome:
    from nlserver.reapi.client import ExecutionFailed

    from nlctl.remote import client

    async with client(target) as remote:
        try:
            outcome = await remote.run(
                asked.argv,
                input_root=asked.input_root,
                environment=asked.environment,
                output_paths=asked.outputs,
                platform=asked.platform,
                timeout_seconds=asked.timeout_seconds,
                skip_cache_lookup=asked.no_cache,
                on_state=lambda state: session.ui.waiting(f"{state.stage.name.lower()}"),
            )
        except ExecutionFailed as error:
            _show(session, error.response.result.stdout_raw, error.response.result.stderr_raw)
            raise Fault(NOT_RUN, error.message, why=f"{error.code.name} at {target.executor}", fixes=[_LOGS]) from error
        _show(session, outcome.stdout, outcome.stderr)
        if asked.outputs:
            await remote.download_outputs(outcome, into=out_dir)
    return outcome


_LOGS = fix("see what the parts say", "nlctl", "logs", "--tail", "50")


def _show(session: Session, stdout: bytes, stderr: bytes) -> None:
    """What the command wrote, as it wrote it; in a JSON document there is a place for it."""
    session.ui.waiting("")
    session.ui.raw(stderr, to_error=True)
    if not session.ui.structured:
        session.ui.raw(stdout)


def _tell(session: Session, outcome: Outcome, asked: _Asked, out_dir: Path) -> None:
    result = outcome.result
    outputs = {one.path: digest_of(one.digest, Function(outcome.action.function)) for one in result.output_files}
    roles = {"action": outcome.action, **_streams(outcome), **outputs}
    remember(session.state, "run", roles)
    for path in _absent(outcome, asked.outputs):
        session.ui.warn(f"the command left no {path}")
    if session.verbose or session.ui.progress == "tty":
        hit = "cached" if outcome.cached else "not cached before"
        session.ui.say(f"exit {outcome.exit_code} - {hit} - action {outcome.action.hash[:8]} (@last)")
    if session.ui.structured:
        session.ui.item("nlctl.run/v1", _document(outcome, outputs, out_dir), "")


def _absent(outcome: Outcome, wanted: Sequence[str]) -> list[str]:
    result = outcome.result
    made = {one.path for one in result.output_files} | {one.path for one in result.output_directories}
    for links in (result.output_symlinks, result.output_file_symlinks, result.output_directory_symlinks):
        made |= {one.path for one in links}
    return [path for path in wanted if path.strip("/") not in made]


def _streams(outcome: Outcome) -> dict[str, Digest]:
    named = {"stdout": outcome.result.stdout_digest, "stderr": outcome.result.stderr_digest}
    return {name: digest_of(one, Function(outcome.action.function)) for name, one in named.items() if one.hash}


def _document(outcome: Outcome, outputs: Mapping[str, Digest], out_dir: Path) -> dict[str, Any]:
    times = outcome.metadata
    streams = _streams(outcome)
    return {
        "exit_code": outcome.exit_code,
        "cached": outcome.cached,
        "worker": times.worker or None,
        "action": as_json(outcome.action),
        "stdout": outcome.stdout.decode(errors="replace"),
        "stderr": outcome.stderr.decode(errors="replace"),
        "stdout_digest": as_json(streams["stdout"]) if "stdout" in streams else None,
        "stderr_digest": as_json(streams["stderr"]) if "stderr" in streams else None,
        "outputs": [{"path": path, "digest": as_json(digest)} for path, digest in outputs.items()],
        "out_dir": str(out_dir),
        "ran_ms": _span(times.execution_start_timestamp, times.execution_completed_timestamp),
        "queued_ms": _span(times.queued_timestamp, times.worker_start_timestamp),
        "message": outcome.message or None,
    }


def _span(start: Any, end: Any) -> int | None:
    begun, ended = moment_of(start), moment_of(end)
    return (ended - begun) // 1_000_000 if begun and ended else None
