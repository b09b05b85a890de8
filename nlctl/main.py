"""One invocation: the command is imported when its words are known, and every failure passes the one border."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from nlserver.errors import Error

from nlctl import VERSION, defaults, manual, topics
from nlctl.arguments import Invocation, cut, seconds
from nlctl.exits import Exit
from nlctl.faults import (
    INTERNAL,
    INTERRUPTED,
    TERMINATED,
    TIMEOUT,
    UNWRITABLE,
    USAGE,
    Fault,
    Fix,
    as_not_run,
    fix,
    of_error,
)
from nlctl.registry import GROUPS, Leaf
from nlctl.session import Session, state_home
from nlctl.ui import Display, Ui, plain, silence

if TYPE_CHECKING:
    import typer


class _Terminated(BaseException):
    """SIGTERM arrived: unwind, clean up, exit 143."""


def run(words: Sequence[str]) -> int:
    """Run one command line; returns the exit code and never raises."""
    signal.signal(signal.SIGTERM, _terminated)
    ui = plain(os.environ, words)
    wraps = bool(words) and "run" in words[:8]
    debug = "--debug" in words or bool(os.environ.get("NLCTL_DEBUG"))
    try:
        invocation = cut(words, os.environ)
        defaults.complete(invocation, defaults.here(), os.environ)
        ui = _ui(invocation)
        wraps = invocation.leaf is not None and invocation.leaf.wraps
        code = _invoke(invocation, ui)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        silence(sys.stdout)
        return Exit.BROKEN_PIPE
    except BaseException as error:
        if debug and not isinstance(error, SystemExit):
            _traceback(error)
        fault = _fault_of(error)
    if wraps and fault.exit < Exit.INTERRUPTED:
        fault = as_not_run(fault)
    ui.fault(fault)
    return fault.exit


def _invoke(invocation: Invocation, ui: Ui) -> int:
    if invocation.counts.get("version"):
        ui.text(f"nlctl {VERSION}")
        return Exit.OK
    leaf = invocation.leaf
    if leaf is None:
        return _group(invocation, ui)
    if invocation.counts.get("help"):
        return _page(invocation, ui)
    _limit(invocation.texts.get("timeout", ""))
    return _call(leaf, invocation, Session(ui, invocation, os.environ))


def _page(invocation: Invocation, ui: Ui) -> int:
    text = topics.of_command(invocation.path)
    if text is None:
        # A command that is being written has no page yet.
        from nlctl.description import describe

        text = manual.page(describe(invocation.path))
    ui.item("nlctl.help/v1", {"help": text}, text, name=" ".join(invocation.path))
    return Exit.OK


def _group(invocation: Invocation, ui: Ui) -> int:
    asked = bool(invocation.counts.get("help"))
    if not invocation.path:
        ui.item("nlctl.help/v1", {"help": manual.root()}, manual.root(), name="nlctl")
        return Exit.OK
    name = invocation.path[0]
    assert name in GROUPS
    if asked:
        ui.item("nlctl.help/v1", {"help": manual.group(name)}, manual.group(name), name=name)
        return Exit.OK
    raise Fault(USAGE, f"nlctl {name} needs a command", fixes=[fix("see which there are", "nlctl", name, "--help")])


def _call(leaf: Leaf, invocation: Invocation, session: Session) -> int:
    import typer

    from nlctl.description import command

    try:
        # Not command.main: it turns a closed pipe into an exit of its own.
        with command(leaf).make_context(
            " ".join(("nlctl", *invocation.path)), list(invocation.words), obj=session
        ) as context:
            code: Any = context.command.invoke(context)
    except typer.TyperException as error:
        raise _misused(error, invocation.path) from error
    except typer.Exit as ended:
        return ended.exit_code
    return int(code or 0)


def _misused(error: typer.TyperException, path: tuple[str, ...]) -> Fault:
    """A command line that the command's parser refuses."""
    from typer._click.exceptions import NoSuchOption

    from nlctl.description import spellings
    from nlctl.spelling import nearest

    near: list[Fix] = []
    if isinstance(error, NoSuchOption):
        error.possibilities = None
        near = [Fix(f"did you mean {one}?") for one in nearest(error.option_name, spellings(path))]
    return Fault(USAGE, error.format_message(), fixes=[*near, fix("see what it takes", "nlctl", *path, "--help")])


def _ui(invocation: Invocation) -> Ui:
    texts, counts = invocation.texts, invocation.counts
    display = Display(
        texts.get("output", ""), counts.get("quiet", 0), texts.get("color", "auto"), texts.get("progress", "auto")
    )
    return Ui(display, os.environ)


def _fault_of(error: BaseException) -> Fault:
    match error:
        case Fault():
            return error
        case Error():
            return of_error(error)
        case KeyboardInterrupt():
            return Fault(INTERRUPTED, "interrupted")
        case _Terminated():
            return Fault(TERMINATED, "ended by SIGTERM")
        case BaseExceptionGroup() if len(error.exceptions) == 1:
            return _fault_of(error.exceptions[0])
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS | errno.ENOSPC | errno.EDQUOT | errno.ENOTDIR):
            return _unwritable(error)
        case _:
            return _internal(error)


def _unwritable(error: OSError) -> Fault:
    return Fault(
        UNWRITABLE,
        f"{error.filename or 'a file'} cannot be written",
        why=error.strerror or str(error),
        fixes=[fix("keep nlctl's own files elsewhere: set XDG_STATE_HOME and XDG_CONFIG_HOME")],
    )


def _internal(error: BaseException) -> Fault:
    words = f"{type(error).__name__}: {error}".splitlines()[0]
    try:
        kept = fix(f"report it with {_kept(error)}")
    except OSError:
        kept = fix("run it again with --debug and report what it prints")
    return Fault(INTERNAL, "nlctl failed in a way it should not", why=words, fixes=[kept])


def _kept(error: BaseException) -> Path:
    """The file that keeps this traceback."""
    import time
    import traceback

    folder = state_home(os.environ) / "crashes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    text = f"nlctl {VERSION}\nargv {sys.argv[1:]!r}\n" + "".join(traceback.format_exception(error))
    path.write_text(text, encoding="utf-8", errors="replace")
    path.chmod(0o600)
    return path


def _traceback(error: BaseException) -> None:
    import traceback

    sys.stderr.write("".join(traceback.format_exception(error)))


def _limit(text: str) -> None:
    """Give the whole command this long."""
    if not text:
        return

    def expired(_number: int, _frame: FrameType | None) -> None:
        raise Fault(TIMEOUT, f"not done within --timeout {text}", fixes=[fix("allow more time, or see what is slow")])

    signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, max(seconds(text), 0.001))


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated
