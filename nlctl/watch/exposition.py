"""Samples in the text format of Prometheus (version 0.0.4). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from nlctl.watch.catalogue import Metric, Sample


def text(samples: Sequence[Sample]) -> str:
    """The whole page: the samples of one metric stand together below its HELP and TYPE."""
    lines: list[str] = []
    for metric in dict.fromkeys(sample.metric for sample in samples):
        name = _name(metric)
        lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
        lines += [f"{name}{_labels(one)} {_number(one.value)}" for one in samples if one.metric is metric]
    return "".join(f"{line}\n" for line in lines)


def _name(metric: Metric) -> str:
    return f"nlctl_{metric.name.replace('.', '_')}{'_total' if metric.kind == 'counter' else ''}"


def _labels(sample: Sample) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
