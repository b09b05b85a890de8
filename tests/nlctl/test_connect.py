"""`nlctl connect`, and `nlctl bazelrc` with its check."""

from __future__ import annotations

import configparser
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from nlctl import clients
from nlctl.bazelrc import Chain, judged
from nlctl.clients.client import Client, Server
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid

PLAIN = Server("grpc://cas.corp:50051", "grpc://build.corp:50052", "main")
SECURE = Server(
    "grpcs://cas.corp:443", "grpcs://build.corp:443", "", "/ca.pem", "/me.pem", "/me.key", "/run/secrets/token"
)
EVERYWHERE = ("--endpoint", "grpc://127.0.0.1:50052", "--instance", "main")


def _all(made: Client) -> str:
    return "\n".join([*made.arguments, *(f"{k}={v}" for k, v in made.environment.items()), made.text])


@pytest.mark.parametrize("name", clients.NAMES)
def test_every_client_is_told_both_addresses_and_the_instance(name: str) -> None:
    told = _all(clients.client(name, PLAIN))
    # moon executes nothing remotely.
    assert "build.corp:50052" in told or name == "moon"
    assert "cas.corp:50051" in told
    assert "main" in told


@pytest.mark.parametrize("name", clients.NAMES)
def test_every_client_is_told_whom_to_trust_and_no_token(name: str) -> None:
    made = clients.client(name, SECURE)
    assert "/ca.pem" in _all(made)
    assert "no_security" not in _all(made)
    assert "insecure" not in _all(made)
    assert "/run/secrets/token" in _all(made) + "".join(made.notes)


def test_files_are_in_the_language_of_their_client() -> None:
    buck = configparser.ConfigParser()
    buck.read_string(clients.client("buck2", PLAIN).text)
    assert buck["buck2_re_client"]["engine_address"] == "grpc://build.corp:50052"
    assert buck["buck2_re_client"]["tls"] == "false"
    pants = tomllib.loads(clients.client("pants", PLAIN).text)["GLOBAL"]
    assert pants["remote_execution"] is True
    assert pants["remote_store_address"] == "grpc://cas.corp:50051"
    stream = yaml.safe_load(clients.client("buildstream", SECURE).text)
    assert stream["artifacts"]["servers"][0]["auth"]["server-cert"] == "/ca.pem"
    moon = yaml.safe_load(clients.client("moon", SECURE).text)["remote"]
    assert moon["mtls"] == {"caCert": "/ca.pem", "clientCert": "/me.pem", "clientKey": "/me.key"}
    assert moon["cache"]["instanceName"] == ""
    services = stream["remote-execution"]
    assert set(services) == {"execution-service", "storage-service", "action-cache-service"}


@pytest.mark.parametrize("name", clients.NAMES)
def test_what_a_client_needs_is_a_document(cli: Cli, name: str) -> None:
    item = valid(cli(*EVERYWHERE, "connect", name, "-o", "json").document)["item"]
    assert item["client"] == name
    assert item["command"]


def test_variables_are_lines_for_a_shell(cli: Cli) -> None:
    lines = cli(*EVERYWHERE, "connect", "recc", "-q").out
    shell = subprocess.run(["sh", "-ec", lines + "\necho $RECC_SERVER"], capture_output=True, text=True, check=True)
    assert shell.stdout == "http://127.0.0.1:50052\n"


def test_an_unknown_client_is_a_usage_error(cli: Cli) -> None:
    assert "buildstream" in cli(*EVERYWHERE, "connect", "make", code=2).err


# bazelrc


@pytest.fixture
def workspace(cli: Cli) -> Path:
    (cli.home / "MODULE.bazel").touch()
    return cli.home


def _check(cli: Cli, code: int | None = None) -> list[dict[str, Any]]:
    done = cli(*EVERYWHERE, "bazelrc", "--check", "-o", "json", code=code)
    items: list[dict[str, Any]] = valid(done.document)["items"]
    return items


