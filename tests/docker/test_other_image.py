"""`nlctl up --image` with the image of another server: it takes the path of a config, and has nothing of ours.

No image of NativeLink is within reach of these tests. The one here keeps to what NativeLink's offers: configs, HTTP,
its log; no admin service, no socket, no probe, none of our labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import docker
import pytest

from tests.docker.compose import until
from tests.docker.conftest import BASE, build
from tests.nlctl.conftest import Cli, items
from tests.nlctl.documents import valid

pytestmark = pytest.mark.real

CLUSTER: Final = "nlctl-test-other"
OTHER: Final = "stand-in:tested"
WAITS: Final = "until test -e /data/open; do sleep 0.1; done"
DOCKERFILE: Final = f"""\
FROM {BASE}
COPY --from=IMAGE /opt/nlctl /opt/other
RUN rm /opt/other/bin/nlctl /opt/other/bin/nlserver-probe \\
 && printf '#!/bin/sh\\ntest $# = 1 && exec /opt/other/bin/python -m nlserver "$1"\\n' >/bin/nativelink \\
 && chmod +x /bin/nativelink
ENTRYPOINT ["/bin/nativelink"]
"""


@pytest.fixture(scope="module")
def cluster(engine: docker.DockerClient, image: str, user: Cli) -> Iterator[Cli]:
    build(engine, DOCKERFILE.replace("IMAGE", image), OTHER)
    words = ("--backend", "docker", "--image", OTHER, "--base-port", "auto", "--wait-timeout", "600s")
    user("up", "--name", CLUSTER, "--workers", "2", *words)
    yield user
    user("down", "--wipe", "--yes")
    mine = {"label": f"nlctl.cluster={CLUSTER}"}
    assert engine.containers.list(all=True, filters=mine) == []
    assert engine.volumes.list(filters=mine) == []
    assert engine.networks.list(filters=mine) == []


def test_nativelink_takes_every_config_that_it_is_given(cluster: Cli) -> None:
    folder = cluster.state / "clusters" / CLUSTER / "config"
    assert {path.stem for path in folder.iterdir()} == {"cas", "scheduler", "worker-1", "worker-2"}
    assert cluster("config", "validate", str(folder), "--deep", "--strict", "--for", "nativelink").out == ""


def test_it_is_up_once_its_listeners_answer_and_its_workers_log_that_they_are_registered(cluster: Cli) -> None:
    assert {one["name"]: one["state"] for one in items(cluster, "ps")} == dict.fromkeys(
        ("cas", "scheduler", "worker-1", "worker-2"), "ready"
    )
    assert cluster("logs", "worker-2", "--grep", "Worker registered with scheduler").out
    assert valid(cluster("status", "-o", "json").document)["item"]["verdict"] == "READY"
    assert not valid(cluster("up", "-o", "json").document)["item"]["changed"]


def test_actions_run_on_it(cluster: Cli) -> None:
    assert cluster("run", "--no-cache", "--platform", "nlctl-worker=worker-2", "--", "hostname").out == "worker-2\n"


def test_workers_that_go_finish_what_they_run(cluster: Cli) -> None:
    cluster("scale", "3", "--wait-timeout", "600s")
    aimed = ("run", "--no-cache", "--platform")
    running = cluster.popen(*aimed, "nlctl-worker=worker-3", "--", "/bin/sh", "-c", WAITS)
    until(lambda: cluster("logs", "worker-3", "--grep", "Executing action.*/data/open").out)
    with ThreadPoolExecutor(1) as pool:
        scaling = pool.submit(cluster, "scale", "2", "--deadline", "600s")
        until(lambda: cluster("logs", "worker-3", "--grep", "SIGTERM").out)
        cluster(*aimed, "nlctl-worker=worker-1", "--", "touch", "/data/open")
        assert running.wait(600) == 0
        scaling.result()
    assert [one["name"] for one in items(cluster, "ps")] == ["cas", "scheduler", "worker-1", "worker-2"]


def test_a_worker_is_started_anew_and_proves_itself(cluster: Cli) -> None:
    cluster("restart", "worker-1", "--rolling", "--wait-timeout", "600s")


@pytest.mark.parametrize("words", ["workers ls", "ops ls", "queue ls", "metrics", "events", "cas ls", "down --drain"])
def test_what_it_cannot_tell_is_said_with_what_works_instead(cluster: Cli, words: str) -> None:
    fault = valid(cluster(*words.split(), "-o", "json", code=10).fault)
    assert "admin service" in fault["message"]
    assert fault["fix"]


def test_the_doctor_finds_nothing_wrong_with_it(cluster: Cli) -> None:
    found = valid(cluster("doctor", "-o", "json").document)["items"]
    assert [one for one in found if one["status"] in ("failed", "warning", "unknown")] == []
