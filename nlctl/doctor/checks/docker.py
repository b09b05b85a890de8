"""What containers make of a cluster: who kills them, what they keep where, and whether they find each other.

Facts are looked for from inside each container, for a path or a name of the host says nothing of it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from nlctl.containers import labels
from nlctl.containers.housing import Housed, Kept
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import Evidence, Finding, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level
from nlctl.ui import human_bytes

_OFTEN: Final = 3
_SECONDS: Final = 60.0
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_WHOLE: Final = "CAS and all workers share one volume, or give each worker's store a slow tier that leads to the CAS"


async def _housed(site: Site) -> Sequence[Housed]:
    if not site.record.containers:
        raise NotHere("the parts are processes of this machine")
    project = site.record.containers.project
    ours = [f"{labels.CLUSTER}={site.ledger.name}", f"{labels.HOME}={site.ledger.home}"]
    mine = {"label": [f"{labels.COMPOSE_PROJECT}={project}"] if project else ours}
    found = await site.once("containers", lambda: asyncio.to_thread(_asked, mine))
    if not found:
        raise NotHere("no container of this cluster is there")
    return found


def _asked(filters: dict[str, list[str]]) -> list[Housed]:
    from nlctl.containers.connection import connect
    from nlctl.containers.looking import housed

    return sorted(housed(connect(), filters), key=lambda one: labels.order(one.part))


def judge_lives(housed: Sequence[Housed]) -> Iterable[Finding]:
    """Whether every container runs, and was not killed for want of memory."""
    found = [finding for one in housed for finding in _life(one)]
    limits = [
        Evidence(one.part, human_bytes(one.state.memory_bytes), "HostConfig.Memory")
        for one in housed
        if one.state.memory_bytes is not None
    ]
    return found or [ok(f"{len(housed)} containers run", *limits)]


def _life(one: Housed) -> Iterator[Finding]:
    state = one.state
    see = fix("see its last words", "nlctl", "logs", one.part, "--tail", "50")
    evidence = (
        Evidence("status", state.status, "State.Status"),
        Evidence("last exit", state.last_exit or "none", "State.ExitCode"),
        Evidence("restarts", str(state.restarts), "RestartCount"),
    )
    if state.oom_killed:
        most = f" of {human_bytes(state.memory_bytes)}" if state.memory_bytes else ""
        yield Finding(
            Verdict.FAILED,
            f"the kernel killed a process in {one.part}: its memory{most} was used up",
            "an action that needs more than its worker may use is killed, and with it what the kernel finds largest",
            (Evidence("OOMKilled", "true", "State.OOMKilled"), *evidence),
            (fix("give workers more", "nlctl", "up", "--backend", "docker", "--memory", "4gb"), see),
        )
    elif not state.running:
        yield Finding(Verdict.FAILED, f"{one.part} does not run: {state.last_exit or state.status}", "", evidence,
                      (see, fix("start it", "nlctl", "up")))  # fmt: skip
    elif state.status == "restarting" or state.restarts >= _OFTEN:
        yield Finding(
            Verdict.FAILED if state.status == "restarting" else Verdict.WARNING,
            f"{one.part} starts again and again: {state.restarts} times so far",
            "the engine starts what ends; that it ends is the trouble",
            evidence,
            (see,),
        )
    elif state.health == "unhealthy":
        yield Finding(
            Verdict.FAILED,
            f"{one.part} runs, and its health check fails",
            "",
            (Evidence("health", state.health, "State.Health"), *evidence),
            (see, fix("start it anew", "nlctl", "restart", one.part)),
        )


def judge_stores(housed: Sequence[Housed]) -> Iterable[Finding]:
    """Whether what stores keep outlives the container, stands on one disk, and is where the mounts are."""
    found = [finding for one in housed for finding in (*_layered(one), *_divided(one), *_unused(one))]
    paths = sum(len(one.keeps) for one in housed)
    return found or [ok(f"{paths} directories of stores and workers lie on volumes")]


def _layered(one: Housed) -> Iterator[Finding]:
    for kept in one.keeps:
        if kept.key == "content_path" and one.mount_of(kept.path) is None:
            mounted = ", ".join(mount.target for mount in one.mounts) or "nothing"
            yield Finding(
                Verdict.FAILED,
                f"{one.part} keeps blobs at {kept.path}, which is on the writable layer of its container",
                "they are lost when the container is made anew, no other part sees them, and the layer is slow",
                (Evidence("mounted", mounted, "Mounts"), Evidence("content_path", kept.path, "its config")),
                (fix(f"mount a volume at {kept.path} or above it, or move content_path below {mounted}"),),
            )


def _divided(one: Housed) -> Iterator[Finding]:
    for kept in one.keeps:
        if kept.key == "content_path" or not kept.pair:
            continue
        here, there = _device(one, kept.path), _device(one, kept.pair)
        if here is not None and there is not None and here != there:
            yield Finding(
                Verdict.FAILED,
                f"{one.part} has {kept.key} {kept.path} on another device than {kept.pair}",
                "a file is renamed into its place, and linked: neither goes from one file system to another",
                (
                    Evidence(kept.key, f"device {here}", f"stat in {one.part}"),
                    Evidence("content_path", f"device {there}", f"stat in {one.part}"),
                ),
                (fix(f"put both on one mount, below {kept.pair.rpartition('/')[0]}"),),
            )


def _device(one: Housed, path: str) -> object:
    """What tells one disk from another: the device, or, where it is not known, the mount."""
    if path in one.places:
        return one.places[path][0]
    mount = one.mount_of(path)
    return None if one.places else (mount.source if mount else "the container's own layer")


def _unused(one: Housed) -> Iterator[Finding]:
    if not one.readable or not one.keeps:
        return
    for mount in one.mounts:
        # Below /run are sockets, where the engine is elsewhere and has no folder of this machine for them.
        data = mount.kind == "volume" and mount.writable and not mount.target.startswith("/run/")
        if data and not any(mount.holds(kept.path) for kept in one.keeps):
            keeps = ", ".join(dict.fromkeys(kept.path for kept in one.keeps))
            yield Finding(
                Verdict.WARNING,
                f"{one.part} mounts volume {mount.source} at {mount.target}, and no store of its config is there",
                f"its directories are elsewhere: {keeps}",
                (Evidence("mount", f"{mount.source} -> {mount.target}", "Mounts"),),
                (fix(f"move content_path below {mount.target}, or mount the volume where the config keeps blobs"),),
            )


def judge_sharing(housed: Sequence[Housed]) -> Iterable[Finding]:
    """Whether workers see each other's blobs, and no directory is written by servers that do not know each other."""
    found = [*_isolated(housed), *_fought(housed)]
    return found or [ok("no worker is alone with its blobs, and no directory has two masters")]


def _isolated(housed: Sequence[Housed]) -> Iterator[Finding]:
    """Workers that keep blobs, each on a volume of its own, and call no CAS: nothing that one makes reaches another."""
    workers = [one for one in housed if one.is_worker and one.readable and _contents(one)]
    alone = [one for one in workers if not [dial for dial in one.dials if dial.port != _api(housed)]]
    sources = {one.part: tuple(sorted(_source(one, kept) for kept in _contents(one))) for one in alone}
    if len(alone) > 1 and len(set(sources.values())) > 1:
        yield Finding(
            Verdict.FAILED,
            f"{', '.join(sources)} keep blobs on volumes of their own, and call no CAS",
            "what one worker makes another does not find: builds fail with `Object not found`",
            tuple(Evidence(part, ", ".join(rows), "Mounts and its config") for part, rows in sources.items()),
            (fix(f"let {_WHOLE}"),),
        )


def _api(housed: Sequence[Housed]) -> int:
    return next((port for one in housed for port in one.worker_ports), 0)


def _contents(one: Housed) -> list[Kept]:
    return [kept for kept in one.keeps if kept.key == "content_path"]


def _source(one: Housed, kept: Kept) -> str:
    mount = one.mount_of(kept.path)
    if mount is None:
        return f"the layer of {one.state.name}"
    return f"{mount.source}{kept.path[len(mount.target.rstrip('/')) :]}"


def _fought(housed: Sequence[Housed]) -> Iterator[Finding]:
    users: dict[str, list[Housed]] = defaultdict(list)
    for one in housed:
        for kept in _contents(one):
            if one.mount_of(kept.path) is not None:
                users[_source(one, kept)].append(one)
    for source, row in users.items():
        foreign = [one for one in row if not one.ours]
        if len(row) > 1 and foreign:
            yield Finding(
                Verdict.FAILED,
                f"{', '.join(one.part for one in row)} write into one directory, {source}",
                "NativeLink counts what it keeps in its own memory: each process removes blobs that another still "
                "tells clients of. nlserver keeps one account for all processes of a directory",
                tuple(Evidence(one.part, one.state.image_name, "Image") for one in row),
                (fix("give each NativeLink a content_path of its own, and workers a slow tier that leads to the CAS"),),
            )


def judge_network(housed: Sequence[Housed]) -> Iterable[Finding]:
    """Whether each part finds those that its config calls, and whether workers' ports are open to strangers."""
    found = [finding for one in housed for finding in (*_lost(one, housed), *_open(one))]
    calls = sum(len(one.dials) for one in housed)
    return found or [ok(f"{calls} servers that configs call are found by name")]


