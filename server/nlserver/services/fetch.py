"""Fetch: which content a URI stands for, from what was registered or from the network (Remote Asset API)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from nlserver import log
from nlserver.asset.address import networks_of
from nlserver.asset.download import Downloads, Policy, Undelivered
from nlserver.asset.flights import Flights
from nlserver.asset.presence import lacking
from nlserver.asset.question import Question, is_downloadable, question, unsupported, without_query
from nlserver.asset.records import Kind, Records
from nlserver.clock import Clock
from nlserver.errors import Code, Error
from nlserver.proto import asset_pb2, remote_asset_pb2, remote_execution_pb2
from nlserver.reapi.digest import Digest, Function, digest_of, function_of, is_empty
from nlserver.reapi.status import status_of
from nlserver.service import Context, InstanceSpec, Service, instance
from nlserver.spec import Flag, Number, Seconds, Site, Size, Spec, Text, key
from nlserver.store import Store, file_chunks, store_named
from nlserver.verified import verified


@dataclass(frozen=True, kw_only=True)
class DownloadSpec(Spec):
    """What the server may fetch from the network for its clients. An addition of ours: NativeLink fetches nothing."""

    require_checksum: Flag = True
    """Fetch only content whose checksum the client states (`checksum.sri`, which Bazel sends for `sha256` and
    `integrity`). Without one, whoever can change what a server answers changes what builds are made of."""
    allowed_hosts: tuple[Text, ...] | None = None
    """The hosts to fetch from, also after redirects: `example.org`, `*.example.org`. Absent means any; an empty list
    turns fetching off."""
    allowed_networks: tuple[Text, ...] = ()
    """Networks that may be connected to although they are private, such as `10.0.0.0/8`. Without them clients cannot
    reach through this server what only this server can reach."""
    max_bytes: Size = key(zero=8 << 30)
    """The largest content."""
    timeout_s: Seconds = key(zero=600)
    """How long fetching may take; a client may ask for less."""
    max_concurrent: Number = key(zero=16)
    """So many are fetched at a time; more wait."""
    temp_path: Text | None = None
    """An existing directory with room for `max_concurrent` times `max_bytes`, in which content stands until it is whole
    and verified; the system's directory for temporary files unless stated."""

    @classmethod
    def problems(cls, values: DownloadSpec) -> list[str]:
        """Networks that are none."""
        try:
            networks_of(values.allowed_networks)
        except ValueError as wrong:
            return [f"allowed_networks: {wrong}"]
        return []

    def build(self) -> Downloads:
        """What fetches within these limits. Raises Error FAILED_PRECONDITION where `temp_path` cannot be used."""
        if self.temp_path is not None and not os.access(self.temp_path, os.W_OK | os.X_OK):
            raise Error(
                Code.FAILED_PRECONDITION,
                "download.temp_path is no directory in which this process may write",
                where=self.temp_path,
                remedy="Make the directory, or take temp_path out.",
            )
        policy = Policy(
            hosts=self.allowed_hosts,
            networks=networks_of(self.allowed_networks),
            needs_checksum=self.require_checksum,
            most_bytes=self.max_bytes,
            seconds=self.timeout_s,
            most_at_once=self.max_concurrent,
            temporary=self.temp_path,
        )
        return Downloads(policy)


