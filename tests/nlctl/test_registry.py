"""The registry describes the commands as they are, and importing one command imports no other."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import nlctl
from nlctl import faults, manual
from nlctl.registry import COMMANDS, FLAGS, GROUPS, Leaf

LEAVES = pytest.mark.parametrize(("path", "leaf"), COMMANDS.items(), ids=[" ".join(path) for path in COMMANDS])
HEAVY = ("asyncio", "grpc", "rich", "urllib.request", "importlib.metadata", "json5", "uvloop")


def _parameters(leaf: Leaf) -> list[object]:
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command()(importlib.import_module(f"nlctl.commands.{leaf.module}").command)
    return list(typer.main.get_command(app).params)


@LEAVES
def test_options_with_values_are_those_of_the_module(path: tuple[str, ...], leaf: Leaf) -> None:
    valued = set()
    for one in _parameters(leaf):
        opts = [name for name in getattr(one, "opts", ()) if name.startswith("-")]
        if opts and not getattr(one, "is_flag", False) and not getattr(one, "count", False):
            valued.update(opts)
    assert valued == leaf.valued


@LEAVES
def test_no_command_takes_a_global_name_that_it_does_not_own(path: tuple[str, ...], leaf: Leaf) -> None:
    used = {name for one in _parameters(leaf) for name in getattr(one, "opts", ())}
    used |= {name for one in _parameters(leaf) for name in getattr(one, "secondary_opts", ())}
    taken = {spelling for flag in FLAGS for spelling in flag.spellings}
    assert used & taken == leaf.owned


@LEAVES
def test_every_command_tells_its_purpose_examples_and_exits(path: tuple[str, ...], leaf: Leaf) -> None:
    module = importlib.import_module(f"nlctl.commands.{leaf.module}")
    assert module.command.__doc__
    assert "Exit status:" in module.EPILOG
    assert f"nlctl {' '.join(path)}" in module.EPILOG
    assert leaf.summary
    assert all(len(line) <= 120 for line in module.EPILOG.splitlines())


@LEAVES
def test_a_command_module_loads_alone_and_lightly(path: tuple[str, ...], leaf: Leaf) -> None:
    module = f"nlctl.commands.{leaf.module}"
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    commands = {name for name in loaded if name.startswith("nlctl.commands.")}
    assert commands == {module}
    assert not loaded & set(HEAVY)


def test_help_and_version_load_neither_typer_nor_any_command() -> None:
    script = "import sys; sys.argv[1:] = ['--help']; from nlctl.__main__ import main; main(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"typer", "json", "nlserver", "nlctl.main", "argparse"}


def test_help_lists_every_command_and_flag() -> None:
    page = manual.root()
    assert all(" ".join(path) in page and leaf.summary in page for path, leaf in COMMANDS.items())
    assert all(spelling in page for flag in FLAGS for spelling in flag.spellings)
    assert all(f"{name} " in manual.group(name) for name in GROUPS)
    assert all(len(line) <= 100 for line in page.splitlines())


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == nlctl.VERSION


def test_every_kind_of_fault_has_an_id_of_its_own() -> None:
    kinds = [value for value in vars(faults).values() if isinstance(value, faults.Kind)]
    assert len({kind.id for kind in kinds}) == len(kinds)
    assert all(kind.id.startswith("NL-") for kind in kinds)
