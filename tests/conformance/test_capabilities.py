"""CAP: Capabilities."""

from __future__ import annotations

import time
from pathlib import Path

from tests.conformance.calls import by_instance, code_of
from tests.conformance.catalogue import departure, rule
from tests.conformance.own import CLOSED_INSTANCE, HERE, OTHER_INSTANCE, SMALL_INSTANCE, Own, Process
from tests.conformance.target import REAPI, Code, Target, digest, fresh, not_applicable, refused, rx
from tests.conformance.unpacking import packed, unpacked

CAPTURED = {"MTime", "UnixMode", "mtime", "unix_mode"}


def announced(target: Target, instance: str) -> rx.ServerCapabilities:
    return target.capabilities_service.GetCapabilities(rx.GetCapabilitiesRequest(instance_name=instance))


def execution(target: Target) -> rx.ExecutionCapabilities:
    if not target.capabilities.HasField("execution_capabilities"):
        not_applicable("execution is not announced")
    return target.capabilities.execution_capabilities


@rule("CAP-01", "CAP-12")
def test_only_what_is_served_is_announced(target: Target) -> None:
    assert target.capabilities.HasField("cache_capabilities") == target.serves(
        f"/{REAPI}.ContentAddressableStorage/FindMissingBlobs"
    )
    enabled = target.capabilities.execution_capabilities.exec_enabled
    assert enabled == target.serves(f"/{REAPI}.Execution/Execute")


@rule("CAP-01")
def test_an_instance_without_a_scheduler_announces_no_execution(target: Target, own: Own) -> None:
    assert not announced(target, CLOSED_INSTANCE).HasField("execution_capabilities")
    assert announced(target, OTHER_INSTANCE).HasField("execution_capabilities")


@rule("CAP-02")
def test_the_digest_functions_are_some_known_and_each_once(target: Target) -> None:
    functions = list(target.cache.digest_functions)
    assert functions
    assert len(set(functions)) == len(functions)
    assert set(functions) <= set(rx.DigestFunction.Value.values()) - {rx.DigestFunction.UNKNOWN}


@rule("CAP-03")
def test_executions_own_function_is_one_of_the_announced(target: Target) -> None:
    found = execution(target)
    assert found.digest_function != rx.DigestFunction.UNKNOWN
    assert not found.digest_functions or found.digest_function in found.digest_functions
    assert rx.DigestFunction.UNKNOWN not in found.digest_functions


@rule("CAP-04")
def test_whether_updates_are_taken_is_said_for_each_instance(target: Target, own: Own) -> None:
    def takes(instance: str) -> bool:
        cache = announced(target, instance).cache_capabilities
        return cache.action_cache_update_capabilities.update_enabled

    assert {name: takes(name) for name in ("", OTHER_INSTANCE, CLOSED_INSTANCE)} == {
        "": True,
        OTHER_INSTANCE: True,
        CLOSED_INSTANCE: False,
    }


@rule("CAP-05")
def test_priority_ranges_are_sound_and_contain_0(target: Target) -> None:
    found = target.capabilities.execution_capabilities.execution_priority_capabilities
    for ranges in (target.cache.cache_priority_capabilities.priorities, found.priorities):
        assert all(one.min_priority <= one.max_priority for one in ranges)
        assert not ranges or any(one.min_priority <= 0 <= one.max_priority for one in ranges)


@rule("CAP-06")
def test_the_largest_batch_is_announced(target: Target) -> None:
    assert target.cache.max_batch_total_size_bytes > 0


@rule("CAP-07")
def test_whether_absolute_symlinks_are_allowed_is_announced(target: Target) -> None:
    strategies = rx.SymlinkAbsolutePathStrategy
    assert target.cache.symlink_absolute_path_strategy in (strategies.ALLOWED, strategies.DISALLOWED)


@rule("CAP-08", "CAP-09")
def test_announced_compressors_work_in_both_directions(target: Target) -> None:
    names = target.compressors or not_applicable("no compressor is announced")
    assert len(names) == len(target.cache.supported_compressors), "the suite does not know all that are announced"
    for compressor in names:
        data = fresh(100) * 100
        wanted = digest(data)
        target.write(target.write_name(wanted, compressor=compressor), packed(compressor, data))
        assert unpacked(compressor, target.read(target.read_name(wanted, compressor=compressor))) == data
    for number in target.cache.supported_batch_update_compressors:
        data = fresh(100) * 100
        form = packed(rx.Compressor.Value.Name(number).lower(), data)
        one = rx.BatchUpdateBlobsRequest.Request(digest=digest(data), data=form, compressor=number)
        answer = target.cas.BatchUpdateBlobs(rx.BatchUpdateBlobsRequest(instance_name=target.instance, requests=[one]))
        assert [response.status.code for response in answer.responses] == [0]
        assert target.read(target.read_name(digest(data))) == data