def _lost(one: Housed, housed: Sequence[Housed]) -> Iterator[Finding]:
    names = ", ".join(other.part for other in housed if set(other.networks) & set(one.networks) and other != one)
    for dial in one.dials:
        where = f"{dial.host}:{dial.port}"
        evidence = (
            Evidence("calls", where, "its config and environment"),
            Evidence("networks", ", ".join(one.networks) or "none", "NetworkSettings"),
        )
        if dial.host in _LOOPBACK:
            yield Finding(
                Verdict.FAILED,
                f"{one.part} calls {where}, which is its own container",
                "in a container the loopback is its own: others are found by their names",
                evidence,
                (fix(f"set CAS_ENDPOINT or the address in its config to a name on its network: {names}"),),
            )
        elif one.resolved.get(dial.host) is False:
            yield Finding(
                Verdict.FAILED,
                f"{one.part} calls {where}, and no container on its networks has this name",
                f"there are: {names or 'none'}",
                (*evidence, Evidence("resolved", "no", f"getent in {one.part}")),
                (fix("correct CAS_ENDPOINT or the address in its config, or put both on one network"),),
            )


def _open(one: Housed) -> Iterator[Finding]:
    for port in one.opened:
        if port.inner in one.worker_ports and port.address not in _LOOPBACK:
            yield Finding(
                Verdict.WARNING,
                f"the worker API of {one.part} is open to everybody at {port.address}:{port.outer}",
                "whoever reaches it can become a worker: it is given the inputs of builds, and answers for results",
                (Evidence("published", f"{port.address}:{port.outer} -> {port.inner}", "NetworkSettings.Ports"),),
                (fix(f"publish it on loopback or not at all: 127.0.0.1:{port.outer}:{port.inner}"),),
            )


def judge_images(housed: Sequence[Housed]) -> Iterable[Finding]:
    """Whether all parts are of one version."""
    images: dict[str, list[str]] = defaultdict(list)
    for one in housed:
        if one.ours:
            images[one.version or one.state.image].append(one.part)
    if len(images) < 2:
        version = next(iter(images), "")
        return [ok("all containers are of one version" + (f", {version[:19]}" if version else ""))]
    return [
        Finding(
            Verdict.WARNING,
            f"the containers are of {len(images)} versions",
            "parts of different versions may lack what others expect",
            tuple(Evidence(version[:19], ", ".join(parts), "the image's label") for version, parts in images.items()),
            (fix("bring all to one image", "nlctl", "up", "--backend", "docker"),),
        )
    ]


CHECKS: Final = (
    Check(
        "NLD-DKR-01",
        "docker",
        "every container runs, and none is killed for want of memory",
        Level.LOCAL,
        "status, exit code, OOM kill, restarts and health of every container, as the engine counts them",
        "failed: down, killed, or unhealthy; warning: it started again three times or more",
        "its log; more memory for workers: `nlctl up --memory 4gb`",
        _housed,
        judge_lives,
        seconds=_SECONDS,
        by_hand="why a container ends stands in its log; how much memory it may take is a choice",
    ),
    Check(
        "NLD-DKR-02",
        "docker",
        "what stores keep lies on volumes, each store on one device",
        Level.LOCAL,
        "the mounts of every container, the paths of its config on them, device and inode of each from inside",
        "failed: blobs on the container's own layer, or temp_path on another device; warning: a volume without a store",
        "mount the volume where the config keeps blobs",
        _housed,
        judge_stores,
        seconds=_SECONDS,
        by_hand="where blobs move is a choice; those on the container's layer go with it",
    ),
    Check(
        "NLD-DKR-03",
        "docker",
        "workers see each other's blobs, and no directory has two masters",
        Level.LOCAL,
        "which volume, and what of it, holds the content_path of each container, and which servers it calls",
        "failed: workers with isolated volumes and no CAS; NativeLink processes on one content_path",
        "one volume for all, or a slow tier that leads to the CAS",
        _housed,
        judge_sharing,
        seconds=_SECONDS,
        by_hand="which of the stores keeps its blobs is a choice",
    ),
    Check(
        "NLD-DKR-04",
        "docker",
        "containers find each other, and the worker API is not open to strangers",
        Level.LOCAL,
        "every server that a config calls, looked up by the container's own resolver; the ports open on the host",
        "failed: a name that nobody has, or a container's own loopback; warning: the worker API on a public address",
        "correct CAS_ENDPOINT; publish on 127.0.0.1",
        _housed,
        judge_network,
        seconds=_SECONDS,
        by_hand="names and ports are the network's; changing them makes containers anew",
    ),
    Check(
        "NLD-DKR-05",
        "docker",
        "all containers are of one version",
        Level.LOCAL,
        "the version label and the id of every container's image",
        "warning: several",
        "`nlctl up --backend docker` with one image",
        _housed,
        judge_images,
        seconds=_SECONDS,
        by_hand="when to change the version of what runs is a choice",
    ),
)
