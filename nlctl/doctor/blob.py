"""Why a blob is not found: exactly one verdict from what every viewpoint says of it. Pure.

The order of the questions is that of certainty: what was proved with a probe blob comes before what is concluded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nlserver.reapi.digest import Digest

from nlctl.doctor.finding import ADDRESSES, Evidence, Remedy
from nlctl.faults import Fix, fix
from nlctl.layers import Layer, Sighting


class Cause(StrEnum):
    """What is the matter with a blob. The names are stable."""

    PRESENT = "PRESENT"
    """It is everywhere it should be, and right."""
    SPLIT_CAS = "SPLIT_CAS"
    """A worker reads from another CAS than clients write to."""
    SCHED_SPLIT = "SCHED_SPLIT"
    """The scheduler checks another CAS."""
    SLOW_UNREACHABLE = "SLOW_UNREACHABLE"
    """A part cannot reach its CAS."""
    FAST_ONLY = "FAST_ONLY"
    """Only a worker's fast tier has it."""
    SHARED_FAST = "SHARED_FAST"
    """Processes that know nothing of each other evict from one fast directory."""
    STALE_INDEX = "STALE_INDEX"
    """The CAS says that it has it, and cannot read it."""
    CORRUPT = "CORRUPT"
    """Its bytes hash to something else."""
    EVICTED = "EVICTED"
    """The CAS had it, and made room."""
    AC_DANGLING = "AC_DANGLING"
    """A result names it, it is gone, and nothing hides such results."""
    WRONG_SIZE = "WRONG_SIZE"
    """The CAS has this hash with another size."""
    WRONG_FUNCTION = "WRONG_FUNCTION"
    """The CAS has it by another digest function."""
    WRONG_INSTANCE = "WRONG_INSTANCE"
    """Another instance has it."""
    NEVER_UPLOADED = "NEVER_UPLOADED"
    """No store has it or had it."""
    UNKNOWN = "UNKNOWN"
    """A viewpoint that would decide it gave no answer."""


