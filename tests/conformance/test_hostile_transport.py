"""HN: hostile transport, by raw frames and raw bytes."""

from __future__ import annotations

import gzip
import socket
import struct
from contextlib import suppress

import pytest

from tests.conformance.calls import by_instance, code_of
from tests.conformance.catalogue import rule
from tests.conformance.frames import Wire, everything, framed, raw
from tests.conformance.own import Own
from tests.conformance.target import REAPI, Code, Target, digest, fresh, not_applicable, refused, rx, status_of, until

MIB = 1 << 20
FIND = f"/{REAPI}.ContentAddressableStorage/FindMissingBlobs"
WRITE = "/google.bytestream.ByteStream/Write"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes(3) + b"\x04" + bytes(5)
EXHAUSTED = Code.RESOURCE_EXHAUSTED.value[0]


def question(target: Target) -> bytes:
    return rx.FindMissingBlobsRequest(instance_name=target.instance).SerializeToString()


def still_serves(target: Target) -> bool:
    return target.is_present(digest(b""))


@rule("HN-02")
def test_a_message_that_announces_4_gb_is_refused_unread(target: Target, own: Own) -> None:
    with own.server.grows_by_at_most(20 * MIB), Wire(target.address) as wire:
        number = wire.begin(FIND)
        wire.send(number, struct.pack(">?I", False, 2**32 - 1) + bytes(1000))
        assert wire.status(number) in (EXHAUSTED, None)
    assert still_serves(target)


@rule("HN-03")
def test_a_gzip_bomb_as_a_message_is_refused(target: Target, own: Own) -> None:
    bomb = gzip.compress(bytes(100 * MIB), 1)
    with own.server.grows_by_at_most(50 * MIB), Wire(target.address) as wire:
        number = wire.begin(FIND, ("grpc-encoding", "gzip"))
        wire.send(number, framed(bomb, compressed=True), end=True)
        assert wire.status(number) not in (0, Code.UNKNOWN.value[0])
    assert still_serves(target)


@rule("HN-03")
@pytest.mark.parametrize("encoding", ["gzip", "nonsense", "deflate", "identity", ""])
def test_a_message_that_is_not_compressed_as_it_says_is_refused(target: Target, encoding: str) -> None:
    with Wire(target.address) as wire:
        number = wire.begin(FIND, ("grpc-encoding", encoding))
        wire.send(number, framed(b"this is no gzip", compressed=True), end=True)
        assert wire.status(number) not in (0, Code.UNKNOWN.value[0])
    assert still_serves(target)


@rule("HN-04")
def test_enormous_metadata_is_refused(target: Target, own: Own) -> None:
    request = rx.FindMissingBlobsRequest(instance_name=target.instance)
    with refused(Code.RESOURCE_EXHAUSTED):
        target.cas.FindMissingBlobs(request, metadata=[("x-large", "x" * 200_000)])
    with own.server.grows_by_at_most(50 * MIB), Wire(target.address) as wire:
        # gRPC bounds every value, and their sum only by chance: it must not be kept, at least.
        headers = [(f"x-large-{number}", "x" * 5000) for number in range(2000)]
        assert wire.status(wire.call(FIND, question(target), *headers)) in (0, EXHAUSTED, None)
    assert still_serves(target)


@rule("HN-04")
def test_ten_thousand_headers_are_refused_or_ignored(target: Target, own: Own) -> None:
    with own.server.grows_by_at_most(50 * MIB), Wire(target.address) as wire:
        headers = [(f"x-{number}", "v") for number in range(10_000)]
        assert wire.status(wire.call(FIND, question(target), *headers)) in (0, EXHAUSTED, None)
    assert still_serves(target)


@rule("HN-05")
@pytest.mark.parametrize("value", [b"****", b"=====", b"a", b"\xff\xfe", b"AAAA,", b" ", b"A" * 5000])
def test_malformed_binary_metadata_crashes_nothing(target: Target, value: bytes) -> None:
    with Wire(target.address) as wire:
        number = wire.call(FIND, question(target), (f"{REAPI.lower()}.requestmetadata-bin", value))
        assert wire.status(number) != Code.UNKNOWN.value[0] or wire.closed
    assert still_serves(target)


