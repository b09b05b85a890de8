"""Samples in the text format of Prometheus. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from nlserver import exposition
from nlserver.exposition import Family

from nlctl.watch.catalogue import Sample


def text(samples: Sequence[Sample]) -> str:
    """The whole page."""
    return exposition.text(
        Family(
            metric.name,
            metric.kind,
            metric.help,
            [(sample.labels, sample.value) for sample in samples if sample.metric is metric],
        )
        for metric in dict.fromkeys(sample.metric for sample in samples)
    )
