"""Blobs to send, and the messages that carry them."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import of

from nlctl.bench.calls.upload import CHUNK, WriteMessages, batch_update
from nlctl.bench.payload import Payload


@given(st.integers(1, 9000), st.integers(0, 99))
def test_every_blob_has_the_size_and_the_name_of_its_bytes(size: int, seed: int) -> None:
    payload = Payload.several([size], seed)[0]
    for blob in (payload.fresh(), payload.fresh()):
        assert len(blob.data) == size
        assert blob.digest == of(blob.data)


def test_blobs_of_one_payload_differ_and_those_of_another_seed_too() -> None:
    payload = Payload.several([100], 1)[0]
    hashes = {payload.fresh().digest.hash for _ in range(100)} | {Payload.several([100], 2)[0].fresh().digest.hash}
    assert len(hashes) == 101


@pytest.mark.parametrize(("compressible", "least", "most"), [(0.0, 1.0, 1.1), (0.5, 0.45, 0.55), (1.0, 0.0, 0.01)])
def test_blobs_compress_as_far_as_asked(compressible: float, least: float, most: float) -> None:
    data = Payload.several([1 << 20], 1, compressible)[0].fresh().data
    assert least <= len(zlib.compress(data)) / len(data) <= most


@pytest.mark.parametrize("size", [1, 15, 16, 1000, CHUNK, CHUNK + 5, CHUNK + 16, CHUNK + 17, 3 * CHUNK, 3 * CHUNK + 1])
def test_the_messages_of_a_stream_hold_the_blob_in_order(size: int) -> None:
    payload = Payload.several([size], 3)[0]
    blob = payload.fresh()
    messages = WriteMessages(payload.body, size - len(payload.body)).of(b"the/name", blob.mark)
    requests = [bytestream_pb2.WriteRequest.FromString(message) for message in messages]
    assert b"".join(request.data for request in requests) == blob.data
    assert requests[0].resource_name == "the/name"
    assert [request.finish_write for request in requests] == [False] * (len(requests) - 1) + [True]
    at = 0
    for request in requests:
        assert request.write_offset == at
        at += len(request.data)


@given(st.lists(st.integers(1, 200), max_size=5))
@settings(max_examples=20)
def test_a_batch_holds_its_blobs(sizes: list[int]) -> None:
    blobs = [Payload.several([size], seed)[0].fresh() for seed, size in enumerate(sizes)]
    request = re_pb.BatchUpdateBlobsRequest.FromString(batch_update("main", blobs))
    assert request.instance_name == "main"
    assert [(one.digest.hash, one.data) for one in request.requests] == [(b.digest.hash, b.data) for b in blobs]
