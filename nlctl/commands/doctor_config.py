"""`nlctl doctor config`: a linter for the configs of a cluster, which needs no cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nlctl.exits import Exit
from nlctl.session import Session

if TYPE_CHECKING:
    from nlctl.lint.finding import Finding
    from nlctl.lint.judging import Verdict

EPILOG = """\b
Examples:
  nlctl doctor config cas.json5 scheduler.json5 worker.json5 compose.yml
  nlctl doctor config ./deploy --for nativelink --strict
  nlctl doctor config ./deploy --format github
  nlctl doctor config ./deploy --format sarif > nlctl.sarif
\b
Exit status: 0 nothing is wrong, 3 no such file, 5 errors were found (with --strict also for warnings)
"""
_FORMATS = ("text", "github", "sarif")


def command(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(help="Files, or directories of them; the cluster's configs if none.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are failures.")] = False,
    form: Annotated[str, typer.Option("--format", help="text, github (annotations) or sarif.")] = "text",
    runs: Annotated[str, typer.Option("--for", help="nlserver, or nativelink for its stricter rules.")] = "nlserver",
    given: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, as in the environment.")] = None,
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Judge the files of one cluster together: configs, compose files, objects of Kubernetes, .bazelrc, scripts.

    Asks no server. Each config is a process of its own; what is wrong between them is found too. Notes about other
    machines and programs are shown with -v. `nlctl config validate --fix` writes the repairs that are safe.
    """
    from nlctl import configs, settings
    from nlctl.lint.scene import Runs

    session: Session = ctx.obj
    settings.choice("--format", form, _FORMATS)
    settings.choice("--for", runs, tuple(Runs))
    texts = configs.read(configs.chosen(session, files or (), name, advice=True))
    environment = {**session.environment, **settings.pairs(given or (), "--set")}
    verdict = configs.judged(texts, environment, Runs(runs))
    return _told(session, verdict, form, strict=strict)


def _told(session: Session, verdict: Verdict, form: str, *, strict: bool) -> int:
    from nlctl.lint.report import tally

    _write(session, verdict, form)
    if verdict.unread:
        session.ui.warn(f"judged without {', '.join(verdict.unread)}, which cannot be decoded")
    wrong = verdict.is_wrong(strict=strict)
    said = tally(verdict.findings) or f"nothing is wrong with {len(verdict.files)} configs"
    session.ui.say(f"{said}    (exit {int(Exit.UNHEALTHY)}, {Exit.UNHEALTHY.label})" if wrong else said)
    return Exit.UNHEALTHY if wrong else Exit.OK


def _write(session: Session, verdict: Verdict, form: str) -> None:
    from nlctl import linted
    from nlctl.lint.finding import Severity
    from nlctl.lint.report import annotation

    if form == "sarif":
        session.ui.text(_sarif(verdict.findings))
    elif form == "github":
        for one in verdict.findings:
            if session.verbose or one.severity is not Severity.INFO:
                session.ui.text(annotation(one))
    else:
        linted.write(session, "nlctl.doctor.config/v1", verdict, {})


def _sarif(findings: tuple[Finding, ...]) -> str:
    import json

    from nlctl import VERSION, pages
    from nlctl.lint.report import sarif

    titles = {one.id: pages.title(pages.read(pages.CODES, one.id) or "") or one.id for one in findings}
    return json.dumps(sarif(findings, titles, VERSION))
