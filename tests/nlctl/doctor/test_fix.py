"""`nlctl doctor --fix` on a real cluster into which a fault was put, and `nlctl doctor undo`: broken as before."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nlctl.conftest import Cli, items, until
from tests.nlctl.doctor.test_doctor import findings, ports
from tests.nlctl.doctor.test_object import put, stored, verdict
from tests.nlctl.documents import valid

pytestmark = pytest.mark.slow


def fix(cli: Cli, *words: str, code: int | None = 0) -> Any:
    return valid(cli("doctor", *words, "--fix", "--yes", "-o", "json", code=code).document)["item"]


def undo(cli: Cli, *words: str, code: int | None = 0) -> Any:
    return valid(cli("doctor", "undo", *words, "--yes", "-o", "json", code=code).document)["item"]


def fixes(cli: Cli) -> set[str]:
    return {one.parent.name for one in (cli.state / "fixes").glob("*/fix.json")}


def home(cli: Cli) -> Path:
    return cli.state / "clusters" / "dev"


def pids(cli: Cli) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in items(cli, "ps")}


@pytest.fixture(scope="module")
def elsewhere(cluster: Cli) -> Iterator[int]:
    """The port of another cluster's CAS."""
    cluster("up", "--name", "other", "--workers", "0", "--base-port", "auto")
    cluster("context", "use", "dev")
    yield ports(cluster, "other")["cas"]
    cluster("down", "--name", "other", "--wipe", "--yes")


@pytest.fixture
def split(cluster: Cli, elsewhere: int) -> Iterator[Path]:
    """The config of worker-2, which reads from another CAS, and says something else of its own, too."""
    path = home(cluster) / "config" / "worker-2.json5"
    before = path.read_text()
    path.write_text(before.replace(str(ports(cluster)["cas"]), str(elsewhere)) + "// mine\n")
    cluster("restart", "worker-2")
    yield path
    if path.read_text() != before:
        path.write_text(before)
        cluster("restart", "worker-2")


PARTS = ("--check", "NLD-PRC-01")
SHARING = ("--check", "NLD-SHR-01")


def failed(cli: Cli, *words: str) -> set[str]:
    """The checks that fail; one that is unknown because the machine is busy does not."""
    return {one["id"] for one in findings(cli, "doctor", *words, code=None) if one["status"] == "failed"}


def test_a_worker_that_reads_from_another_cas_is_led_back_and_undo_leads_it_away(cluster: Cli, split: Path) -> None:
    """Statement 46."""
    broken = split.read_text()
    others = {name: pid for name, pid in pids(cluster).items() if name != "worker-2"}
    done = fix(cluster, "sharing", "config")
    assert "NLD-SHR-01" in {one["check"] for one in done["mends"]}
    assert all(one["is_well"] for one in done["mends"])
    assert [one["kind"] for one in done["changes"]] == ["file", "parts_restarted"]
    assert str(ports(cluster)["cas"]) in done["changes"][0]["diff"]
    assert split.read_text().endswith("// mine\n"), "what else was edited stays"
    assert failed(cluster, "sharing", "config") == set()
    assert {name: pids(cluster)[name] for name in others} == others, "only the part of that config started anew"
    fixed = split.read_text()
    split.write_text(fixed + "// later\n")
    assert cluster("doctor", "undo", "--yes", "-o", "json", code=7).fault["code"] == "NL-DOC-102"
    assert split.read_text() == fixed + "// later\n", "what somebody wrote since is not lost"
    split.write_text(fixed)
    assert undo(cluster, done["id"])["restarted"] == ["worker-2"]
    assert split.read_text() == broken, "byte for byte"
    assert failed(cluster, *SHARING) == {"NLD-SHR-01"}


def test_nothing_is_changed_by_a_dry_run_nor_where_nobody_can_be_asked(cluster: Cli, split: Path) -> None:
    """Statements 40 and 41."""
    broken, before = split.read_text(), fixes(cluster)
    shown = cluster("doctor", *SHARING, "--fix", "--dry-run", code=5)
    assert f'+            endpoints: [{{ address: "grpc://127.0.0.1:{ports(cluster)["cas"]}" }}],' in shown.err
    assert "this was a dry run" in shown.out
    assert cluster("doctor", *SHARING, "--fix", "-o", "json", code=2).fault["code"] == "NL-USE-104"
    assert split.read_text() == broken
    assert fixes(cluster) == before


def kept(cli: Cli) -> dict[str, bytes]:
    """All files of the user by their paths, but for logs, sockets, and the stores' own tables."""
    found = (path for path in cli.home.rglob("*") if path.is_file() and not {"logs", "run"} & {*path.parts})
    return {str(path): path.read_bytes() for path in found if not path.name.startswith(".")}


