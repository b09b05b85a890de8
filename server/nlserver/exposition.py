"""Numbers in the text format of Prometheus (version 0.0.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Family:
    """The values of one metric by their labels. `name` is dotted: `operations.queued`; `kind` is gauge or counter."""

    name: str
    kind: str
    help: str
    values: Sequence[tuple[Mapping[str, str], float]]


def text(families: Iterable[Family]) -> str:
    """The whole page: the values of one metric stand together below its HELP and TYPE."""
    lines: list[str] = []
    for one in families:
        name = f"nlctl_{one.name.replace('.', '_')}{'_total' if one.kind == 'counter' else ''}"
        lines += [f"# HELP {name} {one.help}", f"# TYPE {name} {one.kind}"]
        lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in one.values]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
