"""The repository keeps the promises of its own documents."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "server").glob("*.md"))]
DOCUMENTS += sorted((ROOT / "server/decisions").glob("*.md")) + sorted((ROOT / "docs").glob("**/*.md"))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_makefile_has_the_daily_targets() -> None:
    wanted = {"setup", "up", "down", "test", "test-real", "lint", "types", "bench", "fmt", "proto", "clean"}
    assert wanted <= targets()


def test_the_readme_begins_with_up_and_test() -> None:
    commands = re.findall(r"^make (\S+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["up", "test"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert named - targets() == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_links_to_exists(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_source_file_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`((?:nlctl|nlserver|server|tests|templates)/[\w/.-]+\.\w+)`", document.read_text()))
    # `stores/TAG.py` stands for any.
    real = [path for path in named if not Path(path).stem.isupper()]
    missing = [path for path in real if not ((ROOT / path).exists() or (ROOT / "server" / path).exists())]
    assert missing == []


def test_every_section_that_is_measured_has_its_place_on_the_page_and_its_script() -> None:
    page = re.findall(
        r"<!-- measured: ([a-z]+) -->\n.*?<!-- end -->", (ROOT / "docs/performance.md").read_text(), re.DOTALL
    )
    script = (ROOT / "tests/bench/report.py").read_text()
    sections = dict(re.findall(r'^    "([a-z]+)": \((?:"([a-z_]+\.py)")?', script, re.MULTILINE))
    assert page == list(sections)
    assert all((ROOT / "tests/bench" / name).is_file() for name in sections.values() if name)


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text()


def test_what_the_wheel_takes_in_exists() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    taken = [*wheel["packages"], *wheel["force-include"], *wheel["shared-data"]]
    assert [path for path in taken if not (ROOT / path).is_dir()] == []
    assert {"completions", "templates"} <= set(wheel["force-include"])
    for pages in ("codes", "help", "man", "topics"):
        assert list((ROOT / "nlctl/pages" / pages).iterdir())
