"""The action cache of one instance at a remote server, as serialised ActionResults."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import methods
from nlserver.reapi.channel import Channel
from nlserver.reapi.digest import Digest
from nlserver.reapi.tree import message_of
from nlserver.reapi.wire import update_action_result_request


class Results:
    """A remote action cache. The channel is the caller's."""

    def __init__(self, channel: Channel, instance_name: str = "", *, timeout_seconds: float | None = None) -> None:
        self._channel = channel
        self._instance = instance_name
        self._timeout = timeout_seconds

    async def get(self, action: Digest) -> bytes | None:
        """The serialised ActionResult, None for a miss (REAPI v2, GetActionResult). Raises Error."""
        request = re_pb.GetActionResultRequest(
            instance_name=self._instance,
            action_digest=message_of(action),
            digest_function=action.function.value,  # type: ignore[arg-type]
        )
        try:
            return await self._channel.unary(methods.GET_ACTION_RESULT, request, self._timeout)
        except Error as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return None

    async def put(self, action: Digest, result: bytes) -> bytes:
        """Store a serialised ActionResult; what the server made of it (REAPI v2, UpdateActionResult). Raises Error."""
        request = update_action_result_request(self._instance, action, result)
        return await self._channel.unary(methods.UPDATE_ACTION_RESULT, request, self._timeout)


def parsed(data: bytes) -> re_pb.ActionResult:
    """The ActionResult in what a server answered. Raises Error INTERNAL."""
    try:
        return re_pb.ActionResult.FromString(data)
    except DecodeError:
        raise Error(Code.INTERNAL, "the server answered with something that is no ActionResult") from None
