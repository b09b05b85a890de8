import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Function, of
from nlserver.reapi.tree import message_of
from nlserver.reapi.wire import (
    batch_update_request,
    number_at,
    read_data,
    records,
    varint,
    write_message,
    write_request,
)


@given(st.integers(0, 2**64 - 1))
def test_numbers_read_back(number):
    assert number_at(varint(number), 0) == (number, len(varint(number)))


@given(st.text(max_size=40), st.integers(0, 2**62), st.booleans(), st.binary(max_size=300))
def test_a_write_request_is_what_protobuf_reads(name, offset, finish, data):
    found = bytestream_pb2.WriteRequest.FromString(write_request(name.encode(), offset, data, finish=finish))
    assert found == bytestream_pb2.WriteRequest(resource_name=name, write_offset=offset, finish_write=finish, data=data)


@given(
    st.text(max_size=40),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.binary(max_size=300),
    st.binary(max_size=9),
)
def test_a_write_request_is_read_as_protobuf_reads_it(name, offset, finish, data, junk):
    request = bytestream_pb2.WriteRequest(resource_name=name, write_offset=offset, finish_write=finish, data=data)
    for message in (request.SerializeToString(), request.SerializeToString() + junk, junk):
        try:
            expected = bytestream_pb2.WriteRequest.FromString(message)
        except DecodeError:
            with pytest.raises(DecodeError):
                write_message(message)
            continue
        found = bytestream_pb2.WriteRequest(**write_message(message)._asdict())
        expected.DiscardUnknownFields()
        assert found == expected


@given(st.text(max_size=10), st.sampled_from(Function), st.lists(st.binary(max_size=200), max_size=4))
def test_a_batch_is_what_protobuf_reads(instance, function, blobs):
    named = [(of(data, function), data, place % 3) for place, data in enumerate(blobs)]
    found = re_pb.BatchUpdateBlobsRequest.FromString(batch_update_request(instance, function, named))
    assert found == re_pb.BatchUpdateBlobsRequest(
        instance_name=instance,
        digest_function=function.value,
        requests=[{"digest": message_of(digest), "data": data, "compressor": number} for digest, data, number in named],
    )


@given(st.binary(max_size=300))
def test_data_is_what_protobuf_wrote(data):
    assert read_data(bytestream_pb2.ReadResponse(data=data).SerializeToString()) == data


def test_data_beside_unknown_fields_is_found():
    message = bytestream_pb2.ReadResponse(data=b"abc").SerializeToString()
    assert read_data(message + b"\x9a\x01\x01x") == b"abc"
    assert read_data(b"\x9a\x01\x01x" + message) == b"abc"


@given(st.binary(max_size=40))
def test_any_bytes_give_data_or_records_or_an_error(data):
    for parse in (read_data, lambda message: list(records(message))):
        try:
            parse(data)
        except Error as error:
            code = error.code
        else:
            code = Code.INTERNAL
        assert code in (Code.INTERNAL, Code.INVALID_ARGUMENT)


def test_a_record_that_ends_too_early_is_refused():
    with pytest.raises(Error, match="longer than the message"):
        list(records(b"\x0a\x05abc"))
