"""Push: registering which content a URI stands for (Remote Asset API)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from nlserver.asset.integrity import Checksum, Hashes
from nlserver.asset.presence import lacking
from nlserver.asset.question import Question, question
from nlserver.asset.records import Kind, Records
from nlserver.clock import Clock
from nlserver.errors import Code, Error, invalid
from nlserver.proto import asset_pb2, remote_asset_pb2, remote_execution_pb2
from nlserver.reapi.digest import Digest, Function, digest_of, function_of
from nlserver.service import Context, InstanceSpec, Service, instance
from nlserver.spec import Site, Text
from nlserver.store import Store, is_empty, store_named
from nlserver.streams import OFF_LOOP_BYTES, closing


@dataclass(frozen=True, kw_only=True)
class PushSpec(InstanceSpec):
    """Takes from clients which content a URI stands for; `fetch` with the same store answers it."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    push_store: Text
    """Keeps what is known of URIs, by its name in `stores`."""
    read_only: bool = False
    """Refuse everything: only trusted machines, on another listener, say what a URI stands for."""
    cas_store: Text | None = None
    """The store of the content, by its name in `stores`. An addition of ours: unless stated it is the `cas_store` of
    this instance on the same listener, or else `push_store`."""


class _Place(NamedTuple):
    """What one instance has."""

    records: Records
    blobs: Store
    read_only: bool


_MOST_REFERENCES: Final = 1 << 14
_LATEST: Final = 253_402_300_799
"""The last second of the year 9999, where google.protobuf.Timestamp ends."""


def build(specs: Sequence[PushSpec], site: Site, *, cas: Mapping[str, Store] | None = None) -> Service:
    """The service for these instances; `cas` gives their blobs where this listener serves them too."""
    beside = cas or {}
    places: dict[str, _Place] = {}
    for spec in specs:
        records = store_named(site, spec.push_store)
        blobs = store_named(site, spec.cas_store) if spec.cas_store else beside.get(spec.instance_name, records)
        places[spec.instance_name] = _Place(Records(records), blobs, spec.read_only)
    return Push(places, Function[site.default_function.upper()], site.clock)


class Push(Service):
    """Remote Asset API, Push. What is registered is in the CAS already, with all that it refers to."""

    descriptors = (remote_asset_pb2.DESCRIPTOR.services_by_name["Push"],)

    def __init__(self, places: Mapping[str, _Place], default: Function, clock: Clock) -> None:
        self._places = places
        self._default = default
        self._clock = clock

    async def PushBlob(
        self, request: remote_asset_pb2.PushBlobRequest, context: Context
    ) -> remote_asset_pb2.PushBlobResponse:
        """Register a blob under each of the URIs.

        Raises Error INVALID_ARGUMENT for malformed requests and for a blob that has not the checksum in the
        qualifiers, FAILED_PRECONDITION naming blobs that are not in the CAS, PERMISSION_DENIED where the instance is
        read only.
        """
        blob = request.blob_digest if request.HasField("blob_digest") else None
        await self._register(Kind.BLOB, request, blob, context)
        return remote_asset_pb2.PushBlobResponse()

    async def PushDirectory(
        self, request: remote_asset_pb2.PushDirectoryRequest, context: Context
    ) -> remote_asset_pb2.PushDirectoryResponse:
        """Register a directory under each of the URIs. Raises Error as `PushBlob` does."""
        root = request.root_directory_digest if request.HasField("root_directory_digest") else None
        await self._register(Kind.DIRECTORY, request, root, context)
        return remote_asset_pb2.PushDirectoryResponse()

    async def _register(
        self,
        kind: Kind,
        request: remote_asset_pb2.PushBlobRequest | remote_asset_pb2.PushDirectoryRequest,
        message: remote_execution_pb2.Digest | None,
        context: Context,
    ) -> None:
        place = instance(self._places, request.instance_name)
        asked = question(request.uris, request.qualifiers, function_of(request.digest_function, self._default))
        if place.read_only:
            raise Error(Code.PERMISSION_DENIED, f"assets of '{request.instance_name}' are read only on this endpoint")
        if message is None:
            raise invalid(f"the digest of the {kind.value} is missing in the request")
        digest = digest_of(message, asked.function)
        blobs = _references(request.references_blobs, asked.function)
        roots = _references(request.references_directories, asked.function)
        (roots if kind is Kind.DIRECTORY else blobs).append(digest)
        if missing := await lacking(place.blobs, blobs, roots):
            raise _unfit(missing)
        if asked.checksums:
            await _check(place.blobs, kind, digest, asked.checksums)
        await self._keep(place, kind, asked, _record(request, digest, context.peer()))

    async def _keep(self, place: _Place, kind: Kind, asked: Question, record: asset_pb2.Record) -> None:
        record.recorded.FromNanoseconds(int(self._clock.wall() * 1e9))
        record.qualifiers.extend(remote_asset_pb2.Qualifier(name=name, value=value) for name, value in asked.shown)
        for uri in asked.uris:
            record.uri = uri
            await place.records.keep(kind, asked, record)


def _record(
    request: remote_asset_pb2.PushBlobRequest | remote_asset_pb2.PushDirectoryRequest, digest: Digest, peer: str
) -> asset_pb2.Record:
    record = asset_pb2.Record(
        digest=remote_execution_pb2.Digest(hash=digest.hash, size_bytes=digest.size_bytes),
        digest_function=remote_execution_pb2.DigestFunction.Value.ValueType(digest.function),
        references_blobs=request.references_blobs,
        references_directories=request.references_directories,
        registered_by=peer,
    )
    if request.HasField("expire_at"):
        if request.expire_at.seconds > _LATEST:
            raise invalid(f"expire_at {request.expire_at.seconds} is after the year 9999")
        record.expire_at.CopyFrom(request.expire_at)
    return record


def _references(messages: Sequence[remote_execution_pb2.Digest], function: Function) -> list[Digest]:
    if len(messages) > _MOST_REFERENCES:
        raise invalid(f"{len(messages)} references in one request; at most {_MOST_REFERENCES} are accepted")
    return [digest_of(message, function) for message in messages]


def _unfit(missing: Iterable[Digest]) -> Error:
    subjects = [digest.subject for digest in missing]
    return Error(
        Code.FAILED_PRECONDITION,
        f"{len(subjects)} blobs of the asset are not in the CAS",
        remedy="Upload them before the asset is registered.",
        missing=subjects,
    )


async def _check(store: Store, kind: Kind, digest: Digest, checksums: Sequence[Checksum]) -> None:
    """Raise Error INVALID_ARGUMENT unless the blob has one of the checksums: whoever fetches it relies on that."""
    if kind is Kind.DIRECTORY:
        raise invalid("a directory has no checksum.sri")
    hashes = Hashes(digest.function, checksums)
    if not is_empty(digest):
        async with closing(store.read(digest)) as chunks:
            async for chunk in chunks:
                if len(chunk) >= OFF_LOOP_BYTES:
                    await asyncio.to_thread(hashes.update, chunk)
                else:
                    hashes.update(chunk)
    if not hashes.hold:
        raise invalid(f"blob {digest} has none of the checksums in checksum.sri")
