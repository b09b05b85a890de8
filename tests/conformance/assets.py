"""Calls of the Remote Asset API in short."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from nlserver.proto import remote_asset_pb2 as ra

from tests.conformance.calls import code_of
from tests.conformance.target import Code, Target, rx

Qualifiers = Iterable[tuple[str, str]]


def fetch(target: Target, *uris: str, qualifiers: Qualifiers = (), **fields: Any) -> ra.FetchBlobResponse:
    """FetchBlob."""
    return target.fetch.FetchBlob(_request(ra.FetchBlobRequest, target, uris, qualifiers, fields))


def fetch_directory(
    target: Target, *uris: str, qualifiers: Qualifiers = (), **fields: Any
) -> ra.FetchDirectoryResponse:
    """FetchDirectory."""
    return target.fetch.FetchDirectory(_request(ra.FetchDirectoryRequest, target, uris, qualifiers, fields))


def push(target: Target, blob: rx.Digest, *uris: str, qualifiers: Qualifiers = (), **fields: Any) -> None:
    """PushBlob."""
    target.push.PushBlob(_request(ra.PushBlobRequest, target, uris, qualifiers, {"blob_digest": blob, **fields}))


def push_directory(target: Target, root: rx.Digest, *uris: str, qualifiers: Qualifiers = (), **fields: Any) -> None:
    """PushDirectory."""
    facts = {"root_directory_digest": root, **fields}
    target.push.PushDirectory(_request(ra.PushDirectoryRequest, target, uris, qualifiers, facts))


def outcome(ask: Callable[[], Any]) -> tuple[grpc.StatusCode, bool]:
    """How a call ends, and whether that stands inside of its response."""
    inside = False

    def asked() -> Any:
        nonlocal inside
        answer = ask()
        inside = True
        return answer

    return code_of(asked), inside


def sri(data: bytes, algorithm: str = "sha256") -> str:
    """The checksum of these bytes as Subresource Integrity writes it."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def checksum(data: bytes) -> tuple[str, str]:
    """The qualifier that demands these bytes."""
    return "checksum.sri", sri(data)


def moment(seconds: float) -> Timestamp:
    """The time so many seconds from now."""
    return Timestamp(seconds=int(time.time() + seconds))


def is_fetching(target: Target, url: str) -> bool:
    """Whether this server fetches from this machine at all."""
    return outcome(lambda: fetch(target, url))[0] is Code.OK


def _request(kind: Any, target: Target, uris: Iterable[str], qualifiers: Qualifiers, fields: dict[str, Any]) -> Any:
    listed = [ra.Qualifier(name=name, value=value) for name, value in qualifiers]
    return kind(**{"instance_name": target.instance, "uris": uris, "qualifiers": listed, **fields})
