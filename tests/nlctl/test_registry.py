"""The registry describes the commands as they are, and importing one command imports no other."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator

import nlctl
from nlctl import faults, manual, pages
from nlctl.lint.engine import IDS
from nlctl.lint.rules import every
from nlctl.registry import COMMANDS, FLAGS, GROUPS, Leaf
from tests.nlctl import documents

LEAVES = pytest.mark.parametrize(("path", "leaf"), COMMANDS.items(), ids=[" ".join(path) for path in COMMANDS])
ROOT = Path(__file__).parents[2]
KINDS = [value for value in vars(faults).values() if isinstance(value, faults.Kind)]
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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == nlctl.VERSION


def test_every_kind_of_fault_has_an_id_of_its_own() -> None:
    assert len({kind.id for kind in KINDS}) == len(KINDS)
    assert all(kind.id.startswith("NL-") for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_every_kind_of_fault_is_explained(kind: faults.Kind) -> None:
    """Statement 19."""
    page = pages.read(pages.CODES, kind.id)
    assert page is not None, f"write nlctl/pages/codes/{kind.id}.md"
    assert page.startswith(f"# {kind.id}: ")
    assert pages.title(page)
    parts = pages.sections(page)
    assert list(parts) == ["What happened", "How to see it", "How to fix it"]
    assert all(parts.values())
    assert all(len(line) <= 120 for line in page.splitlines())


def test_every_page_explains_a_kind_of_fault_or_what_a_rule_finds_in_configs() -> None:
    found = {rule.id for rule in every()} | {words[0] for words in IDS.values()}
    assert set(pages.names(pages.CODES)) == {kind.id for kind in KINDS} | found
    assert not {kind.id for kind in KINDS} & found


def test_every_document_has_a_schema_and_every_schema_a_document() -> None:
    """Statement 15."""
    named: set[str] = set()
    for source in (ROOT / "nlctl").rglob("*.py"):
        named |= set(re.findall(r"[\"`( ]nlctl\.([a-z._-]+)/v1", source.read_text()))
    there = set(pages.names(pages.SCHEMAS))
    assert named - there == set(), "write nlctl/schemas/NAME.v1.json for these"
    assert there - named == set(), "no command writes these"


@pytest.mark.parametrize("name", pages.names(pages.SCHEMAS))
def test_a_schema_is_strict_and_says_what_it_is(name: str) -> None:
    schema = documents.schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"nlctl.{name}/v1"
    assert schema["properties"]["schema"] == {"const": f"nlctl.{name}/v1"}
    assert schema["title"]
    for one in _objects(schema):
        if one.get("additionalProperties") is False:
            assert set(one["required"]) == set(one["properties"]), "a key is always there, null when unknown"
        else:
            assert "properties" not in one or name == "progress"


def _objects(schema: Any) -> Iterator[Any]:
    """Every schema of an object in this one."""
    if isinstance(schema, dict):
        if "object" in str(schema.get("type")):
            yield schema
        for value in schema.values():
            yield from _objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _objects(value)
