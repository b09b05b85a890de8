"""ActionCache: results of actions under the digests of the actions (REAPI v2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from nlserver.errors import Code, Error, invalid, not_found
from nlserver.metrics import Count, count
from nlserver.proto import remote_execution_pb2
from nlserver.reapi.digest import Digest, Function, digest_of, function_of, is_empty, of
from nlserver.service import Context, InstanceSpec, Service, instance
from nlserver.spec import Site, Text
from nlserver.store import Missing, Store, store_named
from nlserver.transfer.inlining import anything_wanted, inline
from nlserver.transfer.limits import MOST_RESULT_BYTES

_NOBODY: Final = "unknown"


@dataclass(frozen=True, kw_only=True)
class AcSpec(InstanceSpec):
    """Serves the action results of a store to clients under an instance name."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    ac_store: Text
    """The store, by its name in `stores`; it must not hold blobs of a CAS as well."""
    read_only: bool = False
    """Refuse UpdateActionResult on this listener: only trusted machines, on another one, fill the cache."""


def build(specs: Sequence[AcSpec], site: Site, *, cas: Mapping[str, Store] | None = None) -> Service:
    """The service for these instances.

    `cas` gives the instances' blobs where this listener serves them too: small outputs that clients ask for are then
    put into answers.
    """
    stores = {spec.instance_name: store_named(site, spec.ac_store) for spec in specs}
    read_only = frozenset(spec.instance_name for spec in specs if spec.read_only)
    return Ac(stores, Function[site.default_function.upper()], read_only, cas or {})


class Ac(Service):
    """REAPI v2, ActionCache. Whether all blobs of a result are still there is for the store to say."""

    descriptors = (remote_execution_pb2.DESCRIPTOR.services_by_name["ActionCache"],)

    def __init__(
        self, stores: Mapping[str, Store], default: Function, read_only: frozenset[str], cas: Mapping[str, Store]
    ) -> None:
        self._stores = stores
        self._default = default
        self._read_only = read_only
        self._cas = cas

    async def GetActionResult(
        self, request: remote_execution_pb2.GetActionResultRequest, context: Context
    ) -> remote_execution_pb2.ActionResult | bytes:
        """The result kept for an action. Raises Error NOT_FOUND on a miss, INVALID_ARGUMENT for malformed digests."""
        store = instance(self._stores, request.instance_name)
        action = digest_of(request.action_digest, function_of(request.digest_function, self._default))
        data, result = await _stored(store, action)
        blobs = self._cas.get(request.instance_name)
        if blobs is None or not anything_wanted(request):
            return data
        await inline(result, request, blobs, action.function, MOST_RESULT_BYTES - len(data))
        return result

    async def UpdateActionResult(
        self, request: remote_execution_pb2.UpdateActionResultRequest, context: Context
    ) -> remote_execution_pb2.ActionResult:
        """Keep a result, and answer what is kept.

        Raises Error PERMISSION_DENIED where the instance is read only, INVALID_ARGUMENT for malformed results.
        """
        store = instance(self._stores, request.instance_name)
        if request.instance_name in self._read_only:
            raise Error(Code.PERMISSION_DENIED, f"The store '{request.instance_name}' is read only on this endpoint")
        action = digest_of(request.action_digest, function_of(request.digest_function, self._default))
        if is_empty(action):
            raise invalid("action_digest is the digest of no bytes; an Action names at least its Command")
        result = request.action_result
        _check(result, action.function)
        if not result.ByteSize():
            # No bytes would look like a damaged entry (REAPI v2, ActionResult).
            result.execution_metadata.worker = _NOBODY
        await store.put(action, result.SerializeToString())
        return result


async def _stored(store: Store, action: Digest) -> tuple[bytes, remote_execution_pb2.ActionResult]:
    if not is_empty(action):
        try:
            data = await store.get(action)
            if data:
                result = remote_execution_pb2.ActionResult.FromString(data)
                count(Count.FOUND_RESULTS)
                return data, result
        except (Missing, DecodeError):
            pass
    count(Count.MISSED_RESULTS)
    raise not_found(f"no result of action {action} is cached")


def _check(result: remote_execution_pb2.ActionResult, function: Function) -> None:
    """Raise Error INVALID_ARGUMENT for a result that no client could use."""
    if result.ByteSize() > MOST_RESULT_BYTES:
        raise invalid(
            f"an ActionResult of {result.ByteSize()} bytes; at most {MOST_RESULT_BYTES} reach clients",
            remedy="Upload contents to the CAS and refer to them by digest.",
        )
    _check_raw(result.stdout_raw, result.stdout_digest if result.HasField("stdout_digest") else None, function)
    _check_raw(result.stderr_raw, result.stderr_digest if result.HasField("stderr_digest") else None, function)
    for file in result.output_files:
        _check_raw(file.contents, file.digest, function)
    for directory in result.output_directories:
        _check_directory(directory, function)
    _check_paths(result)


def _check_raw(data: bytes, message: remote_execution_pb2.Digest | None, function: Function) -> None:
    if message is None:
        return
    digest = digest_of(message, function)
    if data and of(data, function) != digest:
        raise invalid(f"contents that stand in the result are not those of their digest {digest}")


def _check_directory(directory: remote_execution_pb2.OutputDirectory, function: Function) -> None:
    root = directory.HasField("root_directory_digest")
    if root:
        digest_of(directory.root_directory_digest, function)
    if directory.HasField("tree_digest") or not root:
        digest_of(directory.tree_digest, function)


def _check_paths(result: remote_execution_pb2.ActionResult) -> None:
    # Clients of different ages read symlinks from different lists, so one symlink may stand in two of them.
    legacy = [*result.output_file_symlinks, *result.output_directory_symlinks]
    links = {symlink.path for symlink in legacy} | {symlink.path for symlink in result.output_symlinks}
    seen: set[str] = set()
    for path in _paths(result, links):
        if path.startswith("/") or "\0" in path:
            raise invalid(f"output path {path[:200]!r} is not relative to the working directory")
        if path in seen:
            raise invalid(f"output path {path[:200]!r} stands twice in the result")
        seen.add(path)


def _paths(result: remote_execution_pb2.ActionResult, links: set[str]) -> Iterator[str]:
    for file in result.output_files:
        if not file.path:
            raise invalid("an output file has no path")
        yield file.path
    for directory in result.output_directories:
        yield directory.path
    yield from links
