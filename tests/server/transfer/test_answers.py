"""Answers put together by hand are byte for byte what protobuf makes, or parse as the same message."""

from __future__ import annotations

from google.rpc import status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.proto import bytestream_pb2 as bs
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import Digest
from nlserver.transfer.answers import (
    batch_read_response,
    batch_update_response,
    get_tree_response,
    read_responses,
    varint,
)

digests = st.builds(
    Digest, st.integers(0, 2**256 - 1).map(lambda n: f"{n:064x}"), st.integers(1, 2**63 - 1) | st.integers(1, 300)
)
statuses = st.builds(status_pb2.Status, code=st.integers(1, 16), message=st.text(max_size=200))


def message(digest: Digest) -> rx.Digest:
    return rx.Digest(hash=digest.hash, size_bytes=digest.size_bytes)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_varints_are_those_of_protobuf(number: int) -> None:
    made = bs.WriteResponse.FromString(b"\x08" + varint(number))
    assert made.committed_size == number


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=400), st.integers(1, 500))
def test_read_responses_carry_a_chunk_in_pieces(chunk: bytes, most: int) -> None:
    made = [bs.ReadResponse.FromString(response).data for response in read_responses(chunk, most)]
    assert b"".join(made) == chunk
    assert all(0 < len(piece) <= most for piece in made)


@settings(deadline=None)
@given(st.lists(st.tuples(digests, st.none() | statuses), max_size=5))
def test_batch_updates_answer_as_protobuf_would(outcomes) -> None:
    entry = rx.BatchUpdateBlobsResponse.Response
    wanted = rx.BatchUpdateBlobsResponse(
        responses=[entry(digest=message(d), status=s or status_pb2.Status()) for d, s in outcomes]
    )
    assert batch_update_response(outcomes) == wanted.SerializeToString()


@settings(deadline=None)
@given(st.lists(st.tuples(digests, st.binary(max_size=300) | statuses), max_size=5))
def test_batch_reads_answer_as_protobuf_would(outcomes) -> None:
    entry = rx.BatchReadBlobsResponse.Response
    wanted = rx.BatchReadBlobsResponse(
        responses=[
            entry(digest=message(d), data=o, status=status_pb2.Status())
            if isinstance(o, bytes)
            else entry(digest=message(d), status=o)
            for d, o in outcomes
        ]
    )
    assert rx.BatchReadBlobsResponse.FromString(batch_read_response(outcomes)) == wanted


@settings(deadline=None)
@given(
    st.lists(st.text(max_size=20).map(lambda name: rx.Directory(symlinks=[rx.SymlinkNode(name=name)])), max_size=5),
    st.text(max_size=9),
)
def test_tree_pages_are_those_of_protobuf(directories, token: str) -> None:
    wanted = rx.GetTreeResponse(directories=directories, next_page_token=token)
    assert get_tree_response([d.SerializeToString() for d in directories], token) == wanted.SerializeToString()
