"""`nlctl up`: start a cluster, or bring it to the asked shape."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from nlctl.arguments import seconds
from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.launch import backends, wish
from nlctl.launch.containers import DEFAULT_IMAGE, Containers
from nlctl.launch.ledger import Ledger
from nlctl.launch.plan import Sign, Step
from nlctl.launch.reconcile import Asked, Plan, Reconciliation, plan
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl up                            three workers
  nlctl up --workers 5                the same cluster with five
  nlctl up --name two --base-port auto
  nlctl up --backend docker --workers 5 --memory 2gb
  nlctl up --dry-run --detailed-exitcode
\b
Exit status: 0 up, 5 a part or canary failed, 6 not ready in time, 7 port or lock taken, 12 --detailed-exitcode and
changes, 13 an edited config is wrong
"""


def command(
    ctx: typer.Context,
    workers: Annotated[int | None, typer.Option(help="How many workers; 3 for a new cluster.")] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one, or dev.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show the plan and change nothing.")] = False,
    cas_size: Annotated[str | None, typer.Option(help="Most that the CAS keeps: 10gb, 500mb, 2Gi.")] = None,
    cas_processes: Annotated[
        int | None, typer.Option(help="How many processes serve the CAS; by the number of cores for a new cluster.")
    ] = None,
    base_port: Annotated[str | None, typer.Option(help="First port P (P, P+1, P+10), or auto.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return before the cluster is ready.")] = False,
    wait_timeout: Annotated[str, typer.Option(help="Longest wait until it is ready.")] = "60s",
    keep_on_fail: Annotated[bool, typer.Option("--keep-on-fail", help="Do not undo a failed start.")] = False,
    no_smoke: Annotated[bool, typer.Option("--no-smoke", help="Run no canary action on the workers.")] = False,
    attach: Annotated[bool, typer.Option("--attach", help="Then follow its logs; Ctrl-C ends only that.")] = False,
    profile: Annotated[str, typer.Option(help="Defaults of a new cluster: dev, ci or prod-like.")] = "dev",
    config: Annotated[Path | None, typer.Option(help="Folder with your cas, scheduler or worker.json5.")] = None,
    backend: Annotated[str, typer.Option(help="What runs the parts: process or docker.")] = "",
    image: Annotated[str, typer.Option(help="docker: the image of the parts.")] = "",
    cpus: Annotated[float | None, typer.Option(help="docker: CPUs that each worker may use.", min=0.01)] = None,
    memory: Annotated[str | None, typer.Option(help="docker: memory that each worker may use: 2gb.")] = None,
    publish: Annotated[str, typer.Option(help="docker: the address that the ports are open on.")] = "",
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 12 when something changes, or would.")
    ] = False,
) -> int:
    """Start CAS, scheduler and workers on this machine, or bring a running cluster to this shape.

    Ready means proven: an action ran on every worker, its output came back, and a second run was a cache hit.
    Running it again changes nothing; with another number of workers it adds them, or drains and stops the last ones.
    """
    session: Session = ctx.obj
    ledger = session.ledger(name)
    containers = _containers(ledger, backend, image, cpus, memory, publish)
    usual = wish.profile("dev" if ledger.exists else profile, len(os.sched_getaffinity(0)))
    asked = Asked(
        usual.workers if workers is None else workers,
        _size(cas_size) or usual.cas_size,
        usual.cas_processes if cas_processes is None else cas_processes,
        base_port,
        not no_wait,
        seconds(wait_timeout),
        keep_on_fail,
        prove=not no_smoke,
        templates=_folder(config),
        containers=containers,
    )
    with ExitStack() as lock:
        if not dry_run:
            lock.enter_context(ledger.locked())
        reconciliation = Reconciliation(ledger, session.ui, asked)
        reports = Reconciliation.look(ledger) if dry_run else reconciliation.reports()
        made = plan(ledger, asked, reports)
        _show(session, made, dry_run=dry_run)
        if not made.done and not dry_run:
            reconciliation.carry_out(made, reports)
    _done(session, ledger, made, reconciliation.seconds, dry_run=dry_run, wait=not no_wait)
    if attach and not dry_run:
        session.become("-C", ledger.name, "logs", "--follow", "--since", "1m")
    return Exit.DIFFERS if detailed_exitcode and made.changes else Exit.OK


def _folder(path: Path | None) -> Path | None:
    """Absolute, for it is remembered. Raises Fault USAGE for one without any of the three templates."""
    if path is None:
        return None
    if not any((path / f"{part}.json5").is_file() for part in ("cas", "scheduler", "worker")):
        why = "it has neither cas.json5 nor scheduler.json5 nor worker.json5"
        raise Fault(USAGE, f"--config {path} is no folder of configs", why=why, fixes=[fix("copy templates/ and edit")])
    return path.absolute()


