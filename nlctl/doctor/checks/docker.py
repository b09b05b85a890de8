"""What containers make of a cluster: who kills them, what they keep where, and whether they find each other.

Facts are looked for from inside each container, for a path or a name of the host says nothing of it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from nlctl.containers import labels
from nlctl.containers.housing import Housed, Kept
from nlctl.containers.states import State
from nlctl.doctor.check import Check, NotHere
from nlctl.doctor.finding import ADDRESSES, WHOLE, Evidence, Finding, Remedy, Verdict, blocked, ok
from nlctl.doctor.site import Site
from nlctl.faults import Fix, fix
from nlctl.registry import Level
from nlctl.ui import human_bytes

_OFTEN: Final = 3
_SECONDS: Final = 60.0
_BAD_CONFIG: Final = 13
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
    """Whether every container runs, and nothing in it was killed for want of memory."""
    down = [one for one in housed if _is_down(one.state)]
    found = [finding for one in housed for finding in _life(one)]
    # Who is unhealthy because another part is down, or not found, has no trouble of its own.
    unhealthy = [one for one in housed if one.state.health == "unhealthy" and not down and not any(_lost(one, housed))]
    found += [_unhealthy(one) for one in unhealthy]
    limits = [
        Evidence(one.part, human_bytes(one.state.memory_bytes), "HostConfig.Memory")
        for one in housed
        if one.state.memory_bytes is not None
    ]
    return found or [ok(f"{len(housed)} containers run", *limits)]


def _life(one: Housed) -> Iterator[Finding]:
    state = one.state
    see = fix("see its last words", "nlctl", "logs", one.part, "--tail", "50")
    more = fix("give workers more", "nlctl", "up", "--backend", "docker", "--memory", "4gb")
    memory = f"its memory{f' of {human_bytes(state.memory_bytes)}' if state.memory_bytes else ''} was used up"
    again = Remedy("containers", (one.part,)), Remedy("start_parts")
    if _falls(state) and (cause := _known_cause(one)):
        yield blocked(cause)
    elif state.oom_killed and _is_down(state):
        because = "what it ran is lost; the engine starts it again, and it will most likely be killed again"
        yield _trouble(one, f"was killed by the kernel: {memory}", because, (more, see), again)
    elif state.status == "paused":
        because = "its processes are there, and stand still until somebody lets them go on"
        yield _trouble(one, "is paused", because, (fix(f"let it go on: docker unpause {state.name}"),), again)
    elif not state.running:
        start = fix("start it", "nlctl", "up")
        yield _trouble(one, f"does not run: {state.last_exit or state.status}", "", (see, start), again)
    elif _falls(state):
        because = "the engine starts what ends; that it ends is the trouble"
        yield _trouble(one, f"starts again and again: {state.restarts} times so far", because, (see,), again)
    else:
        if state.restarts >= _OFTEN:
            because = "what it ran is lost each time, and it will most likely end again"
            found = _trouble(one, f"was started again {state.restarts} times", because, (see,))
            yield replace(found, verdict=Verdict.WARNING)
        if one.killed or state.oom_killed:
            because = "what the kernel kills is the largest: an action that needs more than its worker may use"
            found = _trouble(one, f"lost processes to the kernel: {memory}", because, (more, see), again[:1])
            yield replace(found, verdict=Verdict.WARNING)


def _unhealthy(one: Housed) -> Finding:
    see = fix("see its last words", "nlctl", "logs", one.part, "--tail", "50")
    again = fix("start it anew", "nlctl", "restart", one.part)
    remedies = Remedy("containers", (one.part,)), Remedy("restart_parts", (one.part,))
    return _trouble(one, "runs, and its health check fails", "", (see, again), remedies)


def _trouble(
    one: Housed, what: str, because: str, fixes: tuple[Fix, ...], remedies: tuple[Remedy, ...] = ()
) -> Finding:
    state = one.state
    limit = human_bytes(state.memory_bytes) if state.memory_bytes else "no limit"
    evidence = (
        Evidence("status", state.status, "State.Status"),
        Evidence("health", state.health or "no check", "State.Health"),
        Evidence("last exit", state.last_exit or "none", "State.ExitCode, State.OOMKilled"),
        Evidence("restarts", str(state.restarts), "RestartCount"),
        Evidence("memory", limit, "HostConfig.Memory"),
        Evidence("oom_kill", f"{one.killed} since it started", f"cgroup of {one.part}"),
    )
    return Finding(Verdict.FAILED, f"{one.part} {what}", because, evidence, fixes, remedies=remedies)


def _is_down(state: State) -> bool:
    return state.status != "running" or _falls(state)


def _falls(state: State) -> bool:
    """Whether it ends soon after each start. Between two ends it may be seen running, and is not well by then."""
    return state.status == "restarting" or (state.restarts >= _OFTEN and state.health not in (None, "healthy"))


def _known_cause(one: Housed) -> str:
    """The check that tells why it cannot stay: its config is wrong, or its directories lie so that it ends."""
    if one.state.exit_code == _BAD_CONFIG and not one.readable:
        return "NLD-CFG-01"
    return "NLD-DKR-02" if any(_divided(one)) else ""


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
                remedies=(Remedy("containers", (one.part,)),),
            )


def _divided(one: Housed) -> Iterator[Finding]:
    for kept in one.keeps:
        if kept.key == "content_path" or not kept.pair:
            continue
        here, there = _places(one, kept.path, kept.pair)
        if here != there:
            yield Finding(
                Verdict.FAILED,
                f"{one.part} has {kept.key} {kept.path} on another device or mount than {kept.pair}",
                "a file is renamed into its place, and linked: neither goes from one file system to another, nor from "
                "one mount to another of the same",
                (
                    Evidence(kept.key, here, f"Mounts, and stat in {one.part}"),
                    Evidence("content_path", there, f"Mounts, and stat in {one.part}"),
                ),
                (fix(f"put both on one mount, below {kept.pair.rpartition('/')[0]}"),),
                remedies=(Remedy("containers", (one.part,)),),
            )


def _places(one: Housed, *paths: str) -> list[str]:
    """On what each of these lies: the mount, and the device where it is known of all."""
    known = all(path in one.places for path in paths)
    mounts = [(path, one.mount_of(path)) for path in paths]
    return [
        (f"{mount.source} at {mount.target}" if mount else "the container's own layer")
        + (f", device {one.places[path][0]}" if known else "")
        for path, mount in mounts
    ]


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
                remedies=(Remedy("containers", (one.part,)),),
            )


def judge_sharing(housed: Sequence[Housed]) -> Iterable[Finding]:
    """Whether workers see each other's blobs, and no directory is written by servers that do not know each other."""
    found = [*_isolated(housed), *_fought(housed)]
    return found or [ok("no worker is alone with its blobs, and no directory has two masters")]