@dataclass(frozen=True)
class Client:
    """What a client sees. `has` is None when it got no answer; `read` is `ok`, `wrong`, `absent`,
    `unread` of one that is too large to be read for this.
    """

    has: bool | None
    read: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything that was seen of a blob. Parts are asked about their layers; a bare server has none.

    `leads` says where each layer that stands for the shared CAS leads, by part and path; `split` are those of them
    through which a fresh probe blob was not seen. `dangling` tells whether a result that a client is given names it.
    `rivals` are the processes of a directory of blobs that each keep books of their own, as real NativeLink does; those
    of nlserver keep one for all.
    """

    digest: Digest
    client: Client
    sightings: Sequence[Sighting] = ()
    layers: Sequence[Layer] = ()
    leads: Mapping[tuple[str, str], str] = field(default_factory=dict)
    split: Sequence[tuple[str, str]] = ()
    other_sizes: Sequence[int] = ()
    other_function: str = ""
    other_instance: str | None = None
    dangling: bool = False
    rivals: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Hop:
    """One place on the way of the blob, and what it says: `has`, `lacks`, `silent`."""

    place: str
    kind: str
    says: str
    note: str = ""
    at_fault: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """The verdict with its reasons. `at` are the places, PART:STORE/LAYER, that it is about."""

    cause: Cause
    what: str
    because: str = ""
    at: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return self.cause is Cause.PRESENT


_HEAL: Final = "put it back from the tier that has it"


def diagnose(facts: Facts) -> Diagnosis:
    """The one verdict."""
    return next(_verdicts(facts))


def _verdicts(facts: Facts) -> Iterator[Diagnosis]:
    """What can be said, the most certain first; the last always comes."""
    name = facts.digest.written
    client = facts.client
    if client.has is None:
        yield Diagnosis(
            Cause.UNKNOWN,
            f"the CAS gave no answer: {client.trouble}",
            fixes=(fix("find out why", "nlctl", "doctor", "network"),),
        )
    yield from _of_ways(facts)
    if client.has:
        if facts.client.read in ("ok", "unread"):
            yield from _of_rivals(facts)
        yield from _of_reading(facts, name)
    if facts.other_sizes:
        sizes = ", ".join(map(str, facts.other_sizes))
        yield Diagnosis(
            Cause.WRONG_SIZE,
            f"the CAS has this hash with {sizes} bytes, not {facts.digest.size_bytes}",
            "a digest is a hash and a size; one of the two was written down wrong",
            evidence=(Evidence("sizes", sizes, "listing of the CAS"),),
            fixes=(fix("ask for", "nlctl", "cas", "get", f"{facts.digest.hash}/{facts.other_sizes[0]}"),),
        )
    if facts.other_function:
        yield Diagnosis(
            Cause.WRONG_FUNCTION,
            f"the CAS has it as a {facts.other_function} digest",
            "client and server must speak of one digest function",
            fixes=(fix(f"set it in the client, for Bazel: --digest_function={facts.other_function.lower()}"),),
        )
    if facts.other_instance is not None:
        yield Diagnosis(
            Cause.WRONG_INSTANCE,
            f"the instance {facts.other_instance!r} has it",
            "each instance name may stand for stores of its own",
            fixes=(fix(f"set it in the client, for Bazel: --remote_instance_name={facts.other_instance}"),),
        )
    yield from _of_absence(facts, name)


def _of_ways(facts: Facts) -> Iterator[Diagnosis]:
    silent = [one for one in facts.sightings if one.state == "unreachable" and (one.part, one.path) in facts.leads]
    for part, path in facts.split:
        leads = facts.leads[part, path]
        scheduler = any(one.part == part and one.kind == "completeness_checking" for one in facts.layers)
        cause = Cause.SCHED_SPLIT if scheduler else Cause.SPLIT_CAS
        yield Diagnosis(
            cause,
            f"{part} reads from another CAS than clients write to: {leads}",
            "a fresh probe blob that was written as a client writes was not seen there. Parts need not share a "
            "directory, whatever the server's message says: they must reach one CAS server",
            (f"{part}:{path}",),
            (Evidence(f"{part}:{path}", "probe not seen", leads),),
            (
                fix(f"set the endpoint of {path} in {part}.json5 to the CAS of the clients, then restart {part}"),
                fix("see the line", "nlctl", "config", "validate", "--deep"),
            ),
            (Remedy("recorded", (part, ADDRESSES)),),
        )
    for one in silent:
        yield Diagnosis(
            Cause.SLOW_UNREACHABLE,
            f"{one.part} cannot reach its CAS at {facts.leads[one.part, one.path]}",
            one.message,
            (f"{one.part}:{one.path}",),
            (Evidence(f"{one.part}:{one.path}", one.message or "no answer", "TraceBlob"),),
            (fix("see what is down", "nlctl", "doctor", "network", "host"), fix("", "nlctl", "logs", one.part)),
            (Remedy("recorded", (one.part, ADDRESSES)),),
        )


def _blob(facts: Facts) -> Remedy:
    """The repair that brings it back."""
    return Remedy("blob", (facts.digest.hash, str(facts.digest.size_bytes), facts.digest.function.name))


def _of_rivals(facts: Facts) -> Iterator[Diagnosis]:
    for folder, processes in facts.rivals.items():
        yield Diagnosis(
            Cause.SHARED_FAST,
            f"{len(processes)} processes evict from {folder}, and none knows of the others",
            "each keeps books of its own: it removes what another has just fetched, and the action fails. "
            "Workers need not share a directory, whatever the server's message says: they must reach one CAS server",
            evidence=tuple(Evidence(one, folder, "device and inode") for one in processes),
            fixes=(
                fix("give each process a content_path of its own"),
                fix("or run nlserver, whose processes keep one account of a directory"),
            ),
        )


def _of_reading(facts: Facts, name: str) -> Iterator[Diagnosis]:
    match facts.client.read:
        case "ok":
            yield Diagnosis(
                Cause.PRESENT,
                "it is there, and its bytes are right",
                "whoever missed it looked before it was uploaded, or it has come back since",
                evidence=(Evidence("read", f"{facts.digest.size_bytes} bytes, verified", "client"),),
                fixes=(fix("try the build again"),),
            )
        case "unread":
            yield Diagnosis(
                Cause.PRESENT,
                "it is there; it is too large for its bytes to be read here",
                evidence=(Evidence("FindMissingBlobs", "present", "client"),),
                fixes=(fix("read and hash them", "nlctl", "cas", "verify", name),),
            )
        case "wrong" if facts.other_function:
            return
        case "wrong":
            yield Diagnosis(
                Cause.CORRUPT,
                "its bytes hash to something else",
                "a disk, or somebody who wrote into the store's directory, changed them",
                _places(facts, ("cas",)),
                fixes=(
                    fix(_HEAL, "nlctl", "cas", "heal", name),
                    fix("look for more", "nlctl", "cas", "verify", "--all"),
                ),
                remedies=(_blob(facts),),
            )
        case trouble:
            yield Diagnosis(
                Cause.STALE_INDEX,
                "the CAS lists it as present and cannot read it",
                "its file went away behind the store's back",
                _places(facts, ("cas",)),
                (Evidence("read", trouble, "client"),),
                (fix(_HEAL, "nlctl", "cas", "heal", name), fix("let the store count again", "nlctl", "restart", "cas")),
                (_blob(facts),),
            )


def _of_absence(facts: Facts, name: str) -> Iterator[Diagnosis]:
    holders = [one for one in facts.sightings if one.state == "present" and one.kind not in ("grpc", "fast_slow")]
    if holders:
        where = tuple(f"{one.part}:{one.path}" for one in holders)
        yield Diagnosis(
            Cause.FAST_ONLY,
            f"only {', '.join(where)} has it, and the CAS lacks it",
            "it was never written through to the CAS, or the CAS lost it since",
            where,
            fixes=(fix(_HEAL, "nlctl", "cas", "heal", name),),
            remedies=(_blob(facts),),
        )
    evicted = [one for one in facts.sightings if one.evicted is not None]
    if evicted:
        yield _evicted(facts, evicted)
    yield from _of_rivals(facts)
    silent = [one for one in facts.sightings if one.state == "unreachable"]
    if silent:
        yield Diagnosis(
            Cause.UNKNOWN,
            f"no store that answered has it, and {', '.join(sorted({one.part for one in silent}))} gave no answer",
            silent[0].message,
            tuple(f"{one.part}:{one.path}" for one in silent),
            fixes=(fix("see what is down", "nlctl", "status"),),
        )
    yield Diagnosis(
        Cause.NEVER_UPLOADED,
        "no store has it, and none ever gave it up",
        "a client that believes that it uploaded it remembers another server or an older state of this one",
        evidence=tuple(Evidence(f"{one.part}:{one.path}", one.state, "TraceBlob") for one in facts.sightings),
        fixes=(
            fix("upload it", "nlctl", "cas", "put", "PATH"),
            fix("or let the client forget what it believes, for Bazel: bazel clean, or bazel shutdown"),
        ),
    )


def _evicted(facts: Facts, evicted: Sequence[Sighting]) -> Diagnosis:
    last = max(evicted, key=lambda one: one.evicted.when if one.evicted else 0.0)
    assert last.evicted is not None
    place = f"{last.part}:{last.path}"
    evidence = (Evidence(place, f"evicted by {last.evicted.limit}", "eviction journal"),)
    bigger = fix("give the CAS more room", "nlctl", "up", "--cas-size", "50gb")
    retry = fix("let Bazel start again what it lost: --experimental_remote_cache_eviction_retries=5")
    if facts.dangling:
        return Diagnosis(
            Cause.AC_DANGLING,
            "a result names it, and the CAS gave it up",
            "nothing hides results whose outputs are gone: the client is told that the action is done",
            (place,),
            evidence,
            (
                fix("put completeness_checking above the store of results"),
                fix("remove the result: find it with", "nlctl", "ac", "ls"),
                bigger,
            ),
            (Remedy("dangling", (facts.digest.function.name, facts.digest.hash)),),
        )
    unused = last.evicted.unused_seconds
    return Diagnosis(
        Cause.EVICTED,
        f"{place} gave it up by {last.evicted.limit}, {unused:.0f}s after its last use",
        "the store was full, and this was what nobody had used for longest",
        (place,),
        evidence,
        (bigger, retry),
    )


def _places(facts: Facts, parts: Sequence[str]) -> tuple[str, ...]:
    found = [one for one in facts.sightings if one.state == "present" and one.part in parts and one.kind != "grpc"]
    return tuple(f"{one.part}:{one.path}" for one in found)


def way(facts: Facts, found: Diagnosis) -> list[Hop]:
    """The places that the blob passes, the client first, with a mark on those at fault."""
    client = facts.client
    says = "silent" if client.has is None else "has" if client.has else "lacks"
    read = {"ok": "digest verified", "unread": "not read"}
    note = read.get(client.read, f"read: {client.read}") if client.has else ""
    hops = [Hop("client", "", says, client.trouble or note)]
    for one in facts.sightings:
        place = f"{one.part}:{one.path}" if one.path else one.part
        word = {"present": "has", "absent": "lacks"}.get(one.state, "silent")
        leads = facts.leads.get((one.part, one.path), "")
        notes = [f"leads to {leads}" if leads else "", one.message]
        if (one.part, one.path) in facts.leads and one.state != "unreachable":
            notes.append("probe not seen" if (one.part, one.path) in facts.split else "probe seen")
        if one.evicted is not None:
            notes.append(f"evicted by {one.evicted.limit}")
        hops.append(Hop(place, one.kind, word, ", ".join(filter(None, notes)), place in found.at))
    return hops
