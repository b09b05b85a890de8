"""The doctor on a real cluster: silent when it is well, and naming exactly what is broken."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nlctl.conftest import Cli, until
from tests.nlctl.documents import valid


def findings(cli: Cli, *words: str, code: int | None = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = valid(cli(*words, "-o", "json", code=code).document)["items"]
    return found


def bad(found: list[dict[str, Any]]) -> dict[str, str]:
    """The checks that are not content, and what they say."""
    return {one["id"]: one["what"] for one in found if one["status"] in ("failed", "warning", "unknown")}


def ports(cli: Cli, name: str = "dev") -> dict[str, int]:
    made: dict[str, int] = json.loads((cli.state / "clusters" / name / "cluster.json").read_text())["ports"]
    return made


def test_a_healthy_cluster_has_no_failure_and_no_warning(cluster: Cli) -> None:
    """Statement 45."""
    found = findings(cluster, "doctor", "--strict")
    assert bad(found) == {}
    left_out = {one["id"] for one in found if one["status"] == "skipped" and one["area"] not in ("docker", "security")}
    # Its CAS announces no compression, and there is neither a workspace nor a baseline here; nor is there a container,
    # or a listener off this machine.
    assert left_out <= {"NLD-CAS-04", "NLD-CLI-01", "NLD-CLI-02", "NLD-CLI-03", "NLD-TLS-01", "NLD-PERF-01"}


def test_people_read_a_line_for_each_area_and_a_count(cluster: Cli) -> None:
    said = cluster("doctor").out
    assert re.search(r"network\u00a0(\d+)/\1", said)
    assert re.search(r"nothing is wrong; \d+ checks in ", said)


def test_a_check_brings_along_what_it_builds_on(cluster: Cli) -> None:
    found = findings(cluster, "doctor", "--check", "NLD-CAS-02")
    assert [one["id"] for one in found if one["area"] != "network"] == ["NLD-API-01", "NLD-CAS-01", "NLD-CAS-02"]


def test_areas_and_checks_that_do_not_exist_are_refused(cluster: Cli) -> None:
    assert cluster("doctor", "weather", "-o", "json", code=2).fault["code"] == "NL-USE-101"
    assert cluster("doctor", "--skip", "NLD-XYZ-01", "-o", "json", code=2).fault["code"] == "NL-USE-101"


def test_the_list_of_checks_asks_nobody(cli: Cli) -> None:
    rows = valid(cli("doctor", "--list", "-o", "json").document)["items"]
    assert "NLD-SHR-01" in {row["id"] for row in rows}


def test_the_report_is_a_page_with_every_finding(cluster: Cli, tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    cluster("doctor", "network", "--report", str(page))
    assert "| NLD-NET-01 every endpoint answers | ok |" in page.read_text()


def test_a_worker_that_takes_no_work_is_a_warning_of_its_own(cluster: Cli) -> None:
    cluster("workers", "cordon", "worker-1")
    try:
        assert list(bad(findings(cluster, "doctor"))) == ["NLD-WRK-03"]
        assert list(bad(findings(cluster, "doctor", "--strict", code=5))) == ["NLD-WRK-03"]
    finally:
        cluster("workers", "uncordon", "worker-1")


def test_an_operation_that_no_worker_could_run_is_named_and_nothing_else(cluster: Cli) -> None:
    script = (
        "import asyncio, sys; from nlserver.reapi.client import Client\n"
        "async def main():\n"
        "    async with Client(cas=sys.argv[1], executor=sys.argv[2]) as client:\n"
        "        await client.run(['/bin/true'], platform={'ISA': 'arm64'})\n"
        "asyncio.run(main())\n"
    )
    where = ports(cluster)
    urls = [f"grpc://127.0.0.1:{where[name]}" for name in ("cas", "scheduler")]
    waiting = subprocess.Popen([sys.executable, "-c", script, *urls], stderr=subprocess.DEVNULL)
    try:
        until(lambda: cluster("ops", "ls", "--state", "queued", "-q").out)
        found = bad(findings(cluster, "doctor", code=5))
        assert list(found) == ["NLD-QUE-01"]
        assert found["NLD-QUE-01"].startswith("NEVER: 1 operations match no worker")
    finally:
        waiting.kill()
        waiting.wait()
        cluster("ops", "cancel", cluster("ops", "ls", "--state", "queued", "-q").out.split()[0], code=None)


@pytest.fixture(scope="module")
def other(cluster: Cli) -> Iterator[int]:
    """The port of another cluster's CAS."""
    cluster("up", "--name", "other", "--workers", "0", "--base-port", "auto")
    cluster("context", "use", "dev")
    yield ports(cluster, "other")["cas"]
    cluster("down", "--name", "other", "--wipe", "--yes")


def test_a_worker_that_reads_from_another_cas_is_proved_by_a_probe(cluster: Cli, other: int) -> None:
    """The classical cause of `not found in either fast or slow store`."""
    path = cluster.state / "clusters" / "dev" / "config" / "worker-2.json5"
    before = path.read_text()
    path.write_text(before.replace(str(ports(cluster)["cas"]), str(other)))
    try:
        cluster("restart", "worker-2", code=None)
        rows = findings(cluster, "doctor", "sharing", "execution", code=5)
        [found] = [one for one in rows if one["status"] == "failed"]
        assert found["id"] == "NLD-SHR-01"
        assert "worker-2 reads from another CAS" in found["what"]
        assert any(str(other) in item["source"] for item in found["evidence"])
    finally:
        path.write_text(before)
        cluster("restart", "worker-2")


def test_one_dead_endpoint_is_one_failure_and_quick(cluster: Cli) -> None:
    """Statement 9: what hangs is given up by its own limit."""
    begin = time.monotonic()
    found = findings(cluster, "--endpoint", "grpc://127.0.0.1:1", "doctor", code=4)
    assert {one["id"] for one in found if one["status"] == "failed"} == {"NLD-NET-01"}
    assert {one["blocked_by"] for one in found if one["status"] == "skipped"} <= {"NLD-NET-01", None}
    assert time.monotonic() - begin < 60


def test_a_listener_that_speaks_no_http2_is_told_from_one_that_is_absent(cluster: Cli) -> None:
    import http.server
    import threading

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"grpc://127.0.0.1:{server.server_port}"
        found = findings(cluster, "--endpoint", url, "doctor", "network", code=4)
        server.shutdown()
    assert all("HTTP/2" in one["what"] for one in found if one["status"] == "failed")


def test_against_a_bare_server_what_does_not_apply_is_skipped_and_says_why(cluster: Cli) -> None:
    """Statement 51."""
    url = f"grpc://127.0.0.1:{ports(cluster)['cas']}"
    found = findings(cluster, "--endpoint", url, "doctor")
    assert bad(found) == {}
    assert {one["what"] for one in found if one["status"] == "skipped" and one["level"] == "B"} == {
        "nlctl did not start this server, so its processes and files are not in reach",
        "this server has no admin API",
        "no worker of this machine has a fast tier in front of this CAS",
    }
