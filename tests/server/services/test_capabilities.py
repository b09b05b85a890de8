"""GetCapabilities from the wire: what clients of all ages read there (REAPI v2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc
import pytest
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.scheduler import Abilities, Scheduler
from nlserver.services import capabilities
from nlserver.services.capabilities import CapabilitiesSpec, RemoteExecutionSpec
from nlserver.spec import Site

SHA256, BLAKE3 = 1, 9


class Bench(Scheduler):
    """A scheduler that only says what it can."""

    async def abilities(self, instance: str) -> Abilities:
        return Abilities(property_names=("OSFamily", f"of {instance}"))

    def submit(self, request: object) -> AsyncGenerator:
        raise NotImplementedError

    watch = submit

    async def get(self, name: str) -> object:
        raise NotImplementedError

    async def cancel(self, name: str) -> None:
        raise NotImplementedError

    def build(self, site: Site) -> Scheduler:
        return self


async def ask(service: object, instance: str = "") -> rx.ServerCapabilities:
    return await service.GetCapabilities(rx.GetCapabilitiesRequest(instance_name=instance), None)


def service(*specs: CapabilitiesSpec, read_only: frozenset[str] = frozenset(), function: str = "sha256") -> object:
    site = Site({"scheduler": {"MAIN": Bench()}}, default_function=function)
    return capabilities.build(specs, site, read_only=read_only)


EXECUTING = CapabilitiesSpec(instance_name="x", remote_execution=RemoteExecutionSpec(scheduler="MAIN"))


@pytest.mark.parametrize("instance", ["", "main", "a/b"])
async def test_without_instances_in_the_config_every_name_has_a_cache(cache, instance) -> None:  # NativeLink behaviour
    answer = await cache.capabilities.GetCapabilities(rx.GetCapabilitiesRequest(instance_name=instance))
    assert answer.HasField("cache_capabilities")
    assert not answer.HasField("execution_capabilities")  # CAP-01


@pytest.mark.parametrize("instance", ["a/blobs/b", "uploads", "/main", "main/", "a//b"])
async def test_what_no_instance_may_be_called_is_refused(cache, instance) -> None:  # INS-02, INS-03
    with cache.refuses(grpc.StatusCode.INVALID_ARGUMENT):
        await cache.capabilities.GetCapabilities(rx.GetCapabilitiesRequest(instance_name=instance))


async def test_the_cache_says_what_it_does_and_no_more(cache) -> None:
    answer = (await cache.capabilities.GetCapabilities(rx.GetCapabilitiesRequest())).cache_capabilities
    assert list(answer.digest_functions) == [SHA256, BLAKE3]  # CAP-02
    assert answer.action_cache_update_capabilities.update_enabled  # CAP-04
    assert 0 < answer.max_batch_total_size_bytes <= 4_000_000  # CAP-06, BRB-03
    assert answer.symlink_absolute_path_strategy == rx.SymlinkAbsolutePathStrategy.ALLOWED  # CAP-07
    assert list(answer.supported_compressors) == list(answer.supported_batch_update_compressors) == []  # CAP-08/09
    assert not answer.split_blob_support
    assert not answer.splice_blob_support  # CAP-11


async def test_versions_are_those_that_old_and_new_clients_accept(cache) -> None:  # CAP-14
    answer = await cache.capabilities.GetCapabilities(rx.GetCapabilitiesRequest())
    low, high = answer.low_api_version, answer.high_api_version
    assert (low.major, low.minor, high.major, high.minor) == (2, 0, 2, 3)


async def test_updates_are_announced_for_each_instance_by_itself(cache) -> None:  # AC-09, CAP-04
    answer = await cache.capabilities.GetCapabilities(rx.GetCapabilitiesRequest(instance_name="closed"))
    assert not answer.cache_capabilities.action_cache_update_capabilities.update_enabled


@pytest.mark.parametrize(("function", "number"), [("sha256", SHA256), ("blake3", BLAKE3)])
async def test_execution_is_announced_where_it_is_configured(function, number) -> None:
    made = service(CapabilitiesSpec(), EXECUTING, function=function)
    assert not (await ask(made)).HasField("execution_capabilities")
    answer = (await ask(made, "x")).execution_capabilities
    assert answer.exec_enabled  # CAP-12
    assert answer.digest_function == number  # CAP-03
    assert list(answer.digest_functions) == [SHA256, BLAKE3]
    assert list(answer.supported_node_properties) == ["OSFamily", "of x"]  # CAP-13, NativeLink behaviour
    [priorities] = answer.execution_priority_capabilities.priorities
    assert priorities.min_priority <= 0 <= priorities.max_priority  # CAP-05


async def test_an_unknown_instance_is_refused_where_instances_are_configured(cache) -> None:  # CAP-15
    server = grpc.aio.server()
    for handler in service(EXECUTING).handlers():
        server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = type(cache.capabilities)(channel)
        with cache.refuses(grpc.StatusCode.INVALID_ARGUMENT, "'nope'", "Instances served here: 'x'"):
            await stub.GetCapabilities(rx.GetCapabilitiesRequest(instance_name="nope"))
    await server.stop(0)


async def test_compressors_are_announced_where_the_config_has_them(cache) -> None:  # CAP-08, CAP-09
    made = service(CapabilitiesSpec(instance_name="z", remote_cache_compression=True), CapabilitiesSpec())
    packed, plain = (await ask(made, "z")).cache_capabilities, (await ask(made)).cache_capabilities
    both = [rx.Compressor.ZSTD, rx.Compressor.DEFLATE]
    assert list(packed.supported_compressors) == list(packed.supported_batch_update_compressors) == both
    assert not plain.supported_compressors
    assert not plain.supported_batch_update_compressors


async def test_chunking_is_announced_whole_where_the_config_has_it() -> None:  # CAP-11, SPL-13, SPL-18
    made = capabilities.build([], Site(), read_only=frozenset(), average_chunks={"c": 4096})
    chunked, plain = (await ask(made, "c")).cache_capabilities, (await ask(made)).cache_capabilities
    assert (chunked.split_blob_support, chunked.splice_blob_support) == (True, True)
    assert (chunked.fast_cdc_2020_params.avg_chunk_size_bytes, chunked.fast_cdc_2020_params.seed) == (4096, 0)
    assert not chunked.HasField("rep_max_cdc_params")
    assert (plain.split_blob_support, plain.HasField("fast_cdc_2020_params")) == (False, False)
