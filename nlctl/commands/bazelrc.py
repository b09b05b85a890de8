"""`nlctl bazelrc`: the lines that make Bazel use this cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.faults import USAGE, Fault, fix
from nlctl.session import Session
from nlctl.ui import Column

EPILOG = """\b
Examples:
  nlctl bazelrc                   show the lines
  nlctl bazelrc --write           write .bazelrc.nlctl into this workspace
  nlctl bazelrc --check           do the .bazelrc files of this workspace go with the cluster?
  bazel build --config=nl //...
\b
Exit status: 0 done, 4 no cluster is running, 13 --check found errors
"""
_COLUMNS = (Column("PLACE", "place"), Column("SEVERITY", "severity"), Column("ID", "id"), Column("WHAT", "what"))


def command(
    ctx: typer.Context,
    write: Annotated[bool, typer.Option("--write", help="Write .bazelrc.nlctl into the workspace.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Judge .bazelrc and what it imports.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="With --write: only say which files.")] = False,
    config: Annotated[str, typer.Option(help="The name for --config=NAME.")] = "nl",
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Show, write or check the .bazelrc lines for this cluster: executor, cache, instance, retries."""
    session: Session = ctx.obj
    if not config.replace("-", "").replace("_", "").isalnum():
        raise Fault(USAGE, f"{config!r} cannot name a Bazel config", fixes=[fix("use letters, digits, - and _")])
    if write and check:
        raise Fault(USAGE, "--write and --check are two things", fixes=[fix("give one of them")])
    made = _lines(session, config, name)
    if check:
        return _check(session, made, config)
    path = _written(session, made, config, dry_run=dry_run) if write else None
    item = {"lines": made, "path": str(path) if path else None, "config": config}
    session.ui.item("nlctl.bazelrc/v1", item, "" if write else "\n".join(made), name=str(path or config))
    return Exit.OK


def _lines(session: Session, config: str, name: str) -> list[str]:
    """The lines, one option each."""
    from nlctl.clients.bazel import lines

    target = session.target(name)
    return lines(target.server, config, target.words)


def _written(session: Session, made: list[str], config: str, *, dry_run: bool) -> Path:
    from nlctl import configs
    from nlctl.bazelrc import FILE, IMPORT, workspace

    root = workspace(Path.cwd())
    path, main = root / FILE, root / ".bazelrc"
    before = main.read_text(encoding="utf-8") if main.exists() else ""
    imported = any(FILE in line and "import" in line for line in before.splitlines())
    if dry_run:
        session.ui.say(f"would write {path}" + ("" if imported else f" and offer a line for {main}"))
        return path
    files = {path: "\n".join(made) + "\n"}
    if not imported and session.agrees(f"Add the line  {IMPORT}  to {main}?"):
        files[main] = before + ("" if before.endswith("\n") or not before else "\n") + IMPORT + "\n"
    id_ = configs.change(session, files)
    session.ui.say(f'wrote {", ".join(map(str, files))} (config "{config}")    undo: nlctl config undo {id_}')
    if not imported and main not in files:
        session.ui.say(f"Add this line to .bazelrc:  {IMPORT}")
    return path


def _check(session: Session, made: list[str], config: str) -> int:
    from nlctl.bazelrc import Chain, judged, workspace
    from nlctl.lint.finding import Severity
    from nlctl.lint.report import shown, tally

    root = workspace(Path.cwd())
    chain = Chain(root)
    chain.read(root / ".bazelrc")
    chain.read(Path(session.environment.get("HOME") or "/") / ".bazelrc")
    findings = judged(chain, made, config)
    wrong = any(one.severity is Severity.ERROR for one in findings)
    if session.ui.structured or session.ui.format == "name" or session.ui.quiet:
        rows: list[dict[str, Any]] = [{"place": _place(one.place), **one.document()} for one in findings]
        facts = {"files": [str(path) for path in chain.files], "config": config}
        session.ui.items("nlctl.bazelrc.check/v1", rows, _COLUMNS, facts=facts)
    else:
        for one in findings:
            for line in shown(one):
                session.ui.text(line)
    counted = tally(findings) or f"{len(chain.files)} files go with this cluster"
    session.ui.say(f"{counted}    (exit {int(Exit.INVALID)}, {Exit.INVALID.label})" if wrong else counted)
    return Exit.INVALID if wrong else Exit.OK


def _place(place: Any) -> str:
    return f"{place.file}:{place.line}:{place.column}" if place.line else str(place.file)