def _isolated(housed: Sequence[Housed]) -> Iterator[Finding]:
    """Workers that keep blobs, each on a volume of its own, and call no CAS: nothing that one makes reaches another."""
    workers = [one for one in housed if one.is_worker and one.readable and _contents(one)]
    alone = [one for one in workers if all(dial.role != "cas" for dial in one.dials)]
    sources = {one.part: tuple(sorted(_source(one, kept) for kept in _contents(one))) for one in alone}
    if len(alone) > 1 and len(set(sources.values())) > 1:
        yield Finding(
            Verdict.FAILED,
            f"{', '.join(sources)} keep blobs on volumes of their own, and call no CAS",
            "what one worker makes another does not find: builds fail with `Object not found`",
            tuple(Evidence(part, ", ".join(rows), "Mounts and its config") for part, rows in sources.items()),
            (fix(f"let {_WHOLE}"),),
            remedies=tuple(
                remedy
                for part in sources
                for remedy in (Remedy("recorded", (part, WHOLE)), Remedy("containers", (part,)))
            ),
        )


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
                remedies=tuple(Remedy("containers", (one.part,)) for one in foreign),
            )


def judge_network(housed: Sequence[Housed]) -> Iterable[Finding]:
    """Whether each part finds those that its config calls, and whether workers' ports are open to strangers."""
    found = [finding for one in housed for finding in (*_lost(one, housed), *_open(one))]
    calls = sum(len(one.dials) for one in housed)
    return found or [ok(f"{calls} servers that configs call are found by name, and take connections")]