@rule("HN-06")
@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Basic !!!", "Basic dXNlcjpwYXNz", "Negotiate x", "Bearer eyJhbGciOiJub25lIn0.e30.", "x" * 8000],
    ids=lambda value: value[:16],
)
def test_credentials_of_any_kind_crash_nothing(target: Target, value: str) -> None:
    request = rx.FindMissingBlobsRequest(instance_name=target.instance)
    code = status_of(lambda: target.cas.FindMissingBlobs(request, metadata=[("authorization", value)])).code
    assert code in (Code.OK, Code.UNAUTHENTICATED, Code.PERMISSION_DENIED)


@rule("HN-06")
@pytest.mark.parametrize("value", ["", "enduser.id=", "enduser.id", "other=x", "ENDUSER.ID=x", ",,,", "=" * 5000])
def test_a_missing_or_malformed_identity_is_refused_by_every_call(own: Own, value: str) -> None:
    target = Target(own.identified_address, "")
    request = rx.FindMissingBlobsRequest()
    with refused(Code.FAILED_PRECONDITION, Code.UNAUTHENTICATED):
        target.cas.FindMissingBlobs(request, metadata=[("baggage", value)])
    codes = {method: code_of(ask) for method, ask in by_instance(target, "").items()}
    assert set(codes.values()) <= {Code.FAILED_PRECONDITION, Code.UNAUTHENTICATED, Code.UNIMPLEMENTED}, codes
    target.close()


@rule("HN-07")
@pytest.mark.parametrize("text", ["0n", "1n", "0S", "1u", "99999999H", "-1S", "x", "", "1", "999999999999S"])
def test_odd_deadlines_end_well(target: Target, text: str) -> None:
    with Wire(target.address) as wire:
        number = wire.call(FIND, question(target), ("grpc-timeout", text))
        assert wire.status(number) != Code.UNKNOWN.value[0] or wire.closed
    assert still_serves(target)


@rule("HN-08")
def test_a_flood_of_pings_hinders_nobody(target: Target, own: Own) -> None:
    with own.server.grows_by_at_most(50 * MIB), Wire(target.address) as wire:
        for number in range(10_000):
            wire.http.ping(number.to_bytes(8, "big"))
            if number % 500 == 0:
                wire.flush()
                assert still_serves(target)
                while not wire.closed and wire.pongs < number - 1000:
                    wire.receive()
        wire.flush()
        # Either it answers them all, or it says that this is too many.
        while not wire.closed and wire.pongs < 10_000:
            wire.receive()
        assert wire.goaway is None or wire.goaway.error_code == 11
    assert still_serves(target)


@rule("HN-09")
@pytest.mark.parametrize("began", [b"", b"P", PREFACE[:10], PREFACE, PREFACE + SETTINGS, b"\x16\x03\x01"], ids=repr)
def test_half_open_connections_hinder_nobody(target: Target, own: Own, began: bytes) -> None:
    before = own.server.open_files
    host, _, port = target.address.rpartition(":")
    with own.server.grows_by_at_most(50 * MIB):
        waiting = [socket.create_connection((host, int(port)), timeout=90) for _ in range(200)]
        for connection in waiting:
            connection.sendall(began)
        assert still_serves(target)
        for connection in waiting:
            connection.close()
    assert until(lambda: own.server.open_files <= before + 5)