def test_lines_are_written_imported_and_then_agree(cli: Cli, workspace: Path) -> None:
    assert [one["id"] for one in _check(cli, 13)] == ["NL-BZL-101"]
    cli(*EVERYWHERE, "bazelrc", "--write", "--dry-run")
    assert not (workspace / ".bazelrc.nlctl").exists()
    cli(*EVERYWHERE, "bazelrc", "--write")
    assert not (workspace / ".bazelrc").exists()
    assert [one["what"] for one in _check(cli, 13)] == ["no .bazelrc imports .bazelrc.nlctl"]
    (workspace / ".bazelrc").write_text("build --jobs=4")
    cli(*EVERYWHERE, "bazelrc", "--write", "--yes")
    assert (workspace / ".bazelrc").read_text() == "build --jobs=4\ntry-import %workspace%/.bazelrc.nlctl\n"
    assert _check(cli, 0) == []
    cli("config", "undo")
    assert (workspace / ".bazelrc").read_text() == "build --jobs=4"


def test_lines_for_another_cluster_are_outdated(cli: Cli, workspace: Path) -> None:
    cli("--endpoint", "grpc://other:1", "bazelrc", "--write", "--yes")
    assert [one["id"] for one in _check(cli, 13)] == ["NL-BZL-102"]


@pytest.mark.parametrize(
    ("line", "id_", "severity"),
    [
        ("build --remote_cache=grpc://10.0.0.9:9092", "NL-BZL-103", "warning"),
        ("build:nl --remote_executor=grpc://10.0.0.9:9092", "NL-BZL-103", "error"),
        ("build:nl --remote_instance_name other", "NL-BZL-103", "error"),
        ("build --noremote_accept_cached", "NL-BZL-104", "warning"),
        ("common --jobs=3 --remote_local_fallback", "NL-BZL-104", "warning"),
        ("startup --digest_function=MD5", "NL-BZL-108", "warning"),
        ("import %workspace%/gone.bazelrc", "NL-BZL-105", "error"),
        ("build --define='open", "NL-BZL-105", "error"),
    ],
)
def test_a_line_that_does_not_go_with_the_cluster_is_named(
    cli: Cli, workspace: Path, line: str, id_: str, severity: str
) -> None:
    cli(*EVERYWHERE, "bazelrc", "--write", "--yes")
    with (workspace / ".bazelrc").open("a") as file:
        file.write(line + "\n")
    (one,) = _check(cli)
    assert (one["id"], one["severity"], one["file"], one["line"]) == (id_, severity, ".bazelrc", 2)
    text = cli(*EVERYWHERE, "bazelrc", "--check", code=None).out
    assert text.startswith(f".bazelrc:2:{one['column']}  ")


def test_other_configs_and_equal_values_are_left_alone(cli: Cli, workspace: Path) -> None:
    cli(*EVERYWHERE, "bazelrc", "--write", "--yes")
    with (workspace / ".bazelrc").open("a") as file:
        file.write("build:ci --remote_cache=grpc://ci:1\nbuild --remote_cache=grpc://127.0.0.1:50052 \\\n  --jobs=3\n")
    assert _check(cli, 0) == []


def test_imports_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / ".bazelrc").write_text("import %workspace%/tools/a.bazelrc\n")
    (tmp_path / "tools/a.bazelrc").write_text("build --remote_cache=grpc://x:1\nimport %workspace%/.bazelrc\n")
    chain = Chain(tmp_path)
    chain.read(tmp_path / ".bazelrc")
    assert [path.name for path in chain.files] == [".bazelrc", "a.bazelrc"]
    found = judged(chain, ["build:nl --remote_cache=grpc://y:1"], "nl")
    assert {(one.id, one.place.file, one.place.line) for one in found} == {
        ("NL-BZL-105", "tools/a.bazelrc", 2),
        ("NL-BZL-101", ".bazelrc.nlctl", 0),
        ("NL-BZL-103", "tools/a.bazelrc", 1),
    }


def test_the_flags_of_connect_are_those_of_bazelrc(cli: Cli) -> None:
    flags = cli(*EVERYWHERE, "connect", "bazel", "-o", "json").document["item"]["arguments"]
    lines = cli(*EVERYWHERE, "bazelrc").out.splitlines()[1:]
    assert [shlex.split(line)[1] for line in lines] == flags
