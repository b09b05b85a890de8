"""Every command that nlctl prints, in failures, hints and pages, is one that it accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from nlctl.description import commands_in, parsed
from nlctl.faults import Fault
from nlctl.registry import COMMANDS
from tests.nlctl.conventions.source import ROOT, STAND_IN, commands

PAGES = [
    *(ROOT / "nlctl/pages").glob("*/*.md"),
    *(ROOT / "docs").glob("*.md"),
    ROOT / "README.md",
]


def problem(words: list[str]) -> str:
    """Why a command line is refused, "" when it is not."""
    try:
        parsed(words)
    except Fault as fault:
        return fault.message
    except typer.TyperException as error:
        return error.format_message()
    return ""


def test_every_command_that_a_failure_or_hint_names_is_accepted() -> None:
    """Statement 20."""
    refused = {f"{where}: nlctl {' '.join(words)}: {text}" for where, words in commands() if (text := problem(words))}
    assert refused == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_page_names_is_accepted(page: Path) -> None:
    """Statement 20. Words in capitals, and those with dots for what is left out, stand for something."""
    named = re.findall(r"`(nlctl [^`]+)`", " ".join(page.read_text().split()))
    for line in named:
        for words in commands_in(re.sub(r"\b[A-Z]{2,}\b(?![-=])|\S*\.\.\.\S*", STAND_IN, line)):
            assert words[0] == STAND_IN or tuple(words) in COMMANDS or problem(words) == "", line
