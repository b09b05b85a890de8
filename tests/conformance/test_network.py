"""NET: the network below the services."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from nlserver.proto import remote_execution_pb2_grpc

from tests.conformance.calls import by_digest, by_instance, by_name, code_of, codes_of
from tests.conformance.catalogue import rule
from tests.conformance.frames import Wire, everything, framed, raw
from tests.conformance.own import HERE, Own, Process
from tests.conformance.target import (
    ASSET,
    REAPI,
    Code,
    Feed,
    Target,
    bs,
    digest,
    fresh,
    not_applicable,
    raised,
    refused,
    rx,
    status_of,
    until,
)

MIB = 1 << 20
READ = "/google.bytestream.ByteStream/Read"
FIND = f"/{REAPI}.ContentAddressableStorage/FindMissingBlobs"
# What Bazel, Pants, recc or the SDKs try again.
RETRIED = {
    Code.UNAVAILABLE,
    Code.UNKNOWN,
    Code.INTERNAL,
    Code.ABORTED,
    Code.RESOURCE_EXHAUSTED,
    Code.DEADLINE_EXCEEDED,
    Code.CANCELLED,
}


def serving(target: Target, service: str = "") -> int:
    return int(target.health.Check(health_pb2.HealthCheckRequest(service=service)).status)


@rule("NET-01")
def test_health_is_answered_for_the_server_and_its_services(target: Target) -> None:
    assert serving(target) == health_pb2.HealthCheckResponse.SERVING
    with refused(Code.NOT_FOUND):
        serving(target, "no.such.Service")
    watch = target.health.Watch(health_pb2.HealthCheckRequest(service=""))
    assert next(iter(watch)).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


@rule("NET-01")
def test_health_says_so_while_the_server_drains(own: Own, tmp_path: Path) -> None:
    process = Process("draining", HERE / "shared.json5", tmp_path)
    target = Target(process.addresses[0], "")
    watch = iter(target.health.Watch(health_pb2.HealthCheckRequest()))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    with Feed() as feed:
        # An upload under way keeps the server from ending at once.
        upload = target.bytestream.Write.future(iter(feed))
        data = fresh(3 * MIB)
        feed.say(bs.WriteRequest(resource_name=target.write_name(digest(data)), data=data[:MIB]))
        feed.say(bs.WriteRequest(write_offset=MIB, data=data[MIB : 2 * MIB]))
        assert until(lambda: process.unfinished_bytes("cas") > 0)
        stopping = threading.Thread(target=process.stop)
        stopping.start()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        feed.say(bs.WriteRequest(write_offset=2 * MIB, data=data[2 * MIB :], finish_write=True))
        assert upload.result().committed_size == len(data)
    stopping.join()
    target.close()


@rule("NET-01", "HN-10")
def test_health_needs_no_identity(own: Own) -> None:
    target = Target(own.identified_address, "")
    assert serving(target) == health_pb2.HealthCheckResponse.SERVING
    assert code_of(by_instance(target, "")["Read"]) is not Code.OK
    target.close()


@rule("NET-02")
def test_reflection_lists_the_services(target: Target) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(target.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    if status_of(lambda: list(stub.ServerReflectionInfo(iter([request])))).code is Code.UNIMPLEMENTED:
        not_applicable("reflection is not served")
    (answer,) = stub.ServerReflectionInfo(iter([request]))
    names = {service.name for service in answer.list_services_response.service}
    assert f"{REAPI}.ContentAddressableStorage" in names
    assert "google.bytestream.ByteStream" in names


@rule("NET-03")
@pytest.mark.parametrize(
    "method", ["/no.such.Service/Method", f"/{REAPI}.ActionCache/NoSuchMethod", "/x", "/", "nothing"]
)
def test_unknown_services_and_methods_are_unimplemented(target: Target, method: str) -> None:
    with refused(Code.UNIMPLEMENTED):
        target.raw(method, b"")


METHODS = [
    FIND,
    f"/{REAPI}.ContentAddressableStorage/BatchUpdateBlobs",
    f"/{REAPI}.ContentAddressableStorage/BatchReadBlobs",
    f"/{REAPI}.ContentAddressableStorage/GetTree",
    f"/{REAPI}.ContentAddressableStorage/SplitBlob",
    f"/{REAPI}.ContentAddressableStorage/SpliceBlob",
    f"/{REAPI}.ActionCache/GetActionResult",
    f"/{REAPI}.ActionCache/UpdateActionResult",
    f"/{REAPI}.Capabilities/GetCapabilities",
    f"/{REAPI}.Execution/Execute",
    f"/{REAPI}.Execution/WaitExecution",
    f"/{ASSET}.Fetch/FetchBlob",
    f"/{ASSET}.Fetch/FetchDirectory",
    f"/{ASSET}.Push/PushBlob",
    f"/{ASSET}.Push/PushDirectory",
    READ,
    "/google.bytestream.ByteStream/Write",
    "/google.bytestream.ByteStream/QueryWriteStatus",
    "/google.longrunning.Operations/GetOperation",
    "/google.longrunning.Operations/CancelOperation",
    "/grpc.health.v1.Health/Check",
]


@rule("NET-04", "HN-01")
@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7fshort", b"\x0b" * 5000], ids=repr)
def test_a_request_that_cannot_be_decoded_is_no_unknown(target: Target, garbage: bytes) -> None:
    codes = {method: status_of(lambda method=method: target.raw(method, garbage)).code for method in METHODS}
    codes = {method: code for method, code in codes.items() if code is not Code.UNIMPLEMENTED}
    assert codes
    assert {method: code for method, code in codes.items() if code not in (Code.INVALID_ARGUMENT, Code.INTERNAL)} == {}


@rule("NET-04", "HN-01")
def test_garbage_in_mid_stream_is_no_unknown(target: Target) -> None:
    data = fresh(100)
    first = bs.WriteRequest(resource_name=target.write_name(digest(data)), data=data[:50]).SerializeToString()
    with refused(Code.INVALID_ARGUMENT, Code.INTERNAL):
        target.raw("/google.bytestream.ByteStream/Write", first, b"\xff\xff\xff")
    assert not target.is_present(digest(data))


@rule("NET-05")
def test_a_store_that_breaks_is_no_unknown_and_shows_nothing(own: Own, tmp_path: Path) -> None:
    process = Process("broken", HERE / "shared.json5", tmp_path)
    target = Target(process.addresses[0], "")
    kept = target.put(fresh(2 * MIB))
    content = process.data / "cas/content/d"
    content.rename(content.with_name("gone"))
    content.write_text("a file where a directory was")
    try:
        data = fresh(2 * MIB)
        calls = {
            **by_digest(target, kept),
            "Read": lambda: target.bytestream.Read(bs.ReadRequest(resource_name=target.read_name(kept))),
            "large": lambda: target.bytestream.Write(
                iter([bs.WriteRequest(resource_name=target.write_name(digest(data)), data=data, finish_write=True)])
            ),
        }
        codes = codes_of(calls)
        assert Code.UNKNOWN not in codes.values(), codes
        assert codes["large"] in (Code.INTERNAL, Code.UNAVAILABLE, Code.FAILED_PRECONDITION)
        assert target.leaks == []
    finally:
        target.close()
        process.stop()


@rule("NET-06", "HN-02")
def test_messages_of_the_announced_size_fit_and_larger_ones_are_resource_exhausted(target: Target) -> None:
    blob = fresh(min(target.most_batch_bytes, 4_000_000))
    assert [status.code for status in target.update(blob)] == [0]
    with refused(Code.RESOURCE_EXHAUSTED):
        target.raw(FIND, b"\x0a" + b"\x80\x80\x80\x10" + bytes(32 * MIB))


@rule("NET-07")
@pytest.mark.parametrize("size", [1000, 7000, 9000, 16_000])
def test_metadata_of_16_kib_is_taken(target: Target, size: int) -> None:
    request = rx.FindMissingBlobsRequest(instance_name=target.instance, blob_digests=[digest(b"")])
    metadata = [("authorization", f"Bearer {'x' * size}")]
    assert status_of(lambda: target.cas.FindMissingBlobs(request, metadata=metadata)).code is Code.OK


@rule("NET-08")
@pytest.mark.parametrize("streams", [0, 1])
def test_clients_that_ping_are_not_sent_away(target: Target, streams: int) -> None:
    with Wire(target.address) as wire:
        for _ in range(streams):
            wire.begin("/google.bytestream.ByteStream/Write")
        for number in range(20):
            wire.http.ping(number.to_bytes(8, "big"))
            wire.flush()
            while wire.pongs <= number and not wire.closed:
                wire.receive()
        assert wire.goaway is None
        assert wire.pongs == 20
        request = rx.FindMissingBlobsRequest(instance_name=target.instance).SerializeToString()
        assert wire.status(wire.call(FIND, request)) == 0


@rule("NET-09")
def test_a_peer_that_answers_no_ping_is_given_up(own: Own, tmp_path: Path) -> None:
    process = Process("attentive", HERE / "attentive.json5", tmp_path)
    try:
        # The preface and empty settings of HTTP/2, and then never a word.
        silent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
        with raw(process.addresses[0], silent) as connection:
            assert everything(connection)
    finally:
        process.stop()


def certificate(folder: Path, name: str = "cert") -> tuple[Path, Path]:
    """A self-signed certificate for this host, made by openssl; its file and that of its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.fixture(params=["gRPC alone", "behind a front door"])
