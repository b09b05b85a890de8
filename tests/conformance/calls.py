"""The same digest or the same instance name through every call that takes one, for the rules about all of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from tests.conformance.target import ASSET, REAPI, Code, Target, bs, digest, messages, rx, statuses

Ask = Callable[[], Any]
"""A call that is made when it is called; its answer may be a message, or a stream of them."""

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_CAS: Final = f"/{REAPI}.ContentAddressableStorage"
_AC: Final = f"/{REAPI}.ActionCache"


def code_of(ask: Ask) -> grpc.StatusCode:
    """How this call ends: its status, or the first one in its answer that is not OK."""
    try:
        answer = ask()
        parts = [answer] if isinstance(answer, Message) else list(answer or ())
    except grpc.RpcError as error:
        return error.code()
    return next((_CODES[one.code] for part in parts for one in _in(part) if one.code), Code.OK)


def _in(message: Message) -> Iterator[Any]:
    yield from statuses(message)
    if (response := getattr(message, "response", None)) is not None:
        inner = rx.ExecuteResponse()
        if response.Unpack(inner):
            yield inner.status


def codes_of(calls: Mapping[str, Ask]) -> dict[str, grpc.StatusCode]:
    """How each of these calls ends; those that are not implemented are left out."""
    ended = {name: code_of(ask) for name, ask in calls.items()}
    return {name: code for name, code in ended.items() if code is not Code.UNIMPLEMENTED}


def by_digest(target: Target, wanted: rx.Digest | None, data: bytes = b"x", **fields: Any) -> dict[str, Ask]:
    """Every served call that takes a digest in a message, with this one; `fields` go into each request."""
    common = {"instance_name": target.instance, **fields}
    given = [wanted or rx.Digest()]
    upload = rx.BatchUpdateBlobsRequest.Request(digest=wanted, data=data)
    calls: dict[str, Ask] = {
        f"{_CAS}/FindMissingBlobs": lambda: target.cas.FindMissingBlobs(
            rx.FindMissingBlobsRequest(blob_digests=given, **common)
        ),
        f"{_CAS}/BatchUpdateBlobs": lambda: target.cas.BatchUpdateBlobs(
            rx.BatchUpdateBlobsRequest(requests=[upload], **common)
        ),
        f"{_CAS}/BatchReadBlobs": lambda: target.cas.BatchReadBlobs(rx.BatchReadBlobsRequest(digests=given, **common)),
        f"{_CAS}/GetTree": lambda: target.cas.GetTree(rx.GetTreeRequest(root_digest=wanted, **common)),
        f"{_CAS}/SplitBlob": lambda: target.cas.SplitBlob(rx.SplitBlobRequest(blob_digest=wanted, **common)),
        f"{_CAS}/SpliceBlob": lambda: target.cas.SpliceBlob(
            rx.SpliceBlobRequest(blob_digest=wanted, chunk_digests=[digest(b"x")], **common)
        ),
        f"{_AC}/GetActionResult": lambda: target.ac.GetActionResult(
            rx.GetActionResultRequest(action_digest=wanted, **common)
        ),
        f"{_AC}/UpdateActionResult": lambda: target.ac.UpdateActionResult(
            rx.UpdateActionResultRequest(action_digest=wanted, action_result=rx.ActionResult(exit_code=1), **common)
        ),
        f"/{REAPI}.Execution/Execute": lambda: target.execution.Execute(
            rx.ExecuteRequest(action_digest=wanted, **common)
        ),
    }
    return {method: ask for method, ask in calls.items() if target.serves(method)}


def by_name(target: Target, blob: str) -> dict[str, Ask]:
    """Every ByteStream call, with a resource name that ends like this (`blobs/...`)."""
    prefix = f"{target.instance}/" if target.instance else ""
    return by_resource(target, f"{prefix}{blob}", f"{prefix}uploads/{uuid.uuid4()}/{blob}")


def by_resource(target: Target, read: str, write: str) -> dict[str, Ask]:
    """Every ByteStream call, with these whole resource names."""
    return {
        "Read": lambda: target.bytestream.Read(bs.ReadRequest(resource_name=read)),
        "Write": lambda: target.bytestream.Write(messages(write, b"x")),
        "QueryWriteStatus": lambda: target.bytestream.QueryWriteStatus(bs.QueryWriteStatusRequest(resource_name=write)),
    }


def by_instance(target: Target, name: str) -> dict[str, Ask]:
    """Every served call that takes an instance name, with this one and otherwise flawless."""
    blob = digest(b"x")
    prefix = f"{name}/" if name else ""
    place = f"blobs/{blob.hash}/{blob.size_bytes}"
    asset = f"/{ASSET}.Fetch/FetchBlob"
    calls = {
        **by_digest(target, blob, instance_name=name),
        **by_resource(target, f"{prefix}{place}", f"{prefix}uploads/{uuid.uuid4()}/{place}"),
        "GetCapabilities": lambda: target.capabilities_service.GetCapabilities(
            rx.GetCapabilitiesRequest(instance_name=name)
        ),
    }
    if target.serves(asset):
        from nlserver.proto import remote_asset_pb2

        calls[asset] = lambda: target.fetch.FetchBlob(
            remote_asset_pb2.FetchBlobRequest(instance_name=name, uris=["http://127.0.0.1:1/"])
        )
    return calls
