import asyncio
import socket
import subprocess
import sys

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi import methods
from nlserver.reapi.address import Target, is_local, target_of
from nlserver.reapi.channel import Method, Patience, dial, waits
from nlserver.reapi.digest import Function, of
from nlserver.reapi.endpoint import EndpointSpec, RetryCode, RetrySpec, TlsSpec
from nlserver.reapi.wire import batch_update_request

from tests.server.reapi.peer import Fault, Peer, serving

SOON = RetrySpec(max_retries=3, delay=0.001)
ASK = re_pb.GetCapabilitiesRequest()


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("grpc://host:50051", Target("host:50051", secure=False)),
        ("http://host:1", Target("host:1", secure=False)),
        ("GRPCS://host:443/", Target("host:443", secure=True)),
        ("https://host", Target("host:443", secure=True)),
        ("grpc://host", Target("host:80", secure=False)),
        ("host:9", Target("host:9", secure=False)),
        ("grpc://[::1]:7", Target("[::1]:7", secure=False)),
        ("grpc://[::1]", Target("[::1]:80", secure=False)),
        ("unix:/run/x", Target("unix:/run/x", secure=False)),
        ("unix:///run/x", Target("unix:/run/x", secure=False)),
    ],
)
def test_addresses_say_where_and_whether_tls_is_spoken(address, target):
    assert target_of(address) == target


@pytest.mark.parametrize(
    "address", ["", "grpc://", "ftp://h:1", "grpc://h:0", "grpc://h:99999", "grpc://h:x", "grpc://:5", "grpc://a b:1"]
)
def test_impossible_addresses_are_refused_before_anything_connects(address):
    with pytest.raises(Error) as raised:
        dial(address)
    assert raised.value.code is Code.INVALID_ARGUMENT


@given(st.text(max_size=40))
def test_any_address_is_a_target_or_an_error(text):
    try:
        target_of(text)
    except Error as error:
        code = error.code
    else:
        code = Code.INVALID_ARGUMENT
    assert code is Code.INVALID_ARGUMENT


def test_waits_double_before_the_first_and_spread_by_the_jitter():
    assert list(waits(RetrySpec(max_retries=3, delay=0.5))) == [1, 2, 4]
    spread = RetrySpec(max_retries=1, delay=1, jitter=0.5)
    assert list(waits(spread, lambda: 0.0)) == [1.5]
    assert list(waits(spread, lambda: 1.0)) == [2.5]
    assert list(waits(RetrySpec())) == []


async def test_patience_ends_and_begins_anew_after_progress():
    error = Error(Code.UNAVAILABLE, "x")
    patience = Patience(RetrySpec(max_retries=1))
    await patience.after(error)
    with pytest.raises(Error):
        await patience.after(error)
    patience.renew()
    await patience.after(error)


async def test_patience_is_for_the_codes_that_the_spec_names():
    with pytest.raises(Error):
        await Patience(SOON).after(Error(Code.NOT_FOUND, "x"))
    await Patience(RetrySpec(max_retries=1, retry_on_errors=(RetryCode.NOT_FOUND,))).after(Error(Code.NOT_FOUND, "x"))


async def test_a_call_is_repeated_until_it_succeeds(peer: Peer):
    peer.faults["GetCapabilities"].extend([Fault(grpc.StatusCode.UNAVAILABLE)] * 3)
    channel = dial(peer.address, retry=SOON)
    assert await channel.unary(methods.GET_CAPABILITIES, ASK)
    assert peer.calls["GetCapabilities"] == 4
    await channel.close()


async def test_a_call_is_given_up_after_as_many_repetitions_as_configured(peer: Peer):
    peer.faults["GetCapabilities"].extend([Fault(grpc.StatusCode.INTERNAL, "broken")] * 9)
    channel = dial(peer.address, retry=SOON)
    with pytest.raises(Error) as raised:
        await channel.unary(methods.GET_CAPABILITIES, ASK)
    assert (raised.value.code, raised.value.message, raised.value.where) == (Code.INTERNAL, "broken", peer.address)
    assert peer.calls["GetCapabilities"] == 4
    await channel.close()


