"""What a repair is: what mends the cause of a finding, as changes that can be taken back.

`look` gathers facts, `plan` makes changes of them and is pure; neither changes anything. A new repair is one file of
`repairs/`, and a finding names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlctl.doctor.change import Change
from nlctl.faults import Fix

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


class NoRepair(Exception):
    """Nothing that would be safe mends it here; its text says why, `fixes` what a person can do."""

    def __init__(self, why: str, *fixes: Fix) -> None:
        super().__init__(why)
        self.fixes = fixes


@dataclass(frozen=True)
class Repair:
    """`about` is what the finding tells of its case. `look` and `plan` raise NoRepair, `look` also Fault and Error.

    `title` and `safe` are for people: what it does, and why that harms nothing.
    """

    name: str
    title: str
    safe: str
    look: Callable[[Ground, tuple[str, ...]], Any]
    plan: Callable[[Any], Sequence[Change]]
