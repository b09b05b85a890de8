"""The rules by their IDs, and the marks by which tests name them. Read from `rules.toml`, the one place for it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent

rule: Final = pytest.mark.rule
"""`@rule("FMB-01")`: this test proves the rule, on any server; several IDs where it proves several.

`refused=True` says that our own server fails it on purpose, see `[refused]` in `rules.toml`.
"""
departure: Final = pytest.mark.departure
"""`@departure("QWS-02")`: this test proves what our own server answers instead, see `[refused]` in `rules.toml`."""


@dataclass(frozen=True)
class Departure:
    """What we answer otherwise on purpose, and the page of `server/decisions/` with the reason."""

    answer: str
    page: str


@dataclass(frozen=True)
class Catalogue:
    """`titles` by section and `rules` by ID, both in the order of the report; the rest by ID."""

    titles: Mapping[str, str]
    rules: Mapping[str, str]
    not_applicable: Mapping[str, str]
    """Rules that no test could prove, with the reason."""
    not_offered: Mapping[str, str]
    """Rules that are about something which our own server does not offer, with the reason."""
    refused: Mapping[str, Departure]


def section_of(rule_id: str) -> str:
    """`FMB` of `FMB-01`."""
    return rule_id.partition("-")[0]


def load() -> Catalogue:
    """The catalogue as it stands in `rules.toml`."""
    document = tomllib.loads((HERE / "rules.toml").read_text())
    sections = document["sections"]
    return Catalogue(
        titles={name: section["title"] for name, section in sections.items()},
        rules={rule_id: text for section in sections.values() for rule_id, text in section["rules"].items()},
        not_applicable=document["not_applicable"],
        not_offered=document["not_offered"],
        refused={rule_id: Departure(**entry) for rule_id, entry in document["refused"].items()},
    )


CATALOGUE: Final = load()
