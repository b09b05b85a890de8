"""`nlctl bench` against a real server: every line in its shortest form."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nlctl.conftest import Cli

CONFIG = """{
  stores: [
    { name: "CAS", memory: { eviction_policy: { max_bytes: "500mb" } } },
    { name: "AC", memory: {} },
  ],
  servers: [
    { listener: { http: { socket_address: "127.0.0.1:0" } }, services: SERVICES },
  ],
}"""
ALL = '{ cas: [{ cas_store: "CAS" }], ac: [{ ac_store: "AC" }], bytestream: [{ cas_store: "CAS" }], capabilities: [] }'
SHORT = ("--duration", "50ms", "--rounds", "2", "-o", "json")
NUMBERS = ("value", "client_cpu_us", "server_cpu_us", "of_bare")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _serving(tmp_path_factory.mktemp("server"), ALL)


@pytest.fixture(scope="module")
def without_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    services = '{ cas: [{ cas_store: "CAS" }], bytestream: [{ cas_store: "CAS" }], capabilities: [] }'
    yield from _serving(tmp_path_factory.mktemp("server"), services)


def _serving(folder: Path, services: str) -> Iterator[str]:
    config = folder / "server.json5"
    config.write_text(CONFIG.replace("SERVICES", services))
    process = subprocess.Popen([sys.executable, "-m", "nlserver", str(config)], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = next(filter(None, (re.search(r"Ready, listening on (\S+)", line) for line in process.stderr)))
        yield f"grpc://{found[1]}"
    finally:
        process.kill()
        process.communicate()


def test_every_line_is_measured_beside_bare_grpc(cli: Cli, server: str) -> None:
    # The large ones take long where others use the machine too; they are tested by their size below.
    some = [word for name in ("find-1", "batch-*", "read-1KiB", "write-1KiB", "ac-get") for word in ("--line", name)]
    document = cli("bench", "cas", "ac", "--target", f"here={server}", *some, *SHORT).document
    assert document["schema"] == "nlctl.bench/v1"
    assert document["machine"]["cores"] == os.cpu_count()
    assert document["effort"]["rounds"] == 2
    ours = [item for item in document["items"] if item["target"] == "here"]
    bare = [item for item in document["items"] if item["bare"]]
    assert [item["line"] for item in ours] == [item["line"] for item in bare]
    assert len({item["line"] for item in ours}) == len(ours) == 6
    for item in document["items"]:
        assert (item["cannot"], item["errors"], item["note"]) == (None, {}, None), item
        assert item["calls"] > 0
        assert len(item["rounds"]) == 2
        assert all(item[name] > 0 for name in NUMBERS), item


def test_one_size_and_a_number_of_calls_can_be_asked_for(cli: Cli, server: str) -> None:
    words = ("--target", server, "--size", "2MiB", "--count", "3", "-j", "2", *SHORT)
    items = cli("bench", "cas", *words).document["items"]
    assert [item["line"] for item in items if not item["bare"]] == ["read-2MiB", "write-2MiB"]
    assert {item["calls"] for item in items} == {6}
    assert all(item["bytes_per_second"] == pytest.approx(item["value"] * 2**21, rel=0.5) for item in items)


def test_what_a_server_lacks_is_said_and_the_others_are_measured(cli: Cli, server: str, without_cache: str) -> None:
    targets = ("--target", f"with={server}", "--target", f"without={without_cache}")
    items = cli("bench", "ac", *targets, *SHORT).document["items"]
    assert all(item["value"] for item in items if item["target"] != "without")
    lacking = [item for item in items if item["target"] == "without"]
    assert all("UNIMPLEMENTED" in item["cannot"] and item["value"] is None for item in lacking)
    assert [item["line"] for item in lacking] == ["ac-get", "ac-miss", "ac-put"]


def test_a_result_is_kept_drawn_and_compared_with_the_next(cli: Cli, server: str, tmp_path: Path) -> None:
    words = ("bench", "ac", "--line", "ac-get", "--target", server, "--duration", "50ms")
    cli(*words, "--save", "main", "--plot", str(tmp_path / "main.svg"))
    assert (tmp_path / "main.svg").read_text().startswith("<svg")
    [ours, _] = cli(*words, "--compare", "main", "--max-regress", "99%", "-o", "json").document["items"]
    assert ours["was"] > 0
    assert ours["regressed"] is False
    kept = cli.state / "bench" / "main.json"
    document = json.loads(kept.read_text())
    for item in document["items"]:
        item["of_bare_rounds"] = [share * 1000 for share in item["of_bare_rounds"]]
    kept.write_text(json.dumps(document))
    done = cli(*words, "--compare", "main", "-o", "json", code=5)
    assert done.fault["code"] == "NL-BEN-103"
    assert done.document["items"][0]["regressed"] is True


def test_a_result_to_compare_with_must_be_there(cli: Cli, server: str) -> None:
    done = cli("bench", "ac", "--target", server, "--compare", "none", "-o", "json", code=3)
    assert done.fault["code"] == "NL-BEN-101"


@pytest.mark.slow
def test_every_suite_runs_on_a_cluster(cluster: Cli) -> None:
    words = ("--duration", "100ms", "--rounds", "1", "--blobs", "100", "-o", "json")
    ran = cluster.popen("bench", "cas", "ac", "exec", "mix", "startup", *words, stdout=subprocess.PIPE)
    out, _ = ran.communicate(timeout=600)
    assert ran.returncode == 0
    items = json.loads(out)["items"]
    assert {item["suite"] for item in items} == {"cas", "ac", "exec", "mix", "startup"}
    assert [item for item in items if item["cannot"] or item["errors"] or not item["value"]] == []


def test_it_is_unsupported_where_no_line_can_be_measured(cli: Cli, without_cache: str) -> None:
    done = cli("bench", "ac", "--target", without_cache, *SHORT, code=10)
    assert "Traceback" not in done.err


def test_a_server_that_is_not_there_is_unreachable(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = cli("bench", "cas", "--target", f"grpc://127.0.0.1:{port}", "-o", "json", code=4)
    assert done.fault["code"] == "NL-NET-101"


@pytest.mark.parametrize(
    "words",
    [
        ("everything",),
        ("cas", "--target", "a=grpc://127.0.0.1:1", "--target", "a=grpc://127.0.0.1:2"),
        ("cas", "--target", "bare=grpc://127.0.0.1:1"),
        ("cas", "--target", "gopher://127.0.0.1:1"),
        ("cas", "--line", "none-*", "--target", "grpc://127.0.0.1:1"),
        ("ac", "--max-regress", "2", "--target", "grpc://127.0.0.1:1"),
        ("cas", "--size", "tiny", "--target", "grpc://127.0.0.1:1"),
    ],
)
def test_wrong_words_are_a_mistake_of_the_caller(cli: Cli, words: tuple[str, ...]) -> None:
    cli("bench", *words, code=2)
