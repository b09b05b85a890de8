"""What the engine says of containers, read."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from nlctl.containers.files import Entry, packed
from nlctl.containers.housing import config_of
from nlctl.containers.labels import order, part_of
from nlctl.containers.memory import counted
from nlctl.containers.states import moment, read


def facts(status: str = "running", code: int = 0, **state: Any) -> dict[str, Any]:
    """What `inspect` says of a container."""
    return {
        "Id": "c1",
        "Name": "/nlctl-lab-worker-1",
        "Image": "sha256:1",
        "RestartCount": 2,
        "State": {
            "Status": status,
            "Pid": 7 if status == "running" else 0,
            "ExitCode": code,
            "OOMKilled": False,
            "StartedAt": "2026-11-26T18:21:00.5Z",
            "FinishedAt": "2026-11-26T18:22:00.123456789Z",
            **state,
        },
        "HostConfig": {"NanoCpus": 1_500_000_000, "Memory": 1 << 30},
        "Config": {"Image": "nlctl:1", "Labels": {"nlctl.part": "worker-1"}, "Env": ["NLSERVER_READY_FD=3"]},
    }


@pytest.mark.parametrize(
    ("status", "code", "ready", "standing", "last_exit"),
    [
        ("running", 0, True, "ready", None),
        ("running", 0, False, "starting", None),
        ("restarting", 1, False, "backoff", "exit 1"),
        ("restarting", 13, False, "failed", "exit 13"),
        ("exited", 137, False, "failed", "signal 9"),
        ("exited", 0, False, "failed", "exit 0"),
        ("created", 0, False, "waiting", None),
        ("paused", 0, False, "paused", None),
    ],
)
def test_a_container_stands_where_a_process_would(
    status: str, code: int, ready: bool, standing: str, last_exit: str | None
) -> None:
    one = read(facts(status, code))
    assert (one.standing(ready=ready), one.last_exit) == (standing, last_exit)


def test_limits_and_the_kill_of_the_kernel_are_told() -> None:
    one = read(facts("exited", 137, OOMKilled=True))
    assert (one.cpus, one.memory_bytes, one.last_exit) == (1.5, 1 << 30, "signal 9, out of memory")
    assert read(facts("running", OOMKilled=True)).last_exit == "out of memory", "the engine started it again"
    assert one.announces


@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", 2),
        ("low 0\nhigh 0\nmax 9\noom 3\noom_kill 3\noom_group_kill 0\n", 3),
        ("oom_kill_disable 0\nunder_oom 0\n", None),
    ],
    ids=["cgroup v1", "cgroup v2", "an old kernel"],
)
def test_what_the_kernel_killed_is_counted_in_either_version_of_cgroups(file: str, count: int | None) -> None:
    assert counted(file) == count


def test_times_of_the_engine_are_read_with_any_number_of_digits() -> None:
    assert moment("0001-01-01T00:00:00Z") == 0.0
    assert moment("1970-01-01T00:00:02Z") == 2.0
    assert moment("1970-01-01T00:00:02.250000000Z") == 2.25


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        ({"nlctl.part": "worker-2"}, "worker-2"),
        ({"com.docker.compose.service": "cas", "com.docker.compose.container-number": "1"}, "cas"),
        ({"com.docker.compose.service": "worker", "com.docker.compose.container-number": "1"}, "worker-1"),
        ({"com.docker.compose.service": "worker", "com.docker.compose.container-number": "12"}, "worker-12"),
        ({"com.docker.compose.service": "worker-3", "com.docker.compose.container-number": "1"}, "worker-3"),
        ({}, None),
    ],
)
def test_parts_are_known_by_our_labels_or_by_those_of_compose(labels: dict[str, str], part: str | None) -> None:
    assert part_of(labels) == part


def test_servers_come_before_workers_and_these_by_number() -> None:
    assert sorted(["worker-10", "worker-2", "scheduler", "cas"], key=order) == [
        "cas",
        "scheduler",
        "worker-2",
        "worker-10",
    ]


def test_files_and_folders_are_packed_for_their_owner() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed([Entry("a.json5", b"{}"), Entry("run", private=True)], 7))) as tar:
        text, folder = tar.getmembers()
        assert (text.uid, text.mode, folder.uid, folder.mode, folder.isdir()) == (7, 0o644, 7, 0o700, True)


@pytest.mark.parametrize(
    ("entrypoint", "command", "config"),
    [
        (["tini", "--", "nlserver"], ["/config/cas.json5"], "/config/cas.json5"),
        (["/bin/sh", "-c", 'WORKER_NAME="$(hostname)" exec nlserver /etc/w.json5'], [], "/etc/w.json5"),
        (["postgres"], ["-c", "x=1"], None),
    ],
)
def test_the_config_of_a_container_is_found_in_what_it_runs(
    entrypoint: list[str], command: list[str], config: str | None
) -> None:
    assert config_of({"Config": {"Entrypoint": entrypoint, "Cmd": command}}) == config


@pytest.mark.parametrize(
    "command",
    [
        {"Entrypoint": ["tini", "--", "nlserver", "--admin-socket", "/run/a.sock"], "Cmd": ["/etc/c.json5"]},
        {"Entrypoint": ["/bin/sh", "-c", "NAME=$(hostname) exec nlserver --admin-socket /run/a.sock /etc/c.json5"]},
    ],
    ids=["an image's", "a shell's"],
)
def test_where_a_container_answers_operators_is_on_its_command_line(command: dict[str, Any]) -> None:
    told = facts()
    told["Config"] |= command
    assert read(told).admin_socket == "/run/a.sock"