async def test_what_no_repetition_makes_right_is_not_repeated(peer: Peer):
    peer.faults["GetCapabilities"].append(Fault(grpc.StatusCode.INVALID_ARGUMENT))
    channel = dial(peer.address, retry=SOON)
    with pytest.raises(Error):
        await channel.unary(methods.GET_CAPABILITIES, ASK)
    assert peer.calls["GetCapabilities"] == 1
    await channel.close()


async def test_missing_blobs_of_a_precondition_failure_arrive(peer: Peer):
    failure = error_details_pb2.PreconditionFailure()
    subjects = [f"blobs/{number:064x}/1" for number in range(100)]
    for subject in subjects:
        failure.violations.add(type="MISSING", subject=subject)
    status = status_pb2.Status(code=9, message="inputs are gone")
    status.details.add().Pack(failure)
    peer.faults["GetCapabilities"].append(Fault(grpc.StatusCode.FAILED_PRECONDITION, "inputs are gone", status))
    channel = dial(peer.address)
    with pytest.raises(Error) as raised:
        await channel.unary(methods.GET_CAPABILITIES, ASK)
    assert raised.value.code is Code.FAILED_PRECONDITION
    assert raised.value.missing == tuple(subjects)
    await channel.close()


@pytest.fixture
def closed_port():
    """A port that nobody listens on, and nobody else gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_a_server_that_is_not_there_is_said_in_plain_words(closed_port: int):
    channel = dial(f"grpc://127.0.0.1:{closed_port}")
    with pytest.raises(Error) as raised:
        await channel.unary(methods.GET_CAPABILITIES, ASK)
    assert raised.value.code is Code.UNAVAILABLE
    assert raised.value.message.startswith("no connection to the server: Connection refused")
    assert raised.value.where == f"grpc://127.0.0.1:{closed_port}"
    await channel.close()


async def test_a_deadline_is_an_error_with_its_code(peer: Peer):
    peer.hangs.add("GetCapabilities")
    channel = dial(peer.address)
    with pytest.raises(Error) as raised:
        await channel.unary(methods.GET_CAPABILITIES, ASK, 0.05)
    assert raised.value.code is Code.DEADLINE_EXCEEDED
    await channel.close()


async def test_a_stream_that_stands_still_is_given_up(peer: Peer):
    peer.hangs.add("Read")
    channel = dial(peer.address)
    request = bytestream_pb2.ReadRequest(resource_name="x")
    with pytest.raises(Error) as raised:
        await anext(channel.receive(methods.READ, request, idle_seconds=0.05))
    assert raised.value.code is Code.DEADLINE_EXCEEDED
    await channel.close()


async def test_an_answer_that_is_no_message_is_an_error(peer: Peer):
    method = Method[re_pb.GetCapabilitiesRequest, re_pb.Directory](
        "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities", lambda _: re_pb.Directory.FromString(b"\xff")
    )
    channel = dial(peer.address)
    with pytest.raises(Error) as raised:
        await channel.unary(method, ASK)
    assert raised.value.code is Code.INTERNAL
    await channel.close()


async def test_closing_ends_calls_with_an_error_and_cancels_no_task(peer: Peer):
    peer.hangs.add("GetCapabilities")
    channel = dial(peer.address)
    waiting = asyncio.create_task(channel.unary(methods.GET_CAPABILITIES, ASK))
    await peer.began("GetCapabilities")
    await channel.close()
    with pytest.raises(Error, match="closed"):
        await waiting
    with pytest.raises(Error, match="closed"):
        await channel.unary(methods.GET_CAPABILITIES, ASK)


async def test_a_task_that_is_cancelled_stays_cancelled(peer: Peer):
    peer.hangs.add("GetCapabilities")
    channel = dial(peer.address, retry=SOON)
    waiting = asyncio.create_task(channel.unary(methods.GET_CAPABILITIES, ASK))
    await peer.began("GetCapabilities")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await channel.close()


async def test_headers_go_with_every_call(peer: Peer):
    channel = dial(peer.address, headers=[("authorization", "Bearer x")])
    await channel.unary(methods.GET_CAPABILITIES, ASK)
    assert peer.metadata["authorization"] == "Bearer x"
    await channel.close()


async def test_no_more_calls_are_under_way_than_allowed(peer: Peer):
    peer.hangs.add("GetCapabilities")
    channel = dial(peer.address, most_at_once=2)
    waiting = [asyncio.create_task(channel.unary(methods.GET_CAPABILITIES, ASK)) for _ in range(5)]
    await peer.began("GetCapabilities", 2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert peer.calls["GetCapabilities"] == 2
    peer.hang.set()
    await asyncio.gather(*waiting)
    assert peer.calls["GetCapabilities"] == 5
    await channel.close()


async def test_several_endpoints_share_the_calls():
    async with serving() as one, serving() as two:
        channel = dial([one.address, two.address])
        for _ in range(10):
            await channel.unary(methods.GET_CAPABILITIES, ASK)
        assert (one.calls["GetCapabilities"], two.calls["GetCapabilities"]) == (5, 5)
        await channel.close()


async def test_an_endpoint_that_is_down_is_avoided_without_waiting(peer: Peer, closed_port: int):
    patient = RetrySpec(max_retries=0)
    channel = dial([f"grpc://127.0.0.1:{closed_port}", peer.address], retry=patient)
    for _ in range(6):
        await channel.unary(methods.GET_CAPABILITIES, ASK)
    assert peer.calls["GetCapabilities"] == 6
    await channel.close()


class Wire:
    """Forwards connections to a server and counts the bytes that clients send."""

    def __init__(self, peer: Peer) -> None:
        self.port = int(peer.address.rpartition(":")[2])
        self.sent = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.port)
        async with asyncio.TaskGroup() as both:
            both.create_task(self.copy(reader, ours, count=True))
            both.create_task(self.copy(theirs, writer, count=False))

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        while data := await reader.read(1 << 16):
            self.sent += len(data) if count else 0
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("grpc://127.0.0.1:50051", True),
        ("grpcs://127.8.9.1", True),
        ("[::1]:80", True),
        ("localhost:1", True),
        ("unix:/run/s", True),
        ("grpc://10.0.0.1:50051", False),
        ("[2001:db8::1]:80", False),
        ("grpcs://cache.example", False),
        ("localhost.example:1", False),
    ],
)
def test_addresses_of_this_machine_are_told_by_their_form(address, local):
    assert is_local(address) is local


@pytest.mark.parametrize(("compression", "most"), [("gzip", 50_000), ("none", 2_000_000)])
async def test_gzip_is_spoken_where_the_endpoint_asks_for_it(peer: Peer, compression, most):
    wire = Wire(peer)
    async with await asyncio.start_server(wire.connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        channel = dial(EndpointSpec(address=f"grpc://127.0.0.1:{port}", compression=compression))
        data = bytes(1_000_000)
        await channel.unary(methods.BATCH_UPDATE, batch_update_request("", Function.SHA256, [(of(data), data, 0)]))
        await channel.close()
    assert peer.blobs[of(data)] == data
    assert most // 4 * (compression == "none") < wire.sent < most


async def test_a_unix_socket_is_an_address(tmp_path):
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    channel = dial(f"unix:{tmp_path}/s")
    with pytest.raises(Error) as raised:
        await channel.unary(methods.GET_CAPABILITIES, ASK)
    assert raised.value.code is Code.UNIMPLEMENTED
    await channel.close()
    await server.stop(0)


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate of `localhost`."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += [
        "-keyout",
        key,
        "-out",
        cert,
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


async def test_tls_trusts_the_given_authority_and_nobody_else(certificate):
    key, cert = certificate
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    async with serving(credentials=credentials) as peer:
        trusting = dial(EndpointSpec(address=peer.address, tls_config=TlsSpec(ca_file=str(cert))))
        assert await trusting.unary(methods.GET_CAPABILITIES, ASK)
        await trusting.close()
        wary = dial(peer.address)
        with pytest.raises(Error) as raised:
            await wary.unary(methods.GET_CAPABILITIES, ASK)
        assert raised.value.code is Code.UNAVAILABLE
        await wary.close()


async def test_tls_files_that_are_not_there_are_named(tmp_path):
    channel = dial(EndpointSpec(address="grpcs://localhost:1", tls_config=TlsSpec(ca_file=f"{tmp_path}/nope.pem")))
    with pytest.raises(Error, match=r"nope\.pem"):
        await channel.unary(methods.GET_CAPABILITIES, ASK)
    await channel.close()


def test_values_of_configs_need_no_grpc():
    code = "import sys, nlserver.reapi.endpoint, nlserver.reapi.names; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
