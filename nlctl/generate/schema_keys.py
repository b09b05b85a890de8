"""Every key that documents promise, with its type: a list that only grows, so that a lost key is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from nlctl import pages
from nlctl.generate.reference import keys_of

PATH: Final = "tests/nlctl/conventions/schema_keys.txt"


def files(root: Path) -> dict[str, str]:
    """The list: what it holds already, and what schemas have gained. A line is taken out by hand alone."""
    path = root / PATH
    kept = set(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else set()
    return {PATH: "".join(f"{line}\n" for line in sorted(kept | promised()))}


def promised() -> set[str]:
    """`NAME KEY: TYPE` for each key of each schema."""
    found = set()
    for name in pages.names(pages.SCHEMAS):
        schema = json.loads(pages.read(pages.SCHEMAS, name) or "{}")
        found |= {f"{name} {key}: {kind}" for key, kind, _ in keys_of(schema)}
    return found
