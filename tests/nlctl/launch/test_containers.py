"""What the engine is asked to make for each part, told from the asked shape alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nlctl.faults import Fault
from nlctl.launch.backend import Report
from nlctl.launch.containers import Containers, Image, Site, awaited, expect_ours, reached, request
from nlctl.launch.roster import Wanted
from nlctl.launch.wish import Ports

PORTS = Ports(1001, 1002, 1003)
SITE = Site("lab", "/state/lab", "/state/lab/run", 10001)
OURS = Image("sha256:1", ours=True, entrypoint=("tini", "--", "nlserver", "--admin-socket", "/run/nlserver/admin.sock"))
OTHER = Image("sha256:2", ours=False, entrypoint=("/bin/nativelink",))


def _body(part: str, settings: Containers, image: Image = OURS) -> dict[str, Any]:
    return request(SITE, settings, image, Wanted(part, f"/state/lab/config/{part}.json5", "f1"), PORTS)


def test_ports_are_open_on_loopback_alone_unless_asked_otherwise() -> None:
    inner = _body("scheduler", Containers("i"))["HostConfig"]["PortBindings"]
    assert inner == {
        "50052/tcp": [{"HostIp": "127.0.0.1", "HostPort": "1002"}],
        "50061/tcp": [{"HostIp": "127.0.0.1", "HostPort": "1003"}],
    }
    outer = _body("cas", Containers("i", publish="0.0.0.0"))["HostConfig"]["PortBindings"]
    assert outer == {"50051/tcp": [{"HostIp": "0.0.0.0", "HostPort": "1001"}]}
    assert _body("worker-1", Containers("i"))["HostConfig"]["PortBindings"] == {}


def test_all_parts_share_one_volume_of_data_and_can_only_read_their_configs() -> None:
    for part in ("cas", "scheduler", "worker-1"):
        mounts = {one["Target"]: one for one in _body(part, Containers("i"))["HostConfig"]["Mounts"]}
        assert mounts["/data"]["Source"] == "nlctl-lab-data"
        assert mounts["/etc/nlctl"]["ReadOnly"] is True
        assert mounts[f"/run/nlctl/{part}"] == {
            "Type": "bind",
            "Source": f"/state/lab/run/{part}",
            "Target": f"/run/nlctl/{part}",
        }


def test_an_engine_elsewhere_is_given_no_folder_of_this_machine() -> None:
    site = Site("lab", "/state/lab", "nlctl-lab-run", 10001)
    body = request(site, Containers("i"), OURS, Wanted("cas", "/state/lab/config/cas.json5", "f1"), PORTS)
    assert {one["Type"] for one in body["HostConfig"]["Mounts"]} == {"volume"}


def test_limits_are_those_of_each_worker() -> None:
    settings = Containers("i", cpus=1.5, memory_bytes=1 << 30)
    host = _body("worker-3", settings)["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (1_500_000_000, 1 << 30, 1 << 30)
    assert host["MemoryReservation"] < host["Memory"]
    assert not {"NanoCpus", "Memory"} & _body("cas", settings)["HostConfig"].keys()


def test_our_image_says_when_it_serves_and_answers_operators_in_a_folder_of_its_own() -> None:
    body = _body("worker-1", Containers("i"))
    assert body["Entrypoint"][:2] == ["tini", "--"]
    assert body["Entrypoint"][-1] == "/run/nlctl/worker-1/ready"
    assert body["Cmd"] == [
        *("--name", "worker-1", "--admin-socket", "/run/nlctl/worker-1/admin.sock"),
        "/etc/nlctl/worker-1.json5",
    ]
    assert body["Healthcheck"]["Test"] == ["CMD", "nlserver-probe", "/run/nlctl/worker-1/admin.sock"]
    assert not body["HostConfig"]["Init"]


@pytest.mark.parametrize(("user", "number"), [("", 0), ("1000:100", 1000), ("nobody", 0)])
def test_an_image_says_who_runs_there_and_whether_it_is_ours(user: str, number: int) -> None:
    facts = {"Id": "sha256:2", "Config": {"Entrypoint": ["/bin/nativelink"], "User": user}}
    assert Image.of(facts) == replace(OTHER, user=number)


def test_another_server_is_given_its_config_alone() -> None:
    body = _body("cas", Containers("i"), OTHER)
    assert body["Cmd"] == ["/etc/nlctl/cas.json5"]
    assert not {"Entrypoint", "Healthcheck", "User"} & body.keys()
    assert body["HostConfig"]["Init"]


@pytest.mark.parametrize(
    ("settings", "remote", "host"),
    [
        (Containers("i"), None, "127.0.0.1"),
        (Containers("i", publish="0.0.0.0"), None, "127.0.0.1"),
        (Containers("i", publish="192.0.2.1"), None, "192.0.2.1"),
        (Containers("i", publish="0.0.0.0"), "build.example", "build.example"),
        (Containers("i"), "localhost", "localhost"),
    ],
)
def test_clients_are_told_where_the_ports_are_open(settings: Containers, remote: str | None, host: str) -> None:
    assert reached(settings, remote) == host


def test_ports_on_the_loopback_of_another_host_are_refused_with_the_remedy() -> None:
    with pytest.raises(Fault) as told:
        reached(Containers("i"), "build.example")
    assert told.value.fixes[0].command[-2:] == ("--publish", "0.0.0.0")


def test_a_container_is_made_anew_when_its_image_or_limits_or_ports_change() -> None:
    before = Containers("i").beside("sha256:1", "worker-1", ports=PORTS)
    assert Containers("i", cpus=1).beside("sha256:1", "worker-1", ports=PORTS) != before
    assert Containers("i").beside("sha256:2", "worker-1", ports=PORTS) != before
    assert Containers("i").beside("sha256:1", "worker-1", ports=Ports(1, 2, 3)) == before
    servers = [Containers("i").beside("sha256:1", "cas", ports=ports) for ports in (PORTS, Ports(1, 2, 3))]
    assert servers[0] != servers[1]


def test_workers_of_compose_are_awaited_by_the_names_that_they_have() -> None:
    there = [Report("cas", "ready"), *(Report(f"worker-{n}", "ready", container=f"{n}" * 64) for n in (1, 2))]
    ours, compose = Containers("i"), Containers("i", project="shop")
    assert awaited(ours, ["worker-1"], there, set()) == ["worker-1"]
    assert awaited(compose, ["worker-1", "worker-9"], there, {"1" * 12}) == ["1" * 12, "worker-2"]


def test_what_compose_runs_is_told_from_what_we_run() -> None:
    expect_ours("lab", "")
    with pytest.raises(Fault) as told:
        expect_ours("lab", "shop", 7)
    assert "--project-name shop up --detach --scale worker=7" in told.value.fixes[0].text
