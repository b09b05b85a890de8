"""Bundles of a running cluster: what is in them, and what is not."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid
from tests.nlctl.screens import on_terminal
from tests.nlctl.support.test_redaction import TEXTS, secret


def unpacked(path: Path) -> dict[str, bytes]:
    data = path.read_bytes()
    plain = (
        gzip.decompress(data) if path.name.endswith("gz") else zstandard.ZstdDecompressor().stream_reader(data).read()
    )
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {info.name.partition("/")[2]: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def home_of(cluster: Cli) -> Path:
    return cluster.state / "clusters" / "dev"


def log(cluster: Cli, part: str, text: str) -> None:
    """A line that this part might have written."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with (home_of(cluster) / "logs" / f"{part}.log").open("ab", buffering=0) as file:
        file.write(f"{stamp} INFO {text}\n".encode())


def bundle(cluster: Cli, *words: str, **environment: str) -> dict[str, bytes]:
    path = cluster.home / "bundle.tar.zst"
    path.unlink(missing_ok=True)
    valid(cluster("support", "bundle", "-O", str(path), "-o", "json", *words, **environment).document)
    assert path.stat().st_mode & 0o777 == 0o600
    return unpacked(path)


def test_it_holds_configs_state_logs_and_what_every_part_says(cluster: Cli) -> None:
    cluster("run", "--", "true")
    files = bundle(cluster)
    parts = ("cas", "scheduler", "worker-1", "worker-2")
    assert {"MANIFEST.json", "machine.json", "processes.json", "metrics.prom", "cluster/cluster.json"} <= set(files)
    assert {f"cluster/config/{part}.json5" for part in parts} <= set(files)
    assert {f"logs/{part}.log" for part in parts} <= set(files)
    workers = json.loads(files["parts/scheduler/workers.json"])["workers"]
    assert {worker["name"] for worker in workers} == {"worker-1", "worker-2"}
    assert json.loads(files["parts/scheduler/operations.json"])["operations"]
    assert json.loads(files["parts/cas/stores.json"])["stores"]
    assert b"nlctl_part_up" in files["metrics.prom"]
    manifest = json.loads(files["MANIFEST.json"])
    assert manifest["files"] == {name: len(data) for name, data in files.items() if name != "MANIFEST.json"}
    assert not manifest["interrupted"]


def test_twenty_planted_secrets_of_all_kinds_are_not_in_it(cluster: Cli) -> None:
    """Statement 50."""
    config = home_of(cluster) / "config" / "worker-1.json5"
    before = config.read_text()
    planted: dict[str, str] = {}

    def plant(kind: str) -> str:
        planted[kind] = secret(f"planted {kind}")
        return planted[kind]

    config.write_text(
        before
        + f'// password: "{plant("config comment")}"\n'
        + f"// addresses: ['redis://me:{plant('config URL')}@10.0.0.1:6379']\n"
        + f'// "aws_secret_access_key": "{plant("config key")}"\n'
        + f"// {{credential_tokens: ['{plant('config list')}']}}\n"
        + f"// -----BEGIN PRIVATE KEY-----\n// {plant('config TLS key')}\n// -----END PRIVATE KEY-----\n"
    )
    try:
        log(cluster, "cas", f"authorization: Bearer {plant('bearer')}")
        log(cluster, "cas", f"headers {{'Authorization': 'Basic {plant('basic')}'}}")
        log(cluster, "cas", f"Cookie: session={plant('cookie')}")
        log(cluster, "cas", f"redirected to https://me:{plant('URL in a log')}@example.org/x?sig={plant('signature')}")
        log(cluster, "cas", f"wrong credentials {planted['config comment']}")
        log(cluster, "scheduler", f'payload {{"api_key": "{plant("JSON in a log")}"}}')
        log(cluster, "worker-1", f"started gcc --password {plant('command line')} -c a.c")
        log(cluster, "worker-1", f"argv ['tool', '--auth-token={plant('list of arguments')}', 'x']")
        log(cluster, "worker-1", f"env NPM_TOKEN={plant('environment of an action')} npm ci")
        log(cluster, "worker-2", f"netrc machine h login me password {plant('netrc')}")
        log(
            cluster,
            "worker-2",
            f"key follows\n-----BEGIN EC PRIVATE KEY-----\n{plant('key in a log')}\n-----END EC PRIVATE KEY-----",
        )
        log(cluster, "worker-2", f"token eyJhbGciOi.eyJzdWIiOi{plant('JWT')}.x seen, pushed with ghp_{plant('GitHub')}")
        cluster("run", "--env", f"API_TOKEN={plant('env of a real action')}", "--", "sh", "-c", "exit 3", code=3)
        environment = {"SOME_SECRET": plant("environment"), "ANYTHING": plant("nameless variable")}
        log(cluster, "supervisor", f"child printed {environment['SOME_SECRET']}")
        files = bundle(cluster, **environment)
    finally:
        config.write_text(before)
    assert len(planted) >= 20
    found = {(kind, name) for kind, value in planted.items() for name, data in files.items() if value.encode() in data}
    assert found == set()
    taken = json.loads(files["MANIFEST.json"])["redacted"]
    assert taken["key"] >= 2
    assert taken["password"] >= 2
    assert taken["env value"] >= 2
    assert b"wrong credentials [redacted]" in files["logs/cas.log"]


