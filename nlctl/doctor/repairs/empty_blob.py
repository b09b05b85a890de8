"""The empty blob, which every client counts on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.empty_uploaded import Uploaded
from nlctl.doctor.repair import Repair


def look(ground: Ground, about: tuple[str, ...]) -> None:
    """Nothing more need be known."""


def plan(_: None) -> Sequence[Change]:
    """Upload it."""
    return [Uploaded()]


REPAIR: Final = Repair("empty_blob", "upload the empty blob", "it stays; it harms nobody", look, plan)
