"""`nlctl config validate`: judge configs like a compiler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlctl.exits import Exit
from nlctl.session import Session

if TYPE_CHECKING:
    from nlctl.lint.judging import Text, Verdict

EPILOG = """\b
Examples:
  nlctl config validate worker.json5
  nlctl config validate cas.json5 scheduler.json5 worker.json5 --deep
  nlctl config validate ./configs --deep --for nativelink --strict
  nlctl config validate cas.json5 --fix --dry-run
\b
Exit status: 0 nothing is wrong, 3 no such file, 13 errors were found (with --strict also for warnings)
"""


def command(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(help="Configs, or directories of them; those of the cluster if none.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Judge the files together, and against this machine.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Write the repairs that are safe, after showing them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="With --fix: only show them.")] = False,
    runs: Annotated[str, typer.Option("--for", help="nlserver, or nativelink for its stricter rules.")] = "nlserver",
    given: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, as in the environment.")] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Judge configs: every problem of every file, with its place, why it matters and what to write.

    --deep also finds what is wrong between the files of a cluster: directories that processes must not share, addresses
    that nobody serves, properties that the scheduler does not know. YAML files among them are read for health checks.
    """
    from nlctl import configs

    session: Session = ctx.obj
    paths = configs.chosen(session, files or (), name, advice=deep)
    texts = configs.read(paths)
    contained = not files and _is_contained(session, name)
    verdict = _judged(session, texts, deep=deep, runs=runs, given=given or (), contained=contained)
    fixes = _fixes(session, texts, verdict, dry_run=dry_run) if fix else []
    if fixes and not dry_run:
        texts = configs.read(paths)
        verdict = _judged(session, texts, deep=deep, runs=runs, given=given or (), contained=contained)
    return _told(session, verdict, fixes, deep=deep, strict=strict)


def _is_contained(session: Session, name: str) -> bool:
    """Whether the parts of this cluster run in containers."""
    record = session.cluster(name).load()
    return record is not None and record.containers is not None


def _judged(
    session: Session,
    texts: list[Text],
    *,
    deep: bool,
    runs: str,
    given: list[str] | tuple[str, ...],
    contained: bool,
) -> Verdict:
    from nlctl import configs, settings
    from nlctl.lint.judging import single
    from nlctl.lint.scene import Runs

    program = Runs(settings.choice("--for", runs, tuple(Runs)))
    environment = {**session.environment, **settings.pairs(given, "--set")}
    if not deep:
        return single(texts, environment, program)
    return configs.judged(texts, environment, program, contained=contained)


def _fixes(session: Session, texts: list[Text], verdict: Verdict, *, dry_run: bool) -> list[dict[str, Any]]:
    from nlctl import configs
    from nlctl.lint.repair import difference, repaired

    after: dict[Path, str] = {}
    made: list[dict[str, Any]] = []
    for text in texts:
        edits = [edit for found in verdict.findings for edit in found.edits if edit.file == text.name]
        changed = repaired(text.content, edits)
        if changed != text.content:
            after[Path(text.name)] = changed
            shown = difference(text.name, text.content, changed)
            made.append({"file": text.name, "diff": shown, "written": not dry_run})
            if not session.ui.structured:
                session.ui.say(shown.rstrip())
    if after and not dry_run:
        id_ = configs.change(session, after)
        session.ui.say(f"wrote {', '.join(map(str, after))}    undo: nlctl config undo {id_}")
    return made


def _told(session: Session, verdict: Verdict, fixes: list[dict[str, Any]], *, deep: bool, strict: bool) -> int:
    from nlctl import linted
    from nlctl.lint.report import tally

    wrong = verdict.is_wrong(strict=strict)
    linted.write(session, "nlctl.config.validate/v1", verdict, {"deep": deep, "fixes": fixes})
    if deep and verdict.unread:
        session.ui.warn(f"judged without {', '.join(verdict.unread)}, which cannot be decoded")
    counted = (
        tally(verdict.findings)
        or f"{len(verdict.files)} {'config is' if len(verdict.files) == 1 else 'configs are'} right"
    )
    session.ui.say(f"{counted}    (exit {int(Exit.INVALID)}, {Exit.INVALID.label})" if wrong else counted)
    return Exit.INVALID if wrong else Exit.OK
