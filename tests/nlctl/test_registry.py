"""The registry describes the commands as they are, and importing one command imports no other."""

from __future__ import annotations

import importlib
import json
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
from nlctl import faults, manual, pages, topics
from nlctl.bazelrc import RULES as BAZELRC
from nlctl.description import commands_in, describe, parsed
from nlctl.exits import Exit
from nlctl.generate import help_pages
from nlctl.generate.everything import stale
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
    """Statement 52."""
    described = describe(path)
    assert leaf.summary
    assert len(leaf.summary) <= 60
    assert described.paragraphs[0]
    assert len(described.examples) >= 2, "EPILOG shows at least two examples"
    assert any(f"nlctl {' '.join(path)}" in line for line in described.examples)
    assert described.exits, "EPILOG ends with `Exit status: 0 done, ...`"
    page = manual.page(described).splitlines()
    assert len(page) <= 60
    assert [line for line in page if len(line) > 80] == [], "examples fit 78 columns, or break before an option"


@LEAVES
def test_every_example_is_a_command_line_that_is_accepted(path: tuple[str, ...], leaf: Leaf) -> None:
    """Statement 20."""
    for line in describe(path).examples:
        for words in commands_in(line):
            parsed(words)


def test_a_command_module_loads_alone_and_lightly() -> None:
    """Statement 14. Each is imported in a process of its own, forked from one that knows only what all share."""
    script = """if True:
        import importlib, json, os, sys, typer
        before = set(sys.modules)
        import nlctl.admin, nlctl.resolve, nlctl.session, nlctl.ui
        for module in sys.argv[1:]:
            out, into = os.pipe()
            if os.fork() == 0:
                importlib.import_module(module)
                os.write(into, json.dumps(sorted(set(sys.modules) - before)).encode())
                os._exit(0)
            os.close(into)
            print(open(out).read(), flush=True)
            os.wait()
    """
    modules = [f"nlctl.commands.{leaf.module}" for leaf in COMMANDS.values()]
    done = subprocess.run([sys.executable, "-c", script, *modules], capture_output=True, text=True, check=True)
    for module, line in zip(modules, done.stdout.splitlines(), strict=True):
        loaded = set(json.loads(line))
        assert {name for name in loaded if name.startswith("nlctl.commands.")} == {module}
        assert not loaded & set(HEAVY), module


def test_help_and_version_load_neither_typer_nor_any_command() -> None:
    script = "import sys; sys.argv[1:] = ['--help']; from nlctl.__main__ import main; main(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"typer", "json", "nlserver", "nlctl.main", "argparse"}


def test_help_lists_every_command_and_flag() -> None:
    page, every = manual.root(), manual.everything()
    assert all(" ".join(path) in every and leaf.summary in every for path, leaf in COMMANDS.items())
    assert all(spelling in page for flag in FLAGS for spelling in flag.spellings)
    assert all(f"{name} " in manual.group(name) for name in GROUPS)
    assert all(len(line) <= 80 for line in [*page.splitlines(), *every.splitlines()])
    assert len(page.splitlines()) <= 60


def test_the_pages_of_commands_are_those_that_the_commands_give() -> None:
    """Statement 2: help is a file, so that no command is imported for it."""
    assert [name for name in stale(help_pages.files()) if "/help/" in name] == [], "run make generate"


@pytest.mark.parametrize("topic", topics.names())
def test_a_topic_fits_a_terminal(topic: str) -> None:
    text = topics.text([topic])
    assert text
    assert topics.title(topic)
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_the_topic_of_exit_codes_has_them_all() -> None:
    page = topics.text(["exit-codes"]) or ""
    assert re.findall(r"^ *(\d+)  ([a-z-]+)", page, re.MULTILINE) == [(str(int(one)), one.label) for one in Exit]


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
    found = {rule.id for rule in every()} | {words[0] for words in IDS.values()} | set(BAZELRC)
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
