"""`nlctl metrics` of a running cluster."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid
from tests.nlctl.screens import on_terminal


def test_each_number_has_a_name_labels_a_unit_and_help(cluster: Cli) -> None:
    cluster("run", "--", "true")
    found = valid(cluster("metrics", "-o", "json").document)["items"]
    by_name: dict[str, dict[str, float]] = {}
    for one in found:
        by_name.setdefault(one["name"], {})[",".join(one["labels"].values())] = one["value"]
    assert by_name["part.up"] == {"cas": 1, "scheduler": 1, "worker-1": 1, "worker-2": 1}
    assert by_name["workers.connected"]["ready"] + by_name["workers.connected"]["busy"] == 2
    assert by_name["actions.finished"]["scheduler"] >= 3
    assert by_name["blobs.asked"]["cas"] >= by_name["blobs.missing"]["cas"] > 0
    assert by_name["process.resident_bytes"]["cas"] > 1_000_000
    assert all(one["help"] and one["unit"] for one in found)


def test_names_and_their_first_words_choose_and_a_pipe_is_given_whole_values(cluster: Cli) -> None:
    rows = [line.split("\t") for line in cluster("metrics", "server", "operations.queued").out.splitlines()]
    assert {row[0].partition(".")[0] for row in rows} == {"server", "operations"}
    assert all(len(row) == 4 for row in rows)
    assert "did you mean" in cluster("metrics", "server.cals", code=2).err


def test_prometheus_reads_the_page(cluster: Cli) -> None:
    families = {family.name for family in text_string_to_metric_families(cluster("metrics", "--prom").out)}
    assert {"nlctl_server_calls", "nlctl_part_up", "nlctl_store_size_bytes"} <= families
    cluster("metrics", "--prom", "-o", "json", code=2)


def test_a_scheduler_tells_prometheus_the_same_by_itself(cluster: Cli) -> None:
    endpoints = cluster("up", "-o", "json").document["item"]["endpoints"]
    cluster("workers", "cordon", "worker-1", "worker-2")
    waiting = cluster("run", "--detach", "--no-cache", "--", "true").out.strip()
    answer = httpx.get(endpoints["worker_api"].replace("grpc://", "http://") + "/metrics", trust_env=False)
    cluster("ops", "cancel", waiting)
    cluster("workers", "uncordon", "worker-1", "worker-2")
    served = {one.name: one for one in text_string_to_metric_families(answer.text)}
    ours = {one.name: one for one in text_string_to_metric_families(cluster("metrics", "--prom").out)}
    assert [(one.type, one.documentation) for one in served.values()] == [
        (ours[name].type, ours[name].documentation) for name in served
    ]
    assert [served[f"nlctl_operations_{one}"].samples[0].value for one in ("queued", "unsatisfiable")] == [1, 0]


def test_watching_in_a_pipe_writes_a_line_of_json_for_each_look(cluster: Cli) -> None:
    watching = cluster.popen("metrics", "server.calls", "-w", "--interval", "100ms", stdout=-1)
    assert watching.stdout is not None
    looks = [valid(json.loads(watching.stdout.readline())) for _ in range(3)]
    watching.stdout.close()
    watching.terminate()
    assert watching.wait(60) in (143, 141)
    calls = [look["samples"][0]["value"] for look in looks]
    assert calls == sorted(calls)
    assert calls[0] < calls[-1]


def test_a_plot_is_drawn_here_or_into_a_file(cluster: Cli) -> None:
    quick = ("--plot", "--interval", "100ms", "--for", "300ms")
    item = valid(cluster("metrics", "server.calls", *quick, "-o", "json").document)["item"]
    assert item["curves"][0]["unit"] == "calls/s"
    drawn = cluster("metrics", "server.calls", *quick).out
    assert "server.calls{part=cas}  calls/s" in drawn
    assert any(0x2800 < ord(char) < 0x2900 for char in drawn)
    cluster("metrics", "server.calls", *quick, "calls.svg")
    root = ElementTree.parse(cluster.home / "calls.svg").getroot()
    assert root.findall("{*}polyline")


def test_watching_on_a_terminal_paints_and_ends_by_q(cluster: Cli) -> None:
    for words in (("metrics", "server", "-w"), ("metrics", "server.calls", "-w", "--plot")):
        with on_terminal(cluster, *words, "--interval", "200ms") as screen:
            screen.until(lambda text: "server.calls{part=cas}" in text)
            screen.press("q")
            assert screen.end() == 0
