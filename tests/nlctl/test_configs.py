"""`nlctl config new|show|diff|explain|schema|migrate`, run as people run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from nlserver.cluster import judge, load

from nlctl.launch import ports
from nlctl.launch.templates import template
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid

SERVER = Path(sys.executable).with_name("nlserver")


# explain


def test_a_key_is_explained_from_the_code(cli: Cli) -> None:
    page = cli("config", "explain", "stores.fast_slow.fast.filesystem.eviction_policy.max_bytes").out
    assert "bytes as an integer" in page
    assert "Evict while the values held together are this large or larger." in page
    assert "  zero     A limit of 0 is off\n" in page
    assert 'example  max_bytes: "10gb"' in page


def test_an_explanation_is_a_document_and_takes_the_paths_that_validate_shows(cli: Cli) -> None:
    done = cli("config", "explain", "schedulers[0].simple.max_job_retries", "-o", "json")
    item = valid(done.document)["item"]
    assert (item["default"], item["zero"]) == ("3", "the default, 3")


def test_the_last_keys_are_enough_and_several_are_listed(cli: Cli) -> None:
    assert "drop" in cli("config", "explain", "worker_timeout_s").out
    several = valid(cli("config", "explain", "max_bytes", "-o", "json").document)["item"]["keys"]
    assert len(several) > 1


def test_the_root_and_objects_list_their_keys(cli: Cli) -> None:
    assert {"stores", "servers", "workers"} <= {
        line.split()[0] for line in cli("config", "explain").out.split("\n\n")[-1].splitlines()
    }
    assert "lz4" in cli("config", "explain", "stores.compression.compression_algorithm").out


def test_a_mistyped_path_leads_to_the_right_one(cli: Cli) -> None:
    """Statement 20: what the remedy prints works."""
    fault = valid(cli("config", "explain", "stores.filesystm.content_path", "-o", "json", code=3).fault)
    cli(*fault["fix"][0]["command"][1:])


# schema


def test_the_schema_is_printed_as_it_is_and_as_a_document(cli: Cli) -> None:
    plain = json.loads(cli("config", "schema").out)
    assert plain["$schema"].endswith("2020-12/schema")
    assert valid(cli("config", "schema", "-o", "json").document)["item"]["json_schema"] == plain


# new


@pytest.mark.parametrize("words", [(), ("--workers", "3"), ("all-in-one",), ("cache-only",)], ids=" ".join)
def test_new_configs_are_commented_and_right_for_both_programs(cli: Cli, words: tuple[str, ...]) -> None:
    item = valid(cli("config", "new", *words, "--out", "nl", "-o", "json").document)["item"]
    for name in item["files"]:
        assert (cli.home / name).read_text().startswith("//")
    for program in ("nlserver", "nativelink"):
        done = cli("config", "validate", "nl", "--deep", "--strict", "--for", program)
        assert done.out == ""
    assert item["next"][0] == "nlctl config validate --deep nl"


def test_workers_of_a_cas_that_exists_dial_it(cli: Cli) -> None:
    cli("config", "new", "--slow", "grpc://cas.corp:1234", "--out", "nl")
    assert sorted(path.name for path in (cli.home / "nl").iterdir()) == ["scheduler.json5", "worker.json5"]
    assert "grpc://${CAS_ENDPOINT:-cas.corp:1234}" in (cli.home / "nl/worker.json5").read_text()
    cli("config", "validate", "nl", "--deep", "--strict")


def test_a_dry_run_writes_nothing_and_other_files_are_not_overwritten(cli: Cli) -> None:
    """Statement 40."""
    cli("config", "new", "--out", "nl", "--dry-run")
    assert not (cli.home / "nl").exists()
    cli("config", "new", "--out", "nl")
    cli("config", "new", "--out", "nl")
    (cli.home / "nl/cas.json5").write_text("// mine\n")
    assert cli("config", "new", "--out", "nl", "-o", "json", code=7).fault["code"] == "NL-CFG-205"
    assert (cli.home / "nl/cas.json5").read_text() == "// mine\n"
    cli("config", "new", "none-such", code=2)
    cli("config", "new", "--data", '/"x"', code=2)
    cli("config", "new", "--slow", "cas", code=2)


def test_the_server_starts_from_new_configs(cli: Cli) -> None:
    chosen = ports.pick()
    listens = {
        "CAS_LISTEN": f"127.0.0.1:{chosen.cas}",
        "WORKER_API_LISTEN": f"127.0.0.1:{chosen.worker_api}",
        "SCHEDULER_ENDPOINT": f"127.0.0.1:{chosen.worker_api}",
    }
    cli("config", "new", "all-in-one", "--out", "nl", "--data", str(cli.home / "data"))
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [SERVER, "--admin-socket", "none", cli.home / "nl/all-in-one.json5"],
            env={**os.environ, **listens, "NLSERVER_READY_FD": str(writing)},
            pass_fds=(writing,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        os.close(writing)
        try:
            assert os.read(reading, 100) == b"READY=1\n"
            ran = cli("--endpoint", f"grpc://127.0.0.1:{chosen.cas}", "run", "--", "echo", "hello")
            assert ran.out == "hello\n"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    finally:
        os.close(reading)


# show, diff


def test_settings_of_nlctl_come_with_their_origin(cli: Cli) -> None:
    document = valid(
        cli("config", "show", "--origin", "-o", "json", "--instance", "main", NLCTL_PROGRESS="none").document
    )
    rows = {row["setting"]: row for row in document["items"]}
    assert (rows["instance"]["value"], rows["instance"]["origin"]) == ("main", "--instance")
    assert rows["progress"]["origin"] == "NLCTL_PROGRESS"
    assert rows["endpoint"] == {"setting": "endpoint", "value": None, "origin": "built in"}


def test_a_config_is_shown_as_it_says_and_as_it_holds(cli: Cli) -> None:
    (cli.home / "scheduler.json5").write_text(template("scheduler.json5"))
    said = {row["setting"]: row for row in cli("config", "show", "scheduler.json5", "-o", "json").document["items"]}
    path = "stores[CAS_STORE].grpc.endpoints[0].address"
    assert said[path]["value"] == "grpc://127.0.0.1:50051"
    assert said[path]["origin"] == "scheduler.json5:9"
    holds = cli("config", "show", "scheduler.json5", "--effective", "-o", "json").document["items"]
    (timeout,) = [row for row in holds if row["setting"].endswith(".simple.worker_timeout_s")]
    assert (timeout["value"], timeout["origin"]) == (5, "default")


def test_a_difference_is_one_of_meaning(cli: Cli) -> None:
    text = template("scheduler.json5")
    (cli.home / "a.json5").write_text(text)
    (cli.home / "b.json5").write_text(text.replace("simple: {", "simple: { worker_timeout_s: 5, /* as ever */"))
    assert cli("config", "diff", "a.json5", "b.json5").out == ""
    (cli.home / "b.json5").write_text(text.replace("simple: {", "simple: { worker_timeout_s: 30,"))
    document = valid(cli("config", "diff", "a.json5", "b.json5", "-o", "json", code=12).document)
    (row,) = document["items"]
    assert row["path"] == "schedulers[MAIN_SCHEDULER].cache_lookup.scheduler.simple.worker_timeout_s"
    assert (row["before"], row["after"], row["before_where"]) == (5, 30, "default")
    cli("config", "diff", "a.json5", code=2)
    (cli.home / "b.json5").write_text("{")
    assert cli("config", "diff", "a.json5", "b.json5", "-o", "json", code=13).fault["code"] == "NL-CFG-101"


def test_directories_are_compared_file_by_file(cli: Cli) -> None:
    for folder in ("a", "b"):
        (cli.home / folder).mkdir()
        (cli.home / folder / "cas.json5").write_text(template("cas.json5"))
    (cli.home / "b/worker.json5").write_text(template("worker.json5"))
    rows = cli("config", "diff", "a", "b", "-o", "json", code=12).document["items"]
    assert {row["part"] for row in rows} == {"worker.json5"}


def test_edited_files_are_compared_with_what_runs(cluster: Cli) -> None:
    assert cluster("config", "diff", "--running").out == ""
    path = next(cluster.state.glob("clusters/*/config/scheduler.json5"))
    before = path.read_text()
    path.write_text(before.replace("simple: {", "simple: { worker_timeout_s: 30,"))
    try:
        (row,) = valid(cluster("config", "diff", "--running", "-o", "json", code=12).document)["items"]
        assert (row["part"], row["before"], row["after"]) == ("scheduler", 5, 30)
    finally:
        path.write_text(before)
    assert cluster("config", "validate", "--deep", "--strict").out == ""
    shown = cluster("config", "show", "worker-1", "-o", "json").document["items"]
    assert any(row["value"] == "worker-1" for row in shown)


# migrate


def test_older_configs_are_migrated_with_a_difference_and_back(cli: Cli) -> None:
    """Statement 40."""
    path = cli.home / "old.json5"
    old = template("cas.json5").replace('[{ cas_store: "CAS_STORE" }]', '{ "": { cas_store: "CAS_STORE" } }', 1)
    path.write_text(old)
    shown = cli("config", "migrate", "old.json5", "--dry-run")
    assert '+        cas: [ { cas_store: "CAS_STORE" } ],' in shown.err
    assert path.read_text() == old
    document = valid(cli("config", "migrate", "old.json5", "-o", "json").document)
    assert document["items"][0]["written"]
    assert judge(load(path, {})) == []
    cli("config", "undo")
    assert path.read_text() == old


def test_what_migration_cannot_mend_is_said(cli: Cli) -> None:
    (cli.home / "old.json5").write_text("{stores: {S: {memory: {size: 5}}}, servers: []}")
    done = cli("config", "migrate", "old.json5", "--dry-run", "-o", "json", code=13)
    assert "size" in done.document["items"][0]["errors"][0]
    (cli.home / "old.json5").write_text("{")
    assert cli("config", "migrate", "old.json5", "-o", "json", code=13).fault["code"] == "NL-CFG-101"
