"""Results that name blobs which the CAS has no more, and that clients are given all the same."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from nlserver.errors import Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.client import Client
from nlserver.reapi.digest import Digest, Function
from nlserver.reapi.results import parsed

from nlctl import layers, objects
from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.kinds.result_forgotten import Forgotten
from nlctl.doctor.repair import NoRepair, Repair
from nlctl.faults import fix

_MOST: Final = 2000
"""So many results are looked at, the latest used first."""


class Held(NamedTuple):
    """A result as a layer holds it, and whether all that it names is there."""

    part: str
    layer: str
    action: Digest
    value: bytes
    is_complete: bool


def look(ground: Ground, about: tuple[str, ...]) -> list[Held]:
    """The results that the stores of the action cache hold and clients are given; `about` is the digest function.

    With a hash after it, only results that name that blob.
    """
    function, *hashes = about
    sockets = ground.sockets()
    found: list[Held] = []
    for part, layer in _stores(layers.layers(sockets)):
        entries = sorted(layers.entries(sockets[part], layer, "", 0), key=lambda one: -one.used)[:_MOST]
        for action in [one.digest(Function[function]) for one in entries]:
            value = None if action is None else _value(sockets[part], layer, action)
            if action is None or value is None or not all(name.encode() in value for name in hashes):
                continue
            complete = ground.with_client(_completeness(parsed(value), action.function), action.function)
            found.append(Held(part, layer, action, value, complete))
    return found


def plan(found: Sequence[Held]) -> Sequence[Change]:
    """Forget those that name what is gone. Raises NoRepair where there are none."""
    made = [
        Forgotten(
            one.action.hash,
            one.action.size_bytes,
            one.action.function.name,
            one.part,
            one.layer,
            base64.b64encode(one.value).decode(),
        )
        for one in found
        if not one.is_complete
    ]
    if not made:
        raise NoRepair("no result names what is gone", fix("see the results", "nlctl", "ac", "ls"))
    return made


def _stores(known: Sequence[layers.Layer]) -> list[tuple[str, str]]:
    """Root stores of results of the CAS server, which clients are given as they are."""
    return [
        (one.part, one.path)
        for one in known
        if one.part == "cas" and "ac" in one.roles and one.can_list and "/" not in one.path
    ]


def _value(socket: str, layer: str, action: Digest) -> bytes | None:
    try:
        return b"".join(layers.read(socket, layer, action))
    except Error:
        return None


def _completeness(result: re_pb.ActionResult, function: Function) -> Callable[[Client], Awaitable[bool]]:
    async def complete(remote: Client) -> bool:
        return not await objects.absent(remote, await objects.parts(remote, result, function))

    return complete


REPAIR: Final = Repair(
    "dangling",
    "remove results that name what is gone, so that their actions run again",
    "the results are kept in the journal; undoing puts them back where no newer one is",
    look,
    plan,
)