def _containers(
    ledger: Ledger, backend: str, image: str, cpus: float | None, memory: str | None, publish: str
) -> Containers | None:
    """What the parts run in, those of an old cluster as before where nothing else is asked. Raises Fault USAGE."""
    record = ledger.load()
    before = record.containers if record else None
    kind = backend or (backends.DOCKER if before else backends.PROCESS)
    if kind not in backends.NAMES:
        raise Fault(USAGE, f"there is no backend {kind!r}", fixes=[fix(f"choose {' or '.join(backends.NAMES)}")])
    if record is not None and (kind == backends.DOCKER) != (before is not None):
        raise Fault(
            USAGE,
            f"the parts of cluster {ledger.name!r} run {'in Docker' if before else 'as processes'}",
            why="a cluster keeps its backend, because its data are there",
            fixes=[
                fix("remove it first", "nlctl", "down", "--name", ledger.name, "--wipe"),
                fix("start another one", "nlctl", "up", "--backend", kind, "--name", "NAME"),
            ],
        )
    if kind == backends.PROCESS:
        if image or publish or cpus is not None or memory is not None:
            more = fix("add it", "nlctl", "up", "--backend", "docker")
            raise Fault(USAGE, "--image, --cpus, --memory and --publish are for --backend docker", fixes=[more])
        return None
    old = before or Containers(image or DEFAULT_IMAGE)
    return Containers(
        image or old.image,
        cpus if cpus is not None else old.cpus,
        _bytes(memory) if memory is not None else old.memory_bytes,
        publish or old.publish,
    )


def _bytes(text: str) -> int:
    from nlctl.sizes import parse

    least = 32 << 20
    if (size := parse(text)) < least:
        raise Fault(USAGE, f"--memory {text} is too little for a worker", fixes=[fix("give it 32mb or more")])
    return size


def _size(text: str | None) -> str | None:
    if text is not None:
        from nlctl.sizes import parse

        parse(text)
    return text


def _show(session: Session, made: Plan, *, dry_run: bool) -> None:
    ui = session.ui
    for note in made.notes:
        ui.warn(note)
    if not made.changes:
        return
    if not dry_run:
        ui.say(_text(made))


def _text(made: Plan) -> str:
    kind = f"docker, image {made.containers.image}" if made.containers else "process"
    lines = [f'Plan for cluster "{made.wish.name}" (backend: {kind})']
    shown = [one for one in _folded(made.steps) if one[0] is not Sign.KEEP]
    return "\n".join([*lines, *(f"  {sign} {names:<22} {reason}".rstrip() for sign, names, reason in shown)])


def _folded(steps: list[Step]) -> list[tuple[Sign, str, str]]:
    """Steps as lines; workers in a row that fare alike share one."""
    lines: list[tuple[Sign, str, str, str]] = []
    for step in steps:
        is_worker = step.member.startswith("worker-")
        if lines and is_worker and lines[-1][1].startswith("worker-") and lines[-1][::3] == (step.sign, step.reason):
            lines[-1] = (step.sign, lines[-1][1], step.member, step.reason)
        else:
            lines.append((step.sign, step.member, step.member, step.reason))
    return [(sign, first if first == last else f"{first} .. {last}", reason) for sign, first, last, reason in lines]


def _done(session: Session, ledger: Ledger, made: Plan, took: float, *, dry_run: bool, wait: bool) -> None:
    ui = session.ui
    if made.done or (dry_run and not made.changes):
        ui.say(f'Cluster "{ledger.name}" already matches ({len(made.names)} parts healthy). Nothing to do.')
    if not dry_run:
        before = session.remember(ledger.name)
        if not made.done:
            was = f" Context set to {ledger.name!r} (was: {before})." if before else ""
            waits = f"is up in {took:.1f}s." if wait else "is starting; nlctl status tells when it is ready."
            ui.say(f'Cluster "{ledger.name}" {waits}{was}')
            ui.say("")
            ui.say("Try it   nlctl run -- echo hello")
            ui.say("Bazel    bazel build --config=nl //...      after:  nlctl bazelrc --write")
            ui.say("Look     nlctl status        Stop    nlctl down")
    text = _text(made) if dry_run and made.changes else ""
    ui.item("nlctl.up/v1", _document(made, ledger, dry_run=dry_run), text, name=ledger.name)


def _document(made: Plan, ledger: Ledger, *, dry_run: bool) -> dict[str, Any]:
    return {
        "name": ledger.name,
        "dry_run": dry_run,
        "changed": made.changes,
        "workers": len(made.wish.workers),
        "cas_processes": made.wish.cas_processes,
        "endpoints": made.wish.ports.named,
        "home": str(ledger.home),
        "steps": [{"sign": str(s.sign), "member": s.member, "reason": s.reason} for s in made.steps],
    }
