"""The page of every command: what `nlctl COMMAND --help` shows without importing the command."""

from __future__ import annotations

from nlctl import manual
from nlctl.description import describe
from nlctl.registry import COMMANDS


def files() -> dict[str, str]:
    """Paths in the repository and their texts."""
    return {f"nlctl/pages/help/{'_'.join(path)}.txt": manual.page(describe(path)) for path in COMMANDS}
