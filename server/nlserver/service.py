"""What a gRPC service is, and the border at which errors become statuses. The kinds stand in `services/`.

A service is a class whose coroutine methods carry the names of the RPCs; it is told messages and answers messages or
raises `Error`. Server-streaming methods write with `await context.write(message)`, which applies back-pressure.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from nlserver import log
from nlserver.errors import Code, Error, invalid
from nlserver.metrics import Count, count
from nlserver.reapi.status import status_of
from nlserver.spec import Spec

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
# gRPC refuses trailers past 8 KiB, and the client then sees another error altogether (measured).
_MOST_TRAILER_VIOLATIONS: Final = 40
_STATUS_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class InstanceSpec(Spec):
    """An item of a service list: what one instance name stands for."""

    # NativeLink behaviour: such items are decoded in two steps, and unknown keys get lost between them.
    ignores_unknown = True
    buffered = True

    instance_name: str


class Service:
    """One gRPC service of one listener; a method that it lacks answers UNIMPLEMENTED."""

    descriptors: ClassVar[Sequence[ServiceDescriptor]] = ()
    readers: ClassVar[Mapping[str, Callable[[bytes], Any]]] = {}
    """What reads the requests of a method in the place of protobuf; it raises DecodeError, too."""

    def handlers(self) -> list[grpc.GenericRpcHandler[Any, Any]]:
        """What the server registers: one handler for each descriptor."""
        return [_handler(descriptor, self) for descriptor in self.descriptors]


def instance(table: Mapping[str, T], name: str) -> T:
    """What this instance name stands for. Raises Error INVALID_ARGUMENT: loud, and no client takes it for a miss."""
    try:
        return table[name]
    except KeyError:
        known = ", ".join(repr(known) for known in sorted(table)) or "none"
        raise invalid(
            f"'instance_name' not configured for {name[:200]!r}", remedy=f"Instances served here: {known}"
        ) from None


async def refuse(context: Context, error: Error) -> None:
    """End the call with this error's status; does not return."""
    count(Count.FAILED_CALLS)
    status = status_of(error, _MOST_TRAILER_VIOLATIONS)
    trailers = (("grpc-status-details-bin", status.SerializeToString()),) if status.details else ()
    forget_frames(error)
    try:
        await context.abort(_STATUS_CODES[status.code], status.message, trailers)
    except grpc.aio.AbortError as abort:
        # gRPC's state of the call keeps it, whose frames keep that state and with it the connection. It wants to catch
        # the very same error, which it will have done by the loop's next turn.
        asyncio.get_running_loop().call_soon(forget_frames, abort)
        raise


def forget_frames(error: BaseException) -> None:
    """Let go of the frames that an error and those behind it came through, which nobody will look at.

    They hold what the call was about, messages of some mebibytes, and a failed task or future that they wait for holds
    the error. Such a circle stays until the collector goes through everything, which many new objects make it do and
    large ones do not: a CAS whose disk was full grew by 15 MiB a second (measured).
    """
    seen: set[int] = set()
    found: list[BaseException | None] = [error]
    while found:
        one = found.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            found += (one.__cause__, one.__context__)


async def unreadable(context: Context) -> None:
    """Answer a request that is no message of its type; does not return."""
    await refuse(context, invalid("the request is not a valid protobuf message of this method's type"))


class Unreadable:
    """Stands for a request that could not be decoded: grpc.aio itself would answer UNKNOWN and leak the exception."""


UNREADABLE: Final = Unreadable()


async def _guarded(context: Context, work: Awaitable[T]) -> T | None:
    count(Count.CALLS)
    try:
        return await work
    except Error as error:
        await refuse(context, error)
    except grpc.aio.InternalError:
        # The client is gone while something was sent to it: gRPC logs a traceback of this, unlike of cancelling.
        raise asyncio.CancelledError from None
    except grpc.aio.BaseError:
        raise
    except Exception as error:
        incident = uuid.uuid4().hex[:12]
        log.error("Unexpected failure of a call", cause=error, incident=incident)
        await refuse(
            context, Error(Code.INTERNAL, f"internal error {incident}", remedy="The server's log has the details.")
        )
    return None


def _reader(parse: Callable[[bytes], T]) -> Callable[[bytes], T | Unreadable]:
    def read(data: bytes) -> T | Unreadable:
        count(Count.RECEIVED_BYTES, len(data))
        try:
            return parse(data)
        except DecodeError:
            return UNREADABLE

    return read


def _serialize(message: Message | bytes) -> bytes:
    # A service may answer bytes that it serialised itself, to spare a copy of a blob.
    data: bytes = message if type(message) is bytes else message.SerializeToString()  # type: ignore[union-attr]
    count(Count.SENT_BYTES, len(data))
    return data


async def _readable(requests: Any, context: Context) -> Any:
    async for request in requests:
        if request is UNREADABLE:
            await unreadable(context)
        yield request


def _method(
    descriptor: MethodDescriptor, call: Callable[..., Awaitable[Any]], parse: Callable[[bytes], Any] | None
) -> grpc.RpcMethodHandler[Any, Any]:
    async def one(request: Any, context: Context) -> Any:
        if request is UNREADABLE:
            await unreadable(context)
        return await _guarded(context, call(request, context))

    async def many(requests: Any, context: Context) -> Any:
        stream = aiter(requests)
        try:
            return await _guarded(context, call(_readable(stream, context), context))
        finally:
            # gRPC's reader and its generator hold each other, with the last message and the state of the call.
            await stream.aclose()

    make: Any
    match descriptor.client_streaming, descriptor.server_streaming:
        case False, False:
            make = grpc.unary_unary_rpc_method_handler
        case False, True:
            make = grpc.unary_stream_rpc_method_handler
        case True, False:
            make = grpc.stream_unary_rpc_method_handler
        case _:
            make = grpc.stream_stream_rpc_method_handler
    handler: grpc.RpcMethodHandler[Any, Any] = make(
        many if descriptor.client_streaming else one,
        request_deserializer=_reader(parse or GetMessageClass(descriptor.input_type).FromString),
        response_serializer=_serialize,
    )
    return handler


def _handler(descriptor: ServiceDescriptor, service: Service) -> grpc.GenericRpcHandler[Any, Any]:
    methods = {
        method.name: _method(method, getattr(service, method.name), service.readers.get(method.name))
        for method in descriptor.methods
        if hasattr(service, method.name)
    }
    return grpc.method_handlers_generic_handler(descriptor.full_name, methods)