def test_without_fix_nothing_is_changed_but_for_probe_blobs(cluster: Cli, split: Path, tmp_path: Path) -> None:
    """Statement 47, with all to mend that there is: a wrong config, a forgotten worker, a blob that is damaged."""
    digest = put(cluster, tmp_path)
    stored(cluster, digest).chmod(0o644)
    stored(cluster, digest).write_bytes(secrets.token_bytes(100))
    cluster("workers", "cordon", "worker-1")
    before, running = kept(cluster), pids(cluster)
    blobs, results = len(items(cluster, "cas", "ls")), len(items(cluster, "ac", "ls"))
    assert "NLD-SHR-01" in failed(cluster)
    verdict(cluster, digest)
    after = kept(cluster)
    assert {path: after.get(path) for path in before} == before, "every file is as it was, the damaged blob as well"
    added = [path.removeprefix(f"{home(cluster)}/") for path in after.keys() - before.keys()]
    assert {path.split("/")[0] for path in added} <= {"data"}, "what came is in stores"
    assert len(items(cluster, "cas", "ls")) > blobs
    assert len(items(cluster, "ac", "ls")) > results
    assert pids(cluster) == running
    assert {one["name"]: one["state"] for one in items(cluster, "workers", "ls")}["worker-1"] == "draining"
    cluster("workers", "uncordon", "worker-1")
    cluster("cas", "rm", digest, "--yes")


def test_the_lines_for_bazel_are_written_for_this_cluster_and_undo_writes_the_old_ones(cluster: Cli) -> None:
    (cluster.home / "MODULE.bazel").touch()
    (cluster.home / ".bazelrc").write_text("try-import %workspace%/.bazelrc.nlctl\n")
    lines = cluster.home / ".bazelrc.nlctl"
    cluster("bazelrc", "--write")
    ours = lines.read_bytes()
    theirs = ours.replace(str(ports(cluster)["cas"]).encode(), b"1").replace(b"\n", b"\r\n")
    lines.write_bytes(theirs)
    done = fix(cluster, "--check", "NLD-CLI-01")
    assert [(one["check"], one["is_well"]) for one in done["mends"]] == [("NLD-CLI-01", True)]
    assert lines.read_bytes() == ours
    undo(cluster, done["id"])
    assert lines.read_bytes() == theirs, "byte for byte"


def test_a_cas_with_another_instance_name_has_the_old_one_again_and_undo_renames_it(cluster: Cli) -> None:
    path = home(cluster) / "config" / "cas.json5"
    before = path.read_text()
    named = before.replace("capabilities: []", 'capabilities: [{ instance_name: "team" }]')
    for store in ("cas_store", "ac_store"):
        named = named.replace(f"[{{ {store}:", f'[{{ instance_name: "team", {store}:')
    path.write_text(named)
    cluster("restart", "cas")
    try:
        done = fix(cluster, "--check", "NLD-API-01")
        assert [(one["check"], one["is_well"]) for one in done["mends"]] == [("NLD-API-01", True)]
        assert path.read_text() == named.replace('"team"', '""'), "as little as is needed"
        assert undo(cluster, done["id"])["restarted"] == ["cas"]
        assert path.read_text() == named
        assert failed(cluster, "--check", "NLD-API-01") == {"NLD-API-01"}
    finally:
        path.write_text(before)
        cluster("restart", "cas")


def test_there_is_nothing_to_undo_where_nothing_was_repaired(cli: Cli) -> None:
    assert cli("doctor", "undo", "-o", "json", code=3).fault["code"] == "NL-DOC-101"


def test_wrong_bytes_are_set_aside_and_the_blob_comes_from_a_worker_and_undo_puts_them_back(
    cluster: Cli, tmp_path: Path
) -> None:
    digest = put(cluster, tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "blob").rename(tmp_path / "in" / "blob")
    cluster("run", "--input", str(tmp_path / "in"), "--", "/bin/cat", "blob")
    path = stored(cluster, digest)
    right, wrong = path.read_bytes(), secrets.token_bytes(100)
    path.chmod(0o644)
    path.write_bytes(wrong)
    done = fix(cluster, "object", digest)
    assert [(one["check"], one["is_well"]) for one in done["mends"]] == [("CORRUPT", True)]
    assert path.read_bytes() == right
    assert verdict(cluster, digest, code=0)["verdict"] == "PRESENT"
    undo(cluster)
    assert path.read_bytes() == wrong
    assert verdict(cluster, digest, code=9)["verdict"] == "CORRUPT"
    fix(cluster, "object", digest)


def begun(cli: Cli) -> Callable[[], bool]:
    before = fixes(cli)
    return lambda: fixes(cli) != before


def written(cli: Cli) -> Callable[[], bool]:
    path = home(cli) / "config" / "worker-2.json5"
    broken = path.read_text()
    return lambda: path.read_text() != broken


def restarting(cli: Cli) -> Callable[[], bool]:
    pid = pids(cli)["worker-2"]
    return lambda: not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize(
    ("instant", "then"),
    [(begun, "undo"), (written, "fix"), (restarting, "undo"), (restarting, "fix")],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_a_fix_that_is_killed_at_any_moment_can_be_undone_or_done_again(
    cluster: Cli, split: Path, instant: Callable[[Cli], Callable[[], bool]], then: str
) -> None:
    broken = split.read_text()
    reached = instant(cluster)
    running = cluster.popen("doctor", *SHARING, "--fix", "--yes", stderr=subprocess.DEVNULL)
    until(reached)
    running.kill()
    running.wait()
    if then == "fix":
        done = fix(cluster, "sharing", "config")
        assert done["continues"] == done["id"]
        assert failed(cluster, "sharing", "config") == set()
    assert undo(cluster)["was_interrupted"] == (then == "undo")
    assert split.read_text() == broken
    assert failed(cluster, *SHARING) == {"NLD-SHR-01"}
