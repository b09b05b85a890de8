"""`nlctl completion`: the script that makes a shell complete commands, options and live values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from nlctl import pages
from nlctl.exits import Exit
from nlctl.faults import UNREADABLE, USAGE, Fault, fix
from nlctl.launch.ledger import write
from nlctl.session import Session

EPILOG = """\b
Examples:
  nlctl completion bash --install
  nlctl completion zsh > ~/.zfunc/_nlctl
  nlctl completion fish | source              for this shell alone
\b
Exit status: 0 shown or written, 2 no such shell, or its file cannot be written
"""
_SHELLS: Final = {"bash": "nlctl.bash", "zsh": "nlctl.zsh", "fish": "nlctl.fish", "powershell": "nlctl.ps1"}
_AFTERWARDS: Final = {
    "bash": "The bash-completion package loads it at the first press of the key; without that, source it in ~/.bashrc.",
    "zsh": "Add to ~/.zshrc, before compinit:  fpath=({folder} $fpath)",
    "fish": "New shells load it at the first press of the key.",
    "powershell": "Add to $PROFILE:  . {path}",
}


def command(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(help="bash, zsh, fish or powershell.")],
    install: Annotated[bool, typer.Option("--install", help="Write it to where that shell looks.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="With --install: only tell where.")] = False,
) -> int:
    """Show or install the completion script of a shell.

    Commands, options and choices stand in the script. Workers, parts, contexts, operations, recent digests and error
    codes are asked at that moment, without a network.
    """
    session: Session = ctx.obj
    if shell not in _SHELLS:
        raise Fault(USAGE, f"there is no completion for {shell!r}", fixes=[fix(f"choose one of {', '.join(_SHELLS)}")])
    script = pages.beside("completions", _SHELLS[shell])
    path = _place(shell, session.environment) if install else None
    if path is not None and not dry_run:
        _install(path, script)
    if path is not None:
        session.ui.say(f"{'would write' if dry_run else 'wrote'} {path} ({len(script.splitlines())} lines)")
        session.ui.say(_AFTERWARDS[shell].format(folder=path.parent, path=path))
    item = {"shell": shell, "path": str(path) if path else None, "dry_run": dry_run, "script": script}
    session.ui.item("nlctl.completion/v1", item, "" if install else script, name=str(path or shell))
    return Exit.OK


def _place(shell: str, environment: Mapping[str, str]) -> Path:
    home = environment.get("HOME") or "/"
    data = environment.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    config = environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return {
        "bash": Path(data, "bash-completion", "completions", "nlctl"),
        "zsh": Path(data, "zsh", "site-functions", "_nlctl"),
        "fish": Path(config, "fish", "completions", "nlctl.fish"),
        "powershell": Path(config, "powershell", "nlctl.ps1"),
    }[shell]


def _install(path: Path, script: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, script)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Fault(UNREADABLE, f"{path} cannot be written", why=reason, fixes=[fix("check the folder")]) from error
