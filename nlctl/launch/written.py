"""What nlctl writes into the configs of a cluster, made again from its record: what an edit by hand is held to."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from nlctl.launch.ledger import Ledger, Record
from nlctl.launch.offers import config_text
from nlctl.launch.templates import template
from nlctl.launch.wish import members

_ISA: Final = {"x86_64": "x86-64"}


def isa() -> str:
    """What workers of this machine offer as ISA."""
    machine = os.uname().machine
    return _ISA.get(machine, machine)


def written(ledger: Ledger, record: Record) -> dict[str, str]:
    """The text of each member's config by its name, whatever stands in the files now."""
    own = Path(record.templates) if record.templates else None
    wish = replace(record.wish(ledger.data), isa=isa())
    return {one.name: config_text(one, template(one.template, own)) for one in members(wish)}
