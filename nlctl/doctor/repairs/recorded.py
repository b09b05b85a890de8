"""Fields of a config that were changed by hand, where the record of the cluster knows what nlctl wrote there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from nlctl.doctor.change import Change
from nlctl.doctor.finding import ADDRESSES, LIMITS, PROPERTIES, WHOLE
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.file import Rewritten
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix
from nlctl.lint.restoring import Meant, restored

_ASPECTS: Final[Mapping[str, re.Pattern[str]]] = {
    ADDRESSES: re.compile(r".*(\.endpoints\[\d+\]\.address|\.uri|\.socket_address|(^|\.)instance_name|\.store_type)"),
    LIMITS: re.compile(r".*\.eviction_policy\.max_\w+"),
    PROPERTIES: re.compile(r".*platform_properties.*"),
}


class Config(NamedTuple):
    """A part's config: its path, what it says, what nlctl wrote, and which fields are meant, the first that differ."""

    path: str
    text: str
    ours: str
    aspects: Sequence[str]


def look(ground: Ground, about: tuple[str, ...]) -> Config:
    """The config of part `about[0]`, by the aspects or config paths after it."""
    from nlctl.launch.written import written

    part, *aspects = about
    if not ground.is_here:
        raise NoRepair("its config is on another machine")
    path, ours = ground.ledger.config(part), written(ground.ledger, ground.record).get(part)
    if ours is None:
        raise NoRepair(f"the record of the cluster knows no part {part}")
    return Config(str(path), ground.text(path), ours, aspects)


def plan(config: Config) -> Sequence[Change]:
    """Write these fields as nlctl did. Raises NoRepair where they are as it wrote them."""
    after = next((text for text in _candidates(config) if text is not None and text != config.text), None)
    if after is None:
        look_at = fix("see how it differs from what runs", "nlctl", "config", "diff", "--running")
        raise NoRepair("it says what nlctl wrote there, so the cause is another", look_at)
    return [Rewritten(config.path, (config.text, after))]


def _candidates(config: Config) -> Iterator[str | None]:
    for aspect in config.aspects:
        if aspect == WHOLE:
            yield config.ours
        else:
            # How much a store keeps and what a worker offers is said in many: none is made anew for that.
            kinds = aspect not in (LIMITS, PROPERTIES)
            yield from (restored(config.text, config.ours, meant, kinds=kinds) for meant in _meant(aspect))


def _meant(aspect: str) -> Sequence[Meant]:
    """The fields of an aspect; of a config path first what is there, and then what stands beside it."""
    if pattern := _ASPECTS.get(aspect):
        return [lambda path: pattern.fullmatch(path) is not None]
    return [_inside(aspect), _inside(re.sub(r"(\.\w+|\[[^]]*\])$", "", aspect))]


def _inside(place: str) -> Meant:
    return lambda path: path == place or path.startswith((f"{place}.", f"{place}["))


REPAIR: Final = Repair(
    "recorded",
    "write fields of a config as nlctl wrote them, by the record of the cluster, and restart that part",
    "what else was edited stays, comments too; the difference is shown; undoing writes the file as it was",
    look,
    plan,
)