@dataclass(frozen=True, kw_only=True)
class FetchSpec(InstanceSpec):
    """Answers which content a URI stands for: what `push` registered, and by http and https what the network has."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    fetch_store: Text
    """Keeps what is known of URIs, by its name in `stores`. What is registered is found where `push_store` is the
    same."""
    cas_store: Text | None = None
    """The store of the content, by its name in `stores`. An addition of ours: unless stated it is the `cas_store` of
    this instance on the same listener, or else `fetch_store`."""
    download: DownloadSpec = key(default_factory=DownloadSpec)
    """What may be fetched from the network."""


class _Place(NamedTuple):
    """What one instance has."""

    name: str
    records: Records
    blobs: Store
    downloads: Downloads
    taught: bool
    """Whether assets can be registered here."""


class _Found(NamedTuple):
    record: asset_pb2.Record
    digest: Digest


def build(
    specs: Sequence[FetchSpec], site: Site, *, cas: Mapping[str, Store] | None = None, taught: Collection[str] = ()
) -> Service:
    """The service for these instances.

    `cas` gives the instances' blobs where this listener serves them too, `taught` the stores in which assets are
    registered.
    """
    beside = cas or {}
    places: dict[str, _Place] = {}
    for spec in specs:
        records = store_named(site, spec.fetch_store)
        blobs = store_named(site, spec.cas_store) if spec.cas_store else beside.get(spec.instance_name, records)
        places[spec.instance_name] = _Place(
            spec.instance_name, Records(records), blobs, spec.download.build(), spec.fetch_store in taught
        )
    return Fetch(places, Function[site.default_function.upper()], site.clock)


class Fetch(Service):
    """Remote Asset API, Fetch. What goes wrong outside this server is told inside the response."""

    descriptors = (remote_asset_pb2.DESCRIPTOR.services_by_name["Fetch"],)

    def __init__(self, places: Mapping[str, _Place], default: Function, clock: Clock) -> None:
        self._places = places
        self._default = default
        self._clock = clock
        self._flights: Flights[_Found] = Flights()

    async def FetchBlob(
        self, request: remote_asset_pb2.FetchBlobRequest, context: Context
    ) -> remote_asset_pb2.FetchBlobResponse:
        """The blob of one of these URIs, which is in the CAS then.

        Raises Error INVALID_ARGUMENT for malformed requests, and for qualifiers that nothing here could ever meet. What
        goes wrong with a URL for which no checksum is demanded is raised too: Bazel before 8.1 does not look at the
        status in the response, takes the blob for empty, and without a checksum would go on with an empty file.
        """
        place = instance(self._places, request.instance_name)
        asked = question(request.uris, request.qualifiers, function_of(request.digest_function, self._default))
        response = remote_asset_pb2.FetchBlobResponse(uri=asked.uris[0], digest_function=_number(asked.function))
        try:
            async with asyncio.timeout(_seconds(request.timeout, place.downloads.policy.seconds)):
                found = await self._registered(place, Kind.BLOB, asked, request.oldest_content_accepted)
                if found is None:
                    found = await self._fetched(place, asked)
        except (TimeoutError, Undelivered) as failure:
            refusal = _refusal(failure)
            if not asked.checksums and any(map(is_downloadable, asked.uris)):
                raise refusal from failure
            response.status.CopyFrom(status_of(refusal))
            return response
        _describe(response, found.record, request.qualifiers)
        response.blob_digest.CopyFrom(found.record.digest)
        return response

    async def FetchDirectory(
        self, request: remote_asset_pb2.FetchDirectoryRequest, context: Context
    ) -> remote_asset_pb2.FetchDirectoryResponse:
        """The directory that was registered for one of these URIs; all of it is in the CAS. Nothing is unpacked.

        Raises Error INVALID_ARGUMENT for malformed requests.
        """
        place = instance(self._places, request.instance_name)
        asked = question(request.uris, request.qualifiers, function_of(request.digest_function, self._default))
        response = remote_asset_pb2.FetchDirectoryResponse(uri=asked.uris[0], digest_function=_number(asked.function))
        try:
            async with asyncio.timeout(_seconds(request.timeout, place.downloads.policy.seconds)):
                found = await self._registered(place, Kind.DIRECTORY, asked, request.oldest_content_accepted)
            if found is None:
                raise Undelivered(Code.NOT_FOUND, "no directory is registered for these uris and qualifiers")
        except (TimeoutError, Undelivered) as failure:
            response.status.CopyFrom(status_of(_refusal(failure)))
            return response
        _describe(response, found.record, request.qualifiers)
        response.root_directory_digest.CopyFrom(found.record.digest)
        return response

    async def _registered(self, place: _Place, kind: Kind, asked: Question, oldest: Timestamp) -> _Found | None:
        """What is known and still holds; what it refers to is marked as used."""
        for uri in asked.uris:
            record = await place.records.find(kind, asked, uri)
            if record is None or not self._holds(record, oldest):
                continue
            digest = digest_of(record.digest, asked.function)
            blobs = [digest_of(message, asked.function) for message in record.references_blobs]
            roots = [digest_of(message, asked.function) for message in record.references_directories]
            (roots if kind is Kind.DIRECTORY else blobs).append(digest)
            if not await lacking(place.blobs, blobs, roots):
                return _Found(record, digest)
        return None

    def _holds(self, record: asset_pb2.Record, oldest: Timestamp) -> bool:
        if (record.recorded.seconds, record.recorded.nanos) < (oldest.seconds, oldest.nanos):
            return False
        return not record.HasField("expire_at") or self._clock.wall() < record.expire_at.seconds

    async def _fetched(self, place: _Place, asked: Question) -> _Found:
        """What the network has. Raises Undelivered, after each of the URIs was tried."""
        if asked.unsupported:
            if not place.taught:
                raise unsupported(asked.unsupported)
            raise Undelivered(Code.NOT_FOUND, "no blob is registered for these uris and qualifiers")
        failures: list[Undelivered] = []
        for number, uri in enumerate(asked.uris):
            try:
                return await self._flights.join(
                    (place.name, asked.function, uri, asked.qualifiers),
                    partial(self._fetch, place, asked, number),
                )
            except Undelivered as failure:
                failures.append(failure)
        raise _telling(failures)

    async def _fetch(self, place: _Place, asked: Question, number: int) -> _Found:
        uri = asked.uris[number]
        if not is_downloadable(uri):
            known = uri.partition(":")[0].lower() == "urn"
            raise Undelivered(
                Code.NOT_FOUND if known else Code.PERMISSION_DENIED,
                f"{uri[:200]} is not registered" + ("" if known else ", and only http and https URLs are fetched"),
            )
        downloads = place.downloads
        async with (
            asyncio.timeout(downloads.policy.seconds),
            downloads.fetched(uri, asked.headers[number], asked.checksums, asked.function) as content,
        ):
            if not is_empty(content.digest):
                await place.blobs.write(content.digest, verified(file_chunks(content.path), content.digest))
        record = asset_pb2.Record(
            uri=uri,
            qualifiers=[remote_asset_pb2.Qualifier(name=name, value=value) for name, value in asked.shown],
            digest=remote_execution_pb2.Digest(hash=content.digest.hash, size_bytes=content.digest.size_bytes),
            digest_function=_number(asked.function),
            download=content.provenance,
        )
        record.recorded.FromNanoseconds(int(self._clock.wall() * 1e9))
        await place.records.keep(Kind.BLOB, asked, record)
        log.info(
            "Fetched an asset",
            uri=without_query(uri),
            digest=content.digest,
            address=content.provenance.address,
            hops=len(content.provenance.hops),
            instance_name=place.name,
        )
        return _Found(record, content.digest)


def _describe(
    response: remote_asset_pb2.FetchBlobResponse | remote_asset_pb2.FetchDirectoryResponse,
    record: asset_pb2.Record,
    qualifiers: Sequence[remote_asset_pb2.Qualifier],
) -> None:
    response.uri = record.uri
    response.qualifiers.extend(qualifiers)
    response.status.SetInParent()
    if record.HasField("expire_at"):
        response.expires_at.CopyFrom(record.expire_at)


def _refusal(failure: TimeoutError | Undelivered) -> Undelivered:
    if isinstance(failure, Undelivered):
        return failure
    return Undelivered(Code.DEADLINE_EXCEEDED, "the time for fetching is over")


_TELLING: Final = (
    Code.RESOURCE_EXHAUSTED,
    Code.ABORTED,
    Code.DEADLINE_EXCEEDED,
    Code.PERMISSION_DENIED,
    Code.NOT_FOUND,
)


def _telling(failures: Sequence[Undelivered]) -> Undelivered:
    """One for all: the code that says most, and every reason."""
    first = min(failures, key=lambda failure: _TELLING.index(failure.code))
    return Undelivered(first.code, "; ".join(failure.message for failure in failures), remedy=first.remedy)


def _seconds(asked: Duration, most: float) -> float:
    """How long a request may take: what it asks for, within our limit."""
    seconds = asked.seconds + asked.nanos / 1e9
    return min(seconds, most) if seconds > 0 else most


def _number(function: Function) -> remote_execution_pb2.DigestFunction.Value.ValueType:
    return remote_execution_pb2.DigestFunction.Value.ValueType(function)
