"""What the source of nlctl says to people, read off its syntax trees: failures, and every command that it prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
STAND_IN = "1"
"""Where the source has a variable: it is good as a name, a number, a path and a digest's first digits alike."""


@dataclass(frozen=True)
class Failure:
    """One place that makes a Fault."""

    where: str
    kind: str
    message: str
    has_fix: bool


def failures() -> Iterator[Failure]:
    """Every `Fault(...)` of nlctl whose kind stands there by its name."""
    for where, node in _calls("Fault"):
        if node.args and isinstance(node.args[0], ast.Name | ast.Attribute):
            kind = node.args[0].attr if isinstance(node.args[0], ast.Attribute) else node.args[0].id
            fixes = next((word.value for word in node.keywords if word.arg == "fixes"), None)
            empty = fixes is None or (isinstance(fixes, ast.List) and not fixes.elts)
            message = ast.unparse(node.args[1]) if len(node.args) > 1 else ""
            yield Failure(where, kind, message, not empty)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command that the code prints as words, with stand-ins for what only the moment knows."""
    for where, node in _nodes():
        words = node.args[1:] if isinstance(node, ast.Call) and _name(node) == "fix" else []
        if isinstance(node, ast.Tuple):
            words = node.elts
        # Behind a variable the command itself is known only at the moment.
        if [isinstance(one, ast.Constant) for one in words[:2]] == [True, True] and _word(words[0]) == "nlctl":
            yield where, [_word(one) for one in words[1:]]


def _word(node: ast.expr) -> str:
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(str(one.value) if isinstance(one, ast.Constant) else STAND_IN for one in node.values)
    return STAND_IN


def _calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    return ((where, node) for where, node in _nodes() if isinstance(node, ast.Call) and _name(node) == name)


def _name(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _nodes() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted((ROOT / "nlctl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node
