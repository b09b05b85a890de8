"""The pages that ship with nlctl: one for each error code, help topic and command, and the schemas of documents.

Read as plain files next to this module: asking the installed distribution for its resources costs 40 ms.
"""

from __future__ import annotations

import os
from typing import Final

_HERE: Final = os.path.dirname(os.path.abspath(__file__))
CODES: Final = "pages/codes", ".md"
TOPICS: Final = "pages/topics", ".md"
HELP: Final = "pages/help", ".txt"
MAN: Final = "pages/man", ".1"
SCHEMAS: Final = "schemas", ".v1.json"
_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")

Shelf = tuple[str, str]
"""A folder, and how the names of its files end."""


def names(shelf: Shelf) -> list[str]:
    """What stands on this shelf, sorted."""
    folder, ending = shelf
    return sorted(name.removesuffix(ending) for name in os.listdir(_path(folder)) if name.endswith(ending))


def read(shelf: Shelf, name: str) -> str | None:
    """The text of one page, None when there is none of this name."""
    folder, ending = shelf
    if not name or not _LETTERS.issuperset(name):
        return None
    try:
        with open(_path(folder, name + ending), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def beside(folder: str, name: str) -> str:
    """A shipped file: in this package of a wheel, at the top of a checkout otherwise. Raises FileNotFoundError."""
    for place in (_path(folder, name), os.path.join(os.path.dirname(_HERE), folder, name)):
        if os.path.exists(place):
            with open(place, encoding="utf-8") as file:
                return file.read()
    raise FileNotFoundError(f"{folder}/{name} is missing from this installation")


def explained(code: str) -> str | None:
    """The page of an error code as people read it; the code may be in lower case."""
    page = read(CODES, code.upper())
    return None if page is None else plain(page)


def plain(page: str) -> str:
    """A page as people read it: headings without marks, paragraphs in lines of 80 columns."""
    from nlctl.wrap import reflowed

    lines = (f"{line.removeprefix('# ')}\n" if line.startswith("# ") else _heading(line) for line in page.splitlines())
    return reflowed("\n".join(lines))


def _heading(line: str) -> str:
    return f"{line.removeprefix('## ')}:\n" if line.startswith("## ") else line


def title(page: str) -> str:
    """What stands behind the name in the first line."""
    return page.partition("\n")[0].partition(": ")[2]


def sections(page: str) -> dict[str, str]:
    """The text below each heading of the second level."""
    parts = [part.partition("\n") for part in page.split("\n## ")[1:]]
    return {heading: text.strip() for heading, _, text in parts}


def _path(*words: str) -> str:
    return os.path.join(_HERE, *words)
