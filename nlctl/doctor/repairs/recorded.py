"""Fields of a config that were changed by hand, where the record of the cluster knows what nlctl wrote there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.finding import ADDRESSES, PROPERTIES, WHOLE
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.file import Rewritten
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix
from nlctl.lint.repair import lacks, restored

_ASPECTS: Final[Mapping[str, re.Pattern[str]]] = {
    ADDRESSES: re.compile(r".*(\.endpoints\[\d+\]\.address|\.uri|\.socket_address|(^|\.)instance_name|\.store_type)"),
    PROPERTIES: re.compile(r".*platform_properties.*"),
    WHOLE: re.compile(r".*"),
}


class Config(NamedTuple):
    """A part's config: its path, what it says, what nlctl wrote, and which fields are meant."""

    path: str
    text: str
    ours: str
    aspect: str


def look(ground: Ground, about: tuple[str, ...]) -> Config:
    """The config of part `about[0]`, by the aspect `about[1]` or the config path that it is."""
    from nlctl.launch.written import written

    part, aspect = about
    path, ours = ground.ledger.config(part), written(ground.ledger, ground.record).get(part)
    if ours is None:
        raise NoRepair(f"the record of the cluster knows no part {part}")
    return Config(str(path), ground.text(path), ours, aspect)


def plan(config: Config) -> Sequence[Change]:
    """Write these fields as nlctl did. Raises NoRepair where they are as it wrote them."""
    meant = _meant(config.aspect)
    # A store that was taken out has no field to correct: then the file as a whole is what nlctl wrote.
    whole = config.aspect == WHOLE or lacks(config.text, config.ours, meant)
    after = config.ours if whole else restored(config.text, config.ours, meant)
    if after is None or after == config.text:
        look_at = fix("see how it differs from what runs", "nlctl", "config", "diff", "--running")
        raise NoRepair("it says what nlctl wrote there, so the cause is another", look_at)
    return [Rewritten(config.path, (config.text, after))]


def _meant(aspect: str) -> Callable[[str], bool]:
    pattern = _ASPECTS.get(aspect)
    return (lambda path: pattern.fullmatch(path) is not None) if pattern else (lambda path: path == aspect)


REPAIR: Final = Repair(
    "recorded",
    "write fields of a config as nlctl wrote them, by the record of the cluster, and restart that part",
    "what else was edited stays, unless a whole store was taken out; the difference is shown; undo writes it as it was",
    look,
    plan,
)