def secure(own: Own, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Process, str]]:
    """A server that speaks TLS and demands a client's certificate, and its address."""
    cert, key = certificate(tmp_path)
    client, _ = certificate(tmp_path, "client")
    process = Process(
        "secure", HERE / "secure.json5", tmp_path / "server", CERT=str(cert), KEY=str(key), CLIENT=str(client)
    )
    yield process, process.addresses[["gRPC alone", "behind a front door"].index(request.param)]
    process.stop()


def find(address: str, folder: Path, *, certified: bool) -> grpc.StatusCode:
    """How a question over TLS ends."""
    pair = {
        "private_key": (folder / "client.key").read_bytes(),
        "certificate_chain": (folder / "client.pem").read_bytes(),
    }
    credentials = grpc.ssl_channel_credentials((folder / "cert.pem").read_bytes(), **(pair if certified else {}))
    own_pool = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address.replace("127.0.0.1", "localhost"), credentials, options=own_pool) as channel:
        stub = remote_execution_pb2_grpc.ContentAddressableStorageStub(channel)
        return status_of(lambda: stub.FindMissingBlobs(rx.FindMissingBlobsRequest(), timeout=90)).code


@rule("NET-11")
def test_tls_speaks_h2_and_asks_for_client_certificates(secure: tuple[Process, str], tmp_path: Path) -> None:
    _, address = secure
    assert find(address, tmp_path, certified=True) is Code.OK
    assert find(address, tmp_path, certified=False) is Code.UNAVAILABLE
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with raw(address) as bare, context.wrap_socket(bare, server_hostname="localhost") as spoken:
        assert spoken.selected_alpn_protocol() == "h2"