def test_every_kind_of_secret_in_a_log_is_taken_out_and_without_redaction_none_is(cluster: Cli) -> None:
    for text in TEXTS.values():
        log(cluster, "cas", text.replace("\n", " "))
    files = bundle(cluster)
    hidden = [word for text in TEXTS.values() for word in text.replace('"', " ").split() if len(word) == 24]
    assert all(word.encode() not in files["logs/cas.log"] for word in hidden)
    open_ = bundle(cluster, "--no-redact")
    assert TEXTS["flag"].encode() in open_["logs/cas.log"]


def test_links_and_pipes_are_not_followed(cluster: Cli, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("private words")
    made = [home_of(cluster) / "logs" / "link.log", home_of(cluster) / "config" / "link.json5"]
    pipe = home_of(cluster) / "logs" / "pipe.log"
    try:
        for link in made:
            link.symlink_to(outside)
        os.mkfifo(pipe)
        files = bundle(cluster)
    finally:
        for path in (*made, pipe):
            path.unlink(missing_ok=True)
    assert not any(b"private words" in data for data in files.values())
    assert not {"logs/link.log", "logs/pipe.log"} & set(files)


def test_logs_begin_where_it_is_asked_and_keep_their_end_where_room_is_scarce(cluster: Cli) -> None:
    path = home_of(cluster) / "logs" / "worker-9.log"
    old = "".join(f"2020-01-01T00:00:{n % 60:02d}.000Z INFO old {n} {'x' * 100}\n" for n in range(2000))
    path.write_text(old)
    try:
        for number in range(2000):
            log(cluster, "worker-9", f"new {number} {'x' * 100}")
        whole = bundle(cluster)["logs/worker-9.log"].decode().splitlines()
        assert "new 0 " in whole[0]
        assert "new 1999 " in whole[-1]
        scarce = bundle(cluster, "--max-size", "200K")
        lines = scarce["logs/worker-9.log"].decode().splitlines()
        assert 0 < len(lines) < 2000
        assert "new 1999 " in lines[-1]
        assert sum(map(len, scarce.values())) < 200_000 + len(scarce["MANIFEST.json"]) + 1
    finally:
        path.unlink()


def test_a_dry_run_names_the_files_and_writes_none(cluster: Cli) -> None:
    """Statement 40."""
    path = cluster.home / "dry.tar.zst"
    item = valid(cluster("support", "bundle", "-n", "-O", str(path), "-o", "json").document)["item"]
    assert item["dry_run"]
    assert {"machine.json", "logs/cas.log"} <= {one["name"] for one in item["files"]}
    assert not path.exists()


@pytest.mark.parametrize(("ending", "interrupted"), [(b"\n", False), (None, True)])
def test_a_recording_holds_what_happens_until_enter_or_ctrl_c(
    cluster: Cli, ending: bytes | None, interrupted: bool
) -> None:
    """Statement 50."""
    path = cluster.home / f"recorded-{interrupted}.tar.gz"
    log(cluster, "cas", "long before the recording")
    recording = cluster.popen("support", "bundle", "--record", "-O", str(path), stdin=-1, stderr=-1)
    assert recording.stdin is not None
    assert recording.stderr is not None
    assert b"Recording." in recording.stderr.readline()
    log(cluster, "cas", "reproduced")
    if ending is None:
        # Its input stays open until it has ended: the end of input would end the recording as Enter does.
        recording.send_signal(signal.SIGINT)
        recording.wait(timeout=60)
    _, said = recording.communicate(ending, timeout=60)
    assert recording.returncode == (130 if interrupted else 0), said
    files = unpacked(path)
    assert b"reproduced" in files["logs/cas.log"]
    assert b"long before" not in files["logs/cas.log"]
    assert {"before.prom", "metrics.prom"} <= set(files)
    assert json.loads(files["MANIFEST.json"])["interrupted"] is interrupted


def test_ctrl_c_while_a_part_hangs_still_writes_what_is_there(cluster: Cli) -> None:
    """Statement 50."""
    path = cluster.home / "broken-off.tar.zst"
    pid = next(one["pid"] for one in cluster("ps", "-o", "json").document["items"] if one["name"] == "worker-1")
    os.kill(pid, signal.SIGSTOP)
    try:
        with on_terminal(cluster, "support", "bundle", "-O", str(path)) as screen:
            screen.until(lambda text: "parts/worker-1" in text)
            screen.press("\x03")
            assert screen.end() == 130
            assert "interrupted" in screen.text
    finally:
        os.kill(pid, signal.SIGCONT)
    files = unpacked(path)
    assert json.loads(files["MANIFEST.json"])["interrupted"] is True
    assert "machine.json" in files
    assert "logs/cas.log" not in files


def test_show_tells_what_a_bundle_holds_without_unpacking_it(cluster: Cli) -> None:
    log(cluster, "cas", "ERROR of a test")
    bundle(cluster)
    item: Any = valid(cluster("support", "show", "bundle.tar.zst", "-o", "json").document)["item"]
    assert item["cluster"] == "dev"
    assert item["needs_attention"] == []
    assert next(one for one in item["logs"] if one["name"] == "cas.log")["errors"] >= 1
    assert {"machine.json", "MANIFEST.json"} <= {one["name"] for one in item["files"]}
    assert "Bundle of cluster dev" in cluster("support", "show", "bundle.tar.zst").out


@pytest.mark.parametrize("data", [b"", b"no archive", gzip.compress(b"no tar", mtime=0), zstandard.compress(b"no tar")])
def test_what_is_no_bundle_is_said_to_be_none(cli: Cli, data: bytes) -> None:
    (cli.home / "wrong").write_bytes(data)
    assert cli("support", "show", "wrong", "-o", "json", code=13).fault["code"] == "NL-SUP-101"
    assert cli("support", "show", "absent", "-o", "json", code=2).fault["exit"] == 2


def test_a_stopped_cluster_has_a_bundle_too_and_no_cluster_none(cli: Cli) -> None:
    cli("up", "--workers", "1", "--base-port", "auto")
    cli("down")
    cli("support", "bundle", "-O", "b.tar.gz")
    files = unpacked(cli.home / "b.tar.gz")
    assert {"cluster/config/cas.json5", "logs/cas.log", "machine.json"} <= set(files)
    cli("down", "--all", "--wipe", "--yes", code=None)
    cli("support", "bundle", code=4)