@rule("CAP-10")
def test_the_largest_blob_is_the_largest(target: Target) -> None:
    most = target.cache.max_cas_blob_size_bytes or not_applicable("no largest blob is announced")
    wanted = digest(b"x")
    wanted.size_bytes = most + 1
    with refused(Code.INVALID_ARGUMENT):
        target.write(target.write_name(wanted), b"x")


@rule("CAP-11")
def test_what_is_announced_of_chunking_is_served(target: Target) -> None:
    if not target.cache.split_blob_support:
        not_applicable("SplitBlob is not announced")
    request = rx.SplitBlobRequest(instance_name=target.instance, blob_digest=target.put(fresh(100)))
    assert code_of(lambda: target.cas.SplitBlob(request)) is Code.OK


@rule("CAP-13", refused=True)
def test_node_properties_are_those_that_workers_can_capture(target: Target) -> None:
    assert set(execution(target).supported_node_properties) <= CAPTURED


@departure("CAP-13")
def test_the_names_of_platform_properties_stand_where_node_properties_should(target: Target) -> None:
    assert set(execution(target).supported_node_properties) == {"OSFamily", "ISA", "cpu_count"}


@rule("CAP-14")
def test_the_range_of_versions_begins_at_2_0_and_holds_what_is_served(target: Target) -> None:
    def version(name: str) -> tuple[int, int]:
        found = getattr(target.capabilities, name)
        return found.major, found.minor

    low, high, old = version("low_api_version"), version("high_api_version"), version("deprecated_api_version")
    assert (2, 0) in (low, old)
    assert (2, 0) <= low <= high
    assert not target.capabilities.high_api_version.prerelease


@rule("CAP-15")
def test_an_unknown_instance_is_answered_as_elsewhere(target: Target) -> None:
    calls = by_instance(target, "nobody/knows/this")
    codes = {code_of(calls[name]) for name in ("GetCapabilities", "Read")}
    assert len(codes) == 1
    assert codes != {Code.OK}


@rule("CAP-16")
def test_it_answers_without_any_worker(own: Own, tmp_path: Path) -> None:
    process = Process("lonely", HERE / "server.json5", tmp_path)
    try:
        target = Target(process.addresses[0], "")
        assert target.capabilities.execution_capabilities.exec_enabled
        target.close()
    finally:
        process.stop()


@rule("CAP-17")
def test_it_needs_what_the_other_services_need(own: Own) -> None:
    target = Target(own.identified_address, "")
    calls = by_instance(target, "")
    assert {code_of(ask) for ask in calls.values()} == {code_of(calls["GetCapabilities"])} != {Code.OK}
    request = rx.GetCapabilitiesRequest()
    answer = target.capabilities_service.GetCapabilities(request, metadata=[("baggage", "enduser.id=somebody")])
    assert answer.cache_capabilities.digest_functions
    target.close()


@rule("CAP-18")
def test_every_process_of_a_server_says_the_same(own: Own, tmp_path: Path) -> None:
    process = Process("processes", HERE / "shared.json5", tmp_path, options=("--processes", "2"))
    try:
        seen, answers = set(), []
        deadline = time.monotonic() + 90
        # The kernel spreads connections over the processes as it likes.
        while len(answers) < 20 and time.monotonic() < deadline:
            target = Target(process.addresses[0], "")
            answers.append(target.capabilities.SerializeToString(deterministic=True))
            data = fresh(30)
            seen.add(target.put(data).hash)
            target.close()
        assert len(set(answers)) == 1
        target = Target(process.addresses[0], "")
        assert len(seen) == len(answers)
        assert target.find_missing(*(rx.Digest(hash=one, size_bytes=30) for one in seen)) == []
        target.close()
    finally:
        process.stop()


@rule("CAP-04")
def test_a_small_instance_is_described_as_any_other(target: Target, own: Own) -> None:
    assert announced(target, SMALL_INSTANCE).cache_capabilities.max_batch_total_size_bytes > 0
