"""In what a container differs from what it was meant to be, and the request that makes another like it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from nlctl.containers.copying import differences, request_of
from nlctl.launch.containers import Containers, Image, Site, request
from nlctl.launch.roster import Wanted
from nlctl.launch.wish import Ports

IMAGE = Image("sha256:1", ours=True, entrypoint=("tini", "--", "nlserver"))
BODY = request(
    Site("lab", "/home/lab", "/home/lab/run", 10001),
    Containers("nlctl:1", memory_bytes=1 << 30),
    IMAGE,
    Wanted("worker-1", "/home/lab/config/worker-1.json5", "f"),
    Ports(),
)
EXTRA = {"Type": "volume", "Source": "extra", "Target": "/mnt"}
MEMORY = {"Type": "tmpfs", "Target": "/data/workers/tmp"}


def inspected(body: dict[str, Any]) -> dict[str, Any]:
    """What `inspect` says of a container of this request."""
    mounts = [
        {
            "Type": one["Type"],
            "Destination": one["Target"],
            "RW": not one.get("ReadOnly", False),
            **({"Name": one["Source"], "Source": "/var/lib/docker/volumes"} if one["Type"] == "volume" else {}),
            **({"Source": one["Source"]} if one["Type"] == "bind" else {}),
        }
        for one in body["HostConfig"]["Mounts"]
    ]
    networks = {
        name: {"Aliases": [*endpoint["Aliases"], "c1"]}
        for name, endpoint in body["NetworkingConfig"]["EndpointsConfig"].items()
    }
    words = {key: body[key] for key in body if key not in ("HostConfig", "NetworkingConfig")}
    return {
        "Id": "c1c2c3",
        "Image": body["Image"],
        "Config": words,
        "HostConfig": body["HostConfig"],
        "Mounts": mounts,
        "NetworkSettings": {"Networks": networks},
    }


def test_a_container_is_as_it_was_asked_for_and_so_is_one_like_it() -> None:
    assert differences(inspected(BODY), BODY) == []
    assert differences(inspected(request_of(inspected(BODY))), BODY) == []


def changed(**host: Any) -> dict[str, Any]:
    return {**deepcopy(BODY), "HostConfig": {**BODY["HostConfig"], **host}}


MOUNTS = BODY["HostConfig"]["Mounts"]
NETWORK = {"NetworkingConfig": {"EndpointsConfig": {"other": {"Aliases": ["worker-1"]}}}}
NAMELESS = {"NetworkingConfig": {"EndpointsConfig": {"nlctl-lab": {"Aliases": []}}}}
OPEN = {"50061/tcp": [{"HostIp": "0.0.0.0", "HostPort": "1"}]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**BODY, "Image": "sha256:2"}, ["another image"]),
        (changed(Mounts=[*MOUNTS, EXTRA]), ["extra at /mnt"]),
        (changed(Mounts=[*MOUNTS, MEMORY]), ["tmpfs at /data/workers/tmp"]),
        (changed(Mounts=MOUNTS[1:]), ["no nlctl-lab-data at /data"]),
        (changed(Memory=None), ["another limit of memory"]),
        (changed(NanoCpus=1), ["another limit of CPUs"]),
        (changed(PortBindings=OPEN), ["other published ports"]),
        ({**changed(NetworkMode="other"), **NETWORK}, ["the network other"]),
        ({**BODY, **NAMELESS}, ["another name than worker-1"]),
        ({**BODY, "Cmd": ["--help"]}, ["another command"]),
        ({**BODY, "User": "0"}, ["another command"]),
        ({**BODY, "Env": []}, ["other variables"]),
        ({**BODY, "Healthcheck": {"Test": ["NONE"]}}, ["another health check"]),
        ({**BODY, "Labels": {}}, []),
    ],
)
def test_what_differs_is_named(body: dict[str, Any], expected: list[str]) -> None:
    assert differences(inspected(body), BODY) == expected
