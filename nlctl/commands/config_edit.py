"""`nlctl config edit`: a config in your editor, judged before it is written."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from nlctl.exits import Exit
from nlctl.faults import BAD_CONFIG, USAGE, Fault, fix
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl config edit scheduler          the config of a part; `nlctl up` then applies it
  nlctl config edit ./cas.json5
  EDITOR=nano nlctl config edit worker-1
\b
Exit status: 0 written, or nothing was changed, 2 no editor, 3 no such part or file, 13 what was written is wrong
"""
_VARIABLES: Final = ("NLCTL_EDITOR", "VISUAL", "EDITOR")


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="A part of the cluster, or a config file.")],
    name: Annotated[str, typer.Option(help="Which cluster; the latest one.")] = "",
) -> int:
    """Edit a copy of a config in $VISUAL or $EDITOR; it takes the file's place only when the server could run it.

    With errors you are asked to go on editing; off a terminal the copy is kept and named. `nlctl config undo` takes it
    back.
    """
    from nlctl import configs

    session: Session = ctx.obj
    [path, *_] = configs.parts_or_files(session, [file], name)
    before = configs.read([path])[0].content
    editor = _editor(session)
    with tempfile.TemporaryDirectory(prefix="nlctl-edit-") as folder:
        copy = Path(folder) / path.name
        copy.write_text(before, encoding="utf-8")
        after = _edited(session, editor, copy)
    id_ = configs.change(session, {path: after}) if after != before else None
    said = f"wrote {path}    undo: nlctl config undo {id_}" if id_ else "nothing was changed"
    session.ui.item("nlctl.config.edit/v1", {"file": str(path), "undo": id_}, "", name=str(path))
    session.ui.say(said)
    return Exit.OK


def _editor(session: Session) -> list[str]:
    for variable in _VARIABLES:
        if words := shlex.split(session.environment.get(variable, "")):
            return words
    if session.ui.asks:
        return ["vi"]
    raise Fault(USAGE, "there is no editor", why="nobody sits at a terminal", fixes=[fix("set EDITOR to a program")])


def _edited(session: Session, editor: list[str], copy: Path) -> str:
    """The text once it is right. Raises Fault BAD_CONFIG when the user gives up, and keeps the copy then."""
    from nlctl import configs

    while True:
        _run([*editor, str(copy)])
        text = configs.read([copy])[0].content
        if not (shown := _errors(session, copy.name, text)):
            return text
        for line in shown:
            session.ui.say(line)
        if not session.asked("It has errors. Go on editing?"):
            raise Fault(
                BAD_CONFIG,
                f"{copy.name} was not written, because it has errors",
                why="the file is as it was; what you wrote is kept beside it",
                fixes=[fix(f"look at {_kept(session, copy.name, text)}")],
            )


def _run(words: list[str]) -> None:
    try:
        code = subprocess.run(words, check=False).returncode
    except OSError as error:
        raise Fault(
            USAGE, f"{words[0]} cannot be run: {error.strerror}", fixes=[fix("set EDITOR to a program")]
        ) from error
    if code:
        raise Fault(
            USAGE, f"{words[0]} ended with {code}", why="nothing was written", fixes=[fix("try another EDITOR")]
        )


def _errors(session: Session, name: str, text: str) -> list[str]:
    from nlctl.lint.finding import Severity
    from nlctl.lint.judging import Text, single
    from nlctl.lint.report import shown

    found = single([Text(name, text)], session.environment).findings
    return [line for one in found if one.severity is Severity.ERROR for line in shown(one)]


def _kept(session: Session, name: str, text: str) -> Path:
    from nlctl.launch.ledger import write

    path = session.state / "edits" / f"{name}.{os.getpid()}.rejected"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write(path, text)
    return path
