"""Containers that somebody made, or treats, otherwise than the cluster needs: the classical errors of Compose files."""

from __future__ import annotations

from functools import partial
from typing import Final

from nlctl.containers.files import Entry
from nlctl.doctor.finding import Verdict
from nlctl.lab.containers import VERSION, Bench, Body, mounted
from nlctl.lab.injection import Injection
from nlctl.lab.lab import Lab
from nlctl.launch.containers import ANYWHERE, DATA

_LIMIT: Final = 'eviction_policy: { max_bytes: "20mb" }'
_OFTEN: Final = 3
_STARVED: Final = 16 << 20
_TIGHT: Final = 512 << 20
_NANO: Final = 1_000_000_000
_OTHER_VERSION: Final = "0.0.1"
_FOREIGN: Final = "opt/nativelink"
_WITHIN: Final = "50061/tcp"


def _isolated(lab: Lab) -> None:
    bench, workers = Bench(lab), ("worker-1", "worker-2")
    for worker in workers:
        path = lab.ledger.config(worker)
        text = path.read_text(encoding="utf-8")
        slow = text.index(" slow: {\n") + 1
        end = text.index("\n        },\n", slow)
        files = f'content_path: "{DATA}/own/content", temp_path: "{DATA}/own/incoming", {_LIMIT}'
        lab.write(path, f"{text[:slow]}slow: {{\n          filesystem: {{ {files} }},{text[end:]}")
    lab.apply()
    for worker in workers:
        bench.remake(worker, partial(_from, bench.volume(f"{worker}-alone"), DATA))


def _from(source: str, target: str, body: Body) -> None:
    mounted(body, target)["Source"] = source


def _layer(lab: Lab) -> None:
    Bench(lab).remake("worker-2", lambda body: body["HostConfig"]["Mounts"].remove(mounted(body, DATA)))


def _unused(lab: Lab) -> None:
    bench = Bench(lab)
    extra = {"Type": "volume", "Source": bench.volume("extra"), "Target": "/mnt/cas"}
    bench.remake("worker-2", lambda body: body["HostConfig"]["Mounts"].append(extra))


def _temp(lab: Lab) -> None:
    bench = Bench(lab)
    memory = {"Type": "tmpfs", "Target": f"{DATA}/workers/tmp", "TmpfsOptions": {"Mode": 0o1777}}
    bench.remake("worker-2", lambda body: body["HostConfig"]["Mounts"].append(memory))
    bench.until("worker-2", lambda one: one.restarts >= _OFTEN, "worker-2 ends again and again")


def _foreign(lab: Lab) -> None:
    script = Entry(_FOREIGN, b'exec nlserver "$@"\n')

    def by_that_name(body: Body) -> None:
        body["Entrypoint"] = [word.replace("exec nlserver", f"exec /bin/sh /{_FOREIGN}") for word in body["Entrypoint"]]

    Bench(lab).remake("worker-2", by_that_name, files=(script,))


def _loopback(lab: Lab) -> None:
    _lead(lab, "127.0.0.1:50051")


def _unknown(lab: Lab) -> None:
    _lead(lab, "cas-server:50051")


def _closed(lab: Lab) -> None:
    _lead(lab, "cas:50059")


def _lead(lab: Lab, address: str) -> None:
    lab.edit("worker-2", "cas:50051", address)
    lab.apply()


def _apart(lab: Lab) -> None:
    bench = Bench(lab)
    network = bench.network("other")

    def there(body: Body) -> None:
        body["HostConfig"]["NetworkMode"] = network
        body["NetworkingConfig"] = {"EndpointsConfig": {network: {"Aliases": ["worker-2"]}}}

    bench.remake("worker-2", there)


def _open(lab: Lab) -> None:
    def openly(body: Body) -> None:
        for one in body["HostConfig"]["PortBindings"][_WITHIN]:
            one["HostIp"] = ANYWHERE

    Bench(lab).remake("scheduler", openly)
    lab.registered()


def _limit(size: int, body: Body) -> None:
    body["HostConfig"] |= {"Memory": size, "MemorySwap": size, "MemoryReservation": 0}


def _starved(lab: Lab) -> None:
    bench = Bench(lab)
    bench.remake("worker-2", partial(_limit, _STARVED))
    bench.until("worker-2", lambda one: one.restarts >= _OFTEN, "worker-2 is killed again and again")


def _greedy(lab: Lab) -> None:
    Bench(lab).remake("worker-2", partial(_limit, _TIGHT))
    lab.registered()
    lab.run_on("worker-2", "/bin/sh", "-c", "tail /dev/zero")


def _falling(lab: Lab) -> None:
    bench = Bench(lab)
    bench.remake("worker-2", lambda body: body["Cmd"].append("--no-such-option"))
    bench.until("worker-2", lambda one: one.restarts >= _OFTEN, "worker-2 ends again and again")


