"""All generated files together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from nlctl.generate import (
    completions,
    deployments,
    doctor_page,
    error_texts,
    help_pages,
    man_pages,
    reference,
    schema_keys,
)

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout: files are generated there and nowhere else."""
_OWNED: Final = ("nlctl/pages/help/*.txt", "nlctl/pages/man/*.1")
"""Where nothing stands but what is generated."""


def wanted() -> dict[str, str]:
    """Every path in the repository that is generated, and its text."""
    rooms = (help_pages, completions, deployments, doctor_page, error_texts, man_pages, reference)
    made = {name: text for room in rooms for name, text in room.files().items()}
    return {**made, **schema_keys.files(ROOT)}


def stale(files: Mapping[str, str]) -> Iterator[str]:
    """The paths whose file is absent, differs, or should not be there."""
    for name, text in files.items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield name
    for pattern in _OWNED:
        for path in sorted(ROOT.glob(pattern)):
            if (name := path.relative_to(ROOT).as_posix()) not in files:
                yield name