@rule("NET-12")
def test_certificates_are_renewed_without_a_restart(secure: tuple[Process, str], tmp_path: Path) -> None:
    _, address = secure

    def shown() -> str:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        context.set_alpn_protocols(["h2"])
        with raw(address) as bare, context.wrap_socket(bare) as spoken:
            return ssl.DER_cert_to_PEM_cert(spoken.getpeercert(binary_form=True) or b"")

    before = shown()
    certificate(tmp_path)
    assert until(lambda: shown() != before)
    assert find(address, tmp_path, certified=True) is Code.OK


@rule("NET-13", "HN-11")
def test_http_1_on_the_grpc_port_is_harmless(target: Target) -> None:
    host, _, port = target.address.rpartition(":")
    for path in ("/", "/status", "/../../etc/passwd", "/" + "x" * 5000):
        connection = http.client.HTTPConnection(host, int(port), timeout=90)
        try:
            connection.request("GET", path)
            assert connection.getresponse().status >= 400
        except (http.client.HTTPException, ConnectionError):
            pass
        finally:
            connection.close()
    assert target.is_present(digest(b""))


@rule("NET-14")
def test_a_thousand_calls_at_once_are_served(target: Target) -> None:
    data = fresh(100_000)
    request = bs.ReadRequest(resource_name=target.read_name(target.put(data)))
    calls = [target.bytestream.Read(request) for _ in range(1000)]
    assert {b"".join(message.data for message in call) == data for call in calls} == {True}
    ask = rx.FindMissingBlobsRequest(instance_name=target.instance, blob_digests=[digest(fresh(3))])
    futures = [target.cas.FindMissingBlobs.future(ask) for _ in range(1000)]
    assert {len(future.result().missing_blob_digests) for future in futures} == {1}


@rule("NET-15")
@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_requests_may_be_compressed_by_grpc(target: Target, compression: grpc.Compression) -> None:
    present = target.put(fresh(100))
    request = rx.FindMissingBlobsRequest(instance_name=target.instance, blob_digests=[present] * 100)
    assert not target.cas.FindMissingBlobs(request, compression=compression).missing_blob_digests


@rule("NET-16", "HN-07")
def test_work_ends_with_the_clients_deadline(target: Target, own: Own) -> None:
    name = target.read_name(target.put(fresh(32 * MIB)))
    before = own.server.open_files
    for timeout in [0.0, 1e-9, 0.001, 0.01] * 25:
        error = raised(lambda timeout=timeout: target.read(name, timeout=timeout))
        assert error is None or error.code() is Code.DEADLINE_EXCEEDED
    assert until(lambda: own.server.open_files <= before + 2)


def failures(target: Target) -> Iterator[grpc.RpcError]:
    """What the suite's malformed calls end with."""
    bad = rx.Digest(hash="x", size_bytes=-1)
    absent = digest(fresh(60))
    for ask in (
        *by_digest(target, bad).values(),
        *by_digest(target, None).values(),
        *by_digest(target, absent, digest_function=999).values(),
        *by_instance(target, "nobody").values(),
        *by_name(target, "blobs/x/1").values(),
        *by_name(target, f"blobs/{absent.hash}/{absent.size_bytes}").values(),
    ):
        error = raised(lambda ask=ask: list(answer) if hasattr(answer := ask(), "__next__") else answer)
        if error is not None:
            yield error


@rule("NET-17", "NET-18")
def test_what_never_gets_better_has_no_code_that_clients_retry(target: Target) -> None:
    errors = [error for error in failures(target) if error.code() is not Code.UNIMPLEMENTED]
    assert len(errors) > 20
    assert {error.code() for error in errors} & RETRIED == set()
    for error in errors:
        details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        assert b"RetryInfo" not in details


@rule("NET-14")
def test_a_burst_of_connections_is_served(target: Target) -> None:
    def ask(_: int) -> int | None:
        with Wire(target.address) as wire:
            request = rx.FindMissingBlobsRequest(instance_name=target.instance).SerializeToString()
            number = wire.begin(FIND)
            wire.send(number, framed(request), end=True)
            return wire.status(number)

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(ask, range(200))) == {0}