def _unhealthy(lab: Lab) -> None:
    bench = Bench(lab)

    def elsewhere(body: Body) -> None:
        body["Healthcheck"] |= {"Interval": _NANO, "Retries": 1, "StartPeriod": _NANO // 1000}
        body["Healthcheck"]["Test"] = ["CMD", "nlserver-probe", "/run/nlserver/admin.sock"]

    bench.remake("worker-2", elsewhere)
    bench.until("worker-2", lambda one: one.health == "unhealthy", "worker-2 is found unhealthy")


def _older(lab: Lab) -> None:
    bench = Bench(lab)
    image = bench.image("worker-2", _OTHER_VERSION)

    def with_it(body: Body) -> None:
        body["Image"] = image
        body["Labels"].pop(VERSION, None)

    bench.remake("worker-2", with_it)
    lab.registered()


FAULTS: Final = (
    Injection(
        "isolated-volumes",
        "each worker has a volume of its own",
        "Each worker keeps its blobs on a volume of its own, and its config calls no CAS: what one worker makes, no "
        "other finds. The first error of those who write a Compose file.",
        _isolated,
        "NLD-DKR-03",
        mended_by=("recorded", "containers"),
    ),
    Injection(
        "two-masters",
        "NativeLink and another process share a directory",
        "worker-2 is run by a program called nativelink, on the directory of worker-1: real NativeLink counts what it "
        "keeps in its own memory, so each removes what the other still promises.",
        _foreign,
        "NLD-DKR-03",
        mended_by=("containers",),
    ),
    Injection(
        "container-layer",
        "blobs lie in the container itself",
        "worker-2 was made without the volume: its content_path is on the container's writable layer, and is lost with "
        "it.",
        _layer,
        "NLD-DKR-02",
        mended_by=("containers",),
    ),
    Injection(
        "unused-volume",
        "a volume is mounted where no store is",
        "worker-2 mounts a volume at /mnt/cas, and its config names no directory there.",
        _unused,
        "NLD-DKR-02",
        Verdict.WARNING,
        mended_by=("containers",),
    ),
    Injection(
        "temp-elsewhere",
        "temp_path is on another device",
        "A tmpfs is mounted at the temp_path of worker-2, for speed: files cannot be renamed from there, and it ends "
        "at each start.",
        _temp,
        "NLD-DKR-02",
        mended_by=("containers",),
    ),
    Injection(
        "own-loopback",
        "CAS_ENDPOINT is the loopback",
        "worker-2 calls its CAS at 127.0.0.1, as it did before it ran in a container.",
        _loopback,
        "NLD-DKR-04",
        mended_by=("recorded", "containers"),
    ),
    Injection(
        "unknown-name",
        "CAS_ENDPOINT is a name that nobody has",
        "worker-2 calls its CAS by a name that no container on its network has.",
        _unknown,
        "NLD-DKR-04",
        mended_by=("recorded", "containers"),
    ),
    Injection(
        "wrong-port",
        "CAS_ENDPOINT is a port that nobody holds",
        "worker-2 calls the right container, at a port where nobody listens.",
        _closed,
        "NLD-DKR-04",
        mended_by=("recorded", "containers"),
    ),
    Injection(
        "other-network",
        "a container is on another network",
        "worker-2 was made on a network of its own, on which nobody has the names that it calls.",
        _apart,
        "NLD-DKR-04",
        mended_by=("recorded", "containers"),
    ),
    Injection(
        "open-worker-port",
        "the worker API is published to everybody",
        "The scheduler was made with its worker API published on every address of this machine.",
        _open,
        "NLD-DKR-04",
        Verdict.WARNING,
        mended_by=("containers",),
    ),
    Injection(
        "starved-worker",
        "a worker has too little memory to start",
        f"worker-2 may use {_STARVED >> 20} MiB: the kernel kills it at each start.",
        _starved,
        "NLD-DKR-01",
        mended_by=("containers", "start_parts"),
    ),
    Injection(
        "greedy-action",
        "an action was killed for want of memory",
        f"worker-2 may use {_TIGHT >> 20} MiB, and an action wanted more: the kernel killed it.",
        _greedy,
        "NLD-DKR-01",
        Verdict.WARNING,
        mended_by=("containers",),
    ),
    Injection(
        "restart-loop",
        "a container ends right after each start",
        "worker-2 was made with an option that its server does not know.",
        _falling,
        "NLD-DKR-01",
        mended_by=("containers", "start_parts"),
    ),
    Injection(
        "unhealthy",
        "a health check fails",
        "The health check of worker-2 asks at a socket that is not there.",
        _unhealthy,
        "NLD-DKR-01",
        mended_by=("containers", "restart_parts"),
    ),
    Injection(
        "killed-container",
        "a container was killed",
        "Somebody killed worker-2: the engine does not start again what was ended by hand.",
        lambda lab: Bench(lab).kill("worker-2"),
        "NLD-DKR-01",
        mended_by=("containers", "start_parts"),
    ),
    Injection(
        "paused-container",
        "a container is paused",
        "Somebody paused worker-2, and forgot it.",
        lambda lab: Bench(lab).pause("worker-2"),
        "NLD-DKR-01",
        mended_by=("containers", "start_parts"),
    ),
    Injection(
        "removed-container",
        "a container is gone",
        "Somebody removed the container of worker-2.",
        lambda lab: Bench(lab).remove("worker-2"),
        "NLD-PRC-02",
        mended_by=("start_parts",),
    ),
    Injection(
        "other-version",
        "a container is of another version",
        f"worker-2 runs an image that is labelled as version {_OTHER_VERSION}.",
        _older,
        "NLD-DKR-05",
        Verdict.WARNING,
        mended_by=("containers",),
    ),
)
