"""Capabilities: what this listener can do for an instance (REAPI v2, GetCapabilities)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from nlserver.errors import invalid
from nlserver.proto import remote_execution_pb2, semver_pb2
from nlserver.reapi import codec
from nlserver.reapi.digest import Function
from nlserver.reapi.names import RESERVED
from nlserver.scheduler import Abilities, Scheduler, scheduler_named
from nlserver.service import Context, InstanceSpec, Service, instance
from nlserver.spec import Flag, Site, Spec, Text
from nlserver.transfer.limits import MOST_BATCH_BYTES

# Bazel up to 6 needs 2.0 within the range; what came after 2.3 is not all served here.
_LOW: Final = semver_pb2.SemVer(major=2, minor=0)
_HIGH: Final = semver_pb2.SemVer(major=2, minor=3)


@dataclass(frozen=True, kw_only=True)
class RemoteExecutionSpec(Spec):
    """Announces that actions of this instance are executed."""

    scheduler: Text
    """The scheduler, by its name in `schedulers`; the platform properties it knows are announced."""


@dataclass(frozen=True, kw_only=True)
class CapabilitiesSpec(InstanceSpec):
    """What clients are told about an instance. An empty list announces a cache for every instance name."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    remote_execution: RemoteExecutionSpec | None = None
    """Announce execution; absent means cache only."""
    remote_cache_compression: Flag = False
    """Let blobs of this instance travel compressed, by zstd or deflate, where clients wish it. It saves network and
    costs processor time: about a second a gigabyte on either side."""


def build(
    specs: Sequence[CapabilitiesSpec],
    site: Site,
    *,
    read_only: frozenset[str],
    average_chunks: Mapping[str, int] = MappingProxyType({}),
) -> Service:
    """The service for these instances.

    `read_only` names those whose action cache takes no updates here; `average_chunks` has the average bytes of a chunk
    of those whose blobs are split.
    """
    schedulers = {
        spec.instance_name: None
        if spec.remote_execution is None
        else scheduler_named(site, spec.remote_execution.scheduler)
        for spec in specs
    }
    compressing = frozenset(spec.instance_name for spec in specs if spec.remote_cache_compression)
    return Capabilities(schedulers, Function[site.default_function.upper()], read_only, compressing, average_chunks)


class Capabilities(Service):
    """REAPI v2, Capabilities. The schedulers stand under their instances, None where there is only a cache."""

    descriptors = (remote_execution_pb2.DESCRIPTOR.services_by_name["Capabilities"],)

    def __init__(
        self,
        schedulers: Mapping[str, Scheduler | None],
        default: Function,
        read_only: frozenset[str],
        compressing: frozenset[str],
        average_chunks: Mapping[str, int],
    ) -> None:
        self._schedulers = schedulers
        self._default = default
        self._read_only = read_only
        self._compressing = compressing
        self._average_chunks = average_chunks

    async def GetCapabilities(
        self, request: remote_execution_pb2.GetCapabilitiesRequest, context: Context
    ) -> remote_execution_pb2.ServerCapabilities:
        """What is served for this instance.

        With no instance configured every name is answered with the cache's part (NativeLink behaviour); else raises
        Error INVALID_ARGUMENT for an unknown one, and always for what no instance may be called.
        """
        name = request.instance_name
        scheduler = self._scheduler(name)
        answer = remote_execution_pb2.ServerCapabilities(
            cache_capabilities=self._cache(name), low_api_version=_LOW, high_api_version=_HIGH
        )
        if scheduler is not None:
            answer.execution_capabilities.CopyFrom(_execution(await scheduler.abilities(name), self._default))
        return answer

    def _cache(self, name: str) -> remote_execution_pb2.CacheCapabilities:
        compressors = _COMPRESSORS if name in self._compressing else ()
        cache = remote_execution_pb2.CacheCapabilities(
            digest_functions=_FUNCTIONS,
            action_cache_update_capabilities=remote_execution_pb2.ActionCacheUpdateCapabilities(
                update_enabled=name not in self._read_only
            ),
            max_batch_total_size_bytes=MOST_BATCH_BYTES,
            symlink_absolute_path_strategy=remote_execution_pb2.SymlinkAbsolutePathStrategy.ALLOWED,
            supported_compressors=compressors,
            supported_batch_update_compressors=compressors,
        )
        if name in self._average_chunks:
            # Bazel wants all three or none.
            cache.split_blob_support = cache.splice_blob_support = True
            cache.fast_cdc_2020_params.avg_chunk_size_bytes = self._average_chunks[name]
        return cache

    def _scheduler(self, name: str) -> Scheduler | None:
        if self._schedulers:
            return instance(self._schedulers, name)
        segments = name.split("/") if name else []
        if "" in segments or not RESERVED.isdisjoint(segments):
            raise invalid(f"{name[:200]!r} cannot be the name of an instance")
        return None


def _number(function: Function) -> remote_execution_pb2.DigestFunction.Value.ValueType:
    return remote_execution_pb2.DigestFunction.Value.Value(function.name)


_FUNCTIONS: Final = [_number(function) for function in Function]
_COMPRESSORS: Final = [remote_execution_pb2.Compressor.Value.Value(compressor.name) for compressor in codec.SERVED]


def _execution(abilities: Abilities, default: Function) -> remote_execution_pb2.ExecutionCapabilities:
    priorities = remote_execution_pb2.PriorityCapabilities.PriorityRange(
        min_priority=abilities.lowest_priority, max_priority=abilities.highest_priority
    )
    return remote_execution_pb2.ExecutionCapabilities(
        # Bazel up to 6 compares the single function with its own, later ones look into the list.
        digest_function=_number(default),
        digest_functions=_FUNCTIONS,
        exec_enabled=True,
        execution_priority_capabilities=remote_execution_pb2.PriorityCapabilities(priorities=[priorities]),
        # NativeLink's grpc schedulers learn here which platform properties a scheduler knows (NativeLink behaviour).
        supported_node_properties=abilities.property_names,
    )
