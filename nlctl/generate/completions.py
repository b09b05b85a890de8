"""The completion scripts in `completions/`."""

from __future__ import annotations

from nlctl.generate.shells import bash, fish, powershell, zsh


def files() -> dict[str, str]:
    """Paths in the repository and their texts."""
    return {
        "completions/nlctl.bash": bash.script(),
        "completions/nlctl.zsh": zsh.script(),
        "completions/nlctl.fish": fish.script(),
        "completions/nlctl.ps1": powershell.script(),
    }
