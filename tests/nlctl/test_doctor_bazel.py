"""`nlctl doctor bazel`, run as people run it, where no cluster is."""

from __future__ import annotations

import shlex

from tests.nlctl.buildlog.test_reading import BUILD, H, entry
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid


def test_the_first_error_its_cause_and_the_next_command_are_told(cli: Cli) -> None:
    (cli.home / "build.log").write_text(BUILD)
    said = cli("doctor", "bazel", "build.log", code=5).out
    assert "MISSING_BLOB  a blob that the build relies on is not in the CAS" in said
    assert "blob  not looked for: no cluster is running" in said
    assert f"nlctl doctor object {H}/148" in said
    assert "cache    75% of 40 came from it" in said


def test_a_log_is_a_document(cli: Cli) -> None:
    (cli.home / "grpc.log").write_bytes(entry("ActionCache/GetActionResult", 1, 5) * 30)
    item = valid(cli("doctor", "bazel", "grpc.log", "-o", "json").document)["item"]
    assert (item["kind"], item["first_error"], item["cache"]["hit_ratio"]) == ("grpc", None, 1.0)
    [calls] = item["calls"]
    assert (calls["method"], calls["count"], calls["statuses"]) == ("ActionCache/GetActionResult", 30, {"OK": 30})
    assert 4.9 < calls["p95_ms"] < 5.1


def test_an_error_is_a_document_too(cli: Cli) -> None:
    (cli.home / "build.log").write_text(BUILD)
    error = valid(cli("doctor", "bazel", "build.log", "-o", "json", code=5).document)["item"]["first_error"]
    assert (error["at"], error["digests"], error["blob"]) == (3, [f"{H}/148"], None)
    assert shlex.join(error["fix"][0]["command"]) == f"nlctl doctor object {H}/148"


def test_without_a_name_the_last_build_of_the_workspace_is_read(cli: Cli) -> None:
    """Bazel's own links lead there, as in Bazel 4.2 and 8."""
    (cli.home / "WORKSPACE").touch()
    out = cli.home / "base" / "execroot" / "__main__" / "bazel-out"
    out.mkdir(parents=True)
    (cli.home / "bazel-out").symlink_to(out)
    (cli.home / "base" / "command.log").write_text(BUILD)
    assert "base/command.log: text" in cli("doctor", "bazel", code=5).out


def test_no_build_and_no_log_are_told_apart(cli: Cli) -> None:
    assert "error[NL-BZL-106]" in cli("doctor", "bazel", code=3).err
    (cli.home / "x").write_bytes(bytes(100))
    assert "error[NL-BZL-107]" in cli("doctor", "bazel", "x", code=13).err