@rule("HN-11")
@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
        b"SSH-2.0-OpenSSH\r\n",
        bytes(1000),
        b"\xff" * 1000,
        PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(100),
        PREFACE + SETTINGS + b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8),
        PREFACE + SETTINGS + b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff",
        PREFACE + SETTINGS + b"\x00\x00\x05\x00\x01\x00\x00\x00\x07hello",
        PREFACE + SETTINGS * 5000,
    ],
    ids=lambda said: repr(said[:24]),
)
def test_what_is_no_grpc_is_ended_or_ignored(target: Target, said: bytes) -> None:
    with raw(target.address, said) as connection:
        connection.settimeout(1.0)
        try:
            answered = everything(connection)
        except TimeoutError:
            answered = b""
        assert b"Traceback" not in answered
    assert still_serves(target)


@rule("HN-11")
def test_what_is_no_grpc_is_harmless_behind_a_front_door_too(own: Own) -> None:
    for said in (b"GET /x HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(300), bytes(1000), b"G" * 100_000, b"PRI\r\n\r\n"):
        with raw(own.private_address, said) as connection:
            connection.settimeout(1.0)
            with suppress(TimeoutError):
                assert b"Traceback" not in everything(connection)
    with raw(own.private_address, b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        assert b" 200 " in everything(connection)


@rule("HN-12")
@pytest.mark.parametrize("path", [FIND, WRITE])
def test_headers_and_then_nothing_are_freed_at_the_deadline(target: Target, own: Own, path: str) -> None:
    with own.server.grows_by_at_most(50 * MIB), Wire(target.address) as wire:
        numbers = [wire.begin(path, ("grpc-timeout", "1S")) for _ in range(100)]
        assert {wire.status(number) for number in numbers} <= {None, 4, 1}
    assert still_serves(target)


@rule("HN-13")
@pytest.mark.parametrize("depth", [99, 101, 10_000, 1_000_000])
def test_a_message_of_endless_depth_is_refused(target: Target, own: Own, depth: int) -> None:
    # Groups of field 100, which no message has, opened one inside of the other.
    opened = b"\xa3\x06" * depth
    closed = b"\xa4\x06" * depth
    with own.server.grows_by_at_most(100 * MIB):
        for data in (opened, opened + closed):
            code = status_of(lambda data=data: target.raw(FIND, data)).code
            assert code in (Code.INVALID_ARGUMENT, Code.OK, Code.INTERNAL)
            if depth > 1000:
                assert code is not Code.OK


@rule("HN-14")
@pytest.mark.parametrize(
    "text",
    ["x\n2026-01-01T00:00:00.000Z ERROR forged", "\x1b[2J", "\r\nforged", "\u2028forged", "a" * 100_000],
    ids=lambda text: repr(text[:10]),
)
def test_names_forge_no_line_in_the_log(target: Target, own: Own, text: str) -> None:
    for ask in by_instance(target, text).values():
        code_of(ask)
    status_of(lambda: target.read(f"blobs/{text}/3"))
    status_of(lambda: list(target.execution.WaitExecution(rx.WaitExecutionRequest(name=text))))
    log = own.server.log
    assert "\x1b" not in log
    lines = log.split("\n")
    assert not [line for line in lines if line.startswith(("forged", "2026-01-01T00:00:00.000Z ERROR forged"))]
    assert max(map(len, lines)) < 20_000


@rule("HN-01")
def test_frames_of_a_stream_that_was_never_opened_hinder_nobody(target: Target) -> None:
    data = fresh(100)
    for frame in (0x0, 0x1, 0x3, 0x8, 0x9, 0xFF):
        said = PREFACE + SETTINGS + struct.pack(">I", len(data))[1:] + bytes([frame, 0]) + struct.pack(">I", 99) + data
        with raw(target.address, said) as connection:
            connection.settimeout(0.5)
            with suppress(TimeoutError):
                everything(connection)
    assert still_serves(target)


@rule("HN-10")
def test_reflection_is_not_answered_without_an_identity(own: Own) -> None:
    target = Target(own.identified_address, "")
    if not target.serves("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"):
        not_applicable("reflection is not served")
    with refused(Code.FAILED_PRECONDITION, Code.UNAUTHENTICATED):
        target.raw("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"\x3a\x00")
    target.close()
