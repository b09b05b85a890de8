"""Names, formats and pictures of metrics."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from nlctl.watch.catalogue import METRICS, Sample, samples
from nlctl.watch.curves import curves, drawn, picture, short
from nlctl.watch.exposition import text
from tests.nlctl.watch.test_frame import later, snapshot

NAMES = [
    "part.up",
    "part.uptime_seconds",
    "part.ailments",
    "process.cpu_seconds",
    "process.resident_bytes",
    "process.count",
    "process.restarts",
    "server.calls",
    "server.failed_calls",
    "server.received_bytes",
    "server.sent_bytes",
    "blobs.asked",
    "blobs.missing",
    "results.found",
    "results.missed",
    "cache.hit_ratio",
    "actions.finished",
    "actions.failed",
    "operations.queued",
    "operations.executing",
    "operations.oldest_seconds",
    "operations.unsatisfiable",
    "workers.connected",
    "worker.running",
    "worker.completed",
    "worker.silent_seconds",
    "store.size_bytes",
    "store.max_bytes",
    "store.values",
    "cache_type.hits",
    "cache_type.misses",
    "cache_type.read_bytes",
    "cache_type.writes",
    "cache_type.written_bytes",
    "cache_type.removals",
]


def of(name: str, found: list[Sample]) -> list[float]:
    return [one.value for one in found if one.metric.name == name]


def test_the_names_are_public_and_only_added_to() -> None:
    assert [metric.name for metric in METRICS][: len(NAMES)] == NAMES
    assert all(metric.help.endswith(".") and metric.unit for metric in METRICS)


def test_every_number_of_a_snapshot_stands_under_its_name() -> None:
    found = samples(snapshot(2))
    assert of("part.up", found) == [1, 1, 1]
    assert of("server.calls", found) == [1000]
    assert of("cache.hit_ratio", found) == [0.9]
    assert of("workers.connected", found) == [0, 2, 0, 0]
    assert of("operations.oldest_seconds", found) == [41]
    assert of("operations.unsatisfiable", found) == [1]
    assert of("store.size_bytes", found) == [1_200_000_000]


def test_the_page_for_prometheus_is_read_by_its_own_parser() -> None:
    now = snapshot(2)
    numbers = dict.fromkeys(("hits", "misses", "read_bytes", "writes", "written_bytes", "removals"), 7)
    odd = replace(now.parts[0], name='a "part"\n\\', caches={"cas": numbers})
    found = samples(replace(now, parts=[odd, *now.parts[1:]]))
    families = {family.name: family for family in text_string_to_metric_families(text(found))}
    assert len(families) == len({one.metric.name for one in found})
    calls = families["nlctl_server_calls"]
    assert (calls.type, calls.documentation) == ("counter", "Calls that were answered, in whatever way.")
    [sample] = calls.samples
    assert (sample.labels, sample.value) == ({"part": 'a "part"\n\\'}, 1000)
    assert families["nlctl_cache_type_hits"].samples[0].labels["cache_type"] == "cas"
    assert families["nlctl_cache_hit_ratio"].samples[0].value == 0.9
    assert sum(len(family.samples) for family in families.values()) == len(found)


def test_counters_are_drawn_as_what_they_grow_and_gauges_as_they_are() -> None:
    now = snapshot(1)
    made = curves([(one.moment, samples(one)) for one in (now, later(now), later(later(now)))])
    calls = next(one for one in made if one.title.startswith("server.calls"))
    assert (calls.unit, [value for _, value in calls.points]) == ("calls/s", [500, 1000])
    queued = next(one for one in made if one.title == "operations.queued")
    assert [value for _, value in queued.points] == [1, 1, 1]
    lines = drawn(made[:2], 80, 4, ascii_only=False)
    assert all(len(line) <= 80 for line in lines)
    root = ElementTree.fromstring(picture(made, "dev & co"))
    assert len(root.findall("{*}polyline")) == len(made)


def test_large_and_small_numbers_are_short() -> None:
    assert [short(value) for value in (0, 0.91666, 12.5, 1234567, 3e9)] == ["0", "0.917", "12.5", "1.23M", "3G"]
