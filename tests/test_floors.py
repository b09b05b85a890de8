"""The floors hold, and the contracts that hold them notice a breach."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).parent / "lint-imports"


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    # The folder that is checked comes first on the path: a copy must not be taken for the installed project.
    return subprocess.run(
        [LINTER, "--no-cache"],
        cwd=directory,
        env={"PYTHONPATH": f"{directory / 'server'}:{directory}", "NO_COLOR": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def sources() -> Iterator[Path]:
    for package in ("nlctl", "server/nlserver"):
        yield from (path for path in (ROOT / package).rglob("*.py") if "_pb2" not in path.name)


def imports(path: Path) -> Iterator[ast.ImportFrom]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))


def test_every_contract_is_kept() -> None:
    checked = lint(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("server/nlserver/errors.py", "import nlserver.store", "Import only downwards"),
        ("server/nlserver/dispatch/model.py", "import asyncio", "Deciding never waits"),
        ("server/nlserver/store.py", "import nlctl", "The engine knows nothing of the command line"),
    ],
)
def test_a_breach_is_noticed(tmp_path: Path, file: str, line: str, contract: str) -> None:
    shutil.copytree(ROOT / "server", tmp_path / "server")
    shutil.copytree(ROOT / "nlctl", tmp_path / "nlctl")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    checked = lint(tmp_path)
    broken = [row for row in checked.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(row.startswith(contract) for row in broken), checked.stdout + checked.stderr


def test_imports_are_absolute_and_name_what_they_take() -> None:
    bad = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in imports(path)
        if node.level > 0 or any(alias.name == "*" for alias in node.names)
    ]
    assert bad == []
