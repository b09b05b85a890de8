"""Results of actions: from the action cache, or from the layers behind it, which hide nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.client import Client
from nlserver.reapi.digest import Digest
from nlserver.reapi.results import parsed

from nlctl import layers
from nlctl.faults import NO_RESULT, Fault, fix
from nlctl.session import Session, Target


@dataclass(frozen=True)
class Held:
    """A result, and the layer that gave it where the action cache did not: PART:STORE/LAYER."""

    result: re_pb.ActionResult
    layer: str | None = None


async def of_action(session: Session, target: Target, remote: Client, action: Digest) -> Held:
    """The result of an action. Raises Fault NO_RESULT.

    An action cache that checks completeness hides results whose outputs are gone; on a cluster that nlctl started the
    layers below it are asked then.
    """
    found = await remote.action_result(action)
    if found is not None:
        return Held(found)
    if target.cluster is not None and (behind := _behind(session.sockets(target.cluster), action)) is not None:
        return behind
    raise none_of(action, target)


def _behind(sockets: Mapping[str, str | Path], action: Digest) -> Held | None:
    """What the layers of action caches hold, the deepest asked first."""
    known = [one for one in layers.layers(sockets) if "ac" in one.roles and one.part == "cas"]
    for layer in reversed(known):
        if (held := in_layer(sockets, layer, action)) is not None:
            return held
    return None


def in_layer(sockets: Mapping[str, str | Path], layer: layers.Layer, action: Digest) -> Held | None:
    """What this layer holds for an action; None when it holds nothing. Raises Error."""
    try:
        data = b"".join(layers.read(sockets[layer.part], layer.path, action))
    except Error as error:
        if error.code is not Code.NOT_FOUND:
            raise
        return None
    return Held(parsed(data), layer.name)


def none_of(action: Digest, target: Target) -> Fault:
    """There is no result."""
    name = action.written
    return Fault(
        NO_RESULT,
        f"there is no result of action {name}",
        why=f"the action cache at {target.cas} has none under this digest",
        fixes=[
            fix("run the action", "nlctl", "run", "--", "CMD"),
            fix("see whether the action itself is there", "nlctl", "cas", "stat", name),
        ],
    )