def _lost(one: Housed, housed: Sequence[Housed]) -> Iterator[Finding]:
    names = ", ".join(other.part for other in housed if set(other.networks) & set(one.networks) and other != one)
    starting = {other.part for other in housed if other.state.health == "starting"}
    for dial in dict.fromkeys(replace(dial, role="") for dial in one.dials):
        where = str(dial)
        evidence = (
            Evidence("calls", where, "its config and environment"),
            Evidence("networks", ", ".join(one.networks) or "none", "NetworkSettings"),
        )
        remedies = (Remedy("recorded", (one.part, ADDRESSES)), Remedy("containers", (one.part,)))
        named = [Remedy("containers", (other.part,)) for other in housed if other.part == dial.host]
        if dial.host in _LOOPBACK:
            yield Finding(
                Verdict.FAILED,
                f"{one.part} calls {where}, which is its own container",
                "in a container the loopback is its own: others are found by their names",
                evidence,
                (fix(f"set CAS_ENDPOINT or the address in its config to a name on its network: {names}"),),
                remedies=remedies,
            )
        elif one.resolved.get(dial.host) is False:
            yield Finding(
                Verdict.FAILED,
                f"{one.part} calls {where}, and no container on its networks has this name",
                f"there are: {names or 'none'}",
                (*evidence, Evidence("resolved", "no", f"getent in {one.part}")),
                (fix("correct CAS_ENDPOINT or the address in its config, or put both on one network"),),
                remedies=(*remedies, *named),
            )
        elif where in one.closed and dial.host not in starting:
            yield Finding(
                Verdict.FAILED,
                f"{one.part} calls {where}, and nobody takes the connection",
                "the name leads somewhere, and no server listens at that port",
                (*evidence, Evidence("connected", "no", f"from inside {one.part}")),
                (fix("correct the port of CAS_ENDPOINT or of the address in its config"),),
                remedies=remedies,
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
                remedies=(Remedy("containers", (one.part,)),),
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
            remedies=tuple(Remedy("containers", (part,)) for parts in images.values() for part in parts),
        )
    ]


_COMPOSE: Final = "what Compose made is corrected in its file"
CHECKS: Final = (
    Check(
        "NLD-DKR-01",
        "docker",
        "every container runs, and none is killed for want of memory",
        Level.LOCAL,
        "status, exit code, OOM kills, restarts and health of every container, by the engine and its cgroup",
        "failed: down, killed, paused, or unhealthy; warning: it started again three times, or an action was killed",
        "its log; `nlctl up --memory 4gb`; a container made otherwise is made anew as the record says",
        _housed,
        judge_lives,
        needs=("NLD-PRC-02",),
        seconds=_SECONDS,
        repairs=("containers", "start_parts", "restart_parts"),
        by_hand="why a container ends stands in its log; how much memory it may take is a choice",
    ),
    Check(
        "NLD-DKR-02",
        "docker",
        "what stores keep lies on volumes, each store on one mount",
        Level.LOCAL,
        "the mounts of every container, the paths of its config on them, device and inode of each from inside",
        "failed: blobs on the container's own layer, or temp_path on another mount; warning: a volume without a store",
        "mount the volume where the config keeps blobs",
        _housed,
        judge_stores,
        seconds=_SECONDS,
        repairs=("containers",),
        by_hand=_COMPOSE,
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
        repairs=("recorded", "containers"),
        by_hand=_COMPOSE,
    ),
    Check(
        "NLD-DKR-04",
        "docker",
        "containers find each other, and the worker API is not open to strangers",
        Level.LOCAL,
        "every server that a config calls, resolved and connected to from inside its container; published ports",
        "failed: a name that nobody has, a port that nobody holds, or its own loopback; warning: a public worker API",
        "correct CAS_ENDPOINT; publish on 127.0.0.1",
        _housed,
        judge_network,
        needs=("NLD-PRC-02", "NLD-DKR-01"),
        seconds=_SECONDS,
        repairs=("recorded", "containers"),
        by_hand=_COMPOSE,
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
        repairs=("containers",),
        by_hand=_COMPOSE,
    ),
)
