"""A listener answers gRPC and, where configured, HTTP/1.1 on one port; nothing of ours leaks through it."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from nlserver.cluster import HttpListenerSpec
from nlserver.errors import Code, Error, not_found
from nlserver.front import Answer
from nlserver.listener import Listener
from nlserver.service import Context, Service
from nlserver.services.health import Health, HealthService
from nlserver.spec import Site
from nlserver.store import Store
from nlserver.stores.memory import MemorySpec


class Hostile(Service):
    """Fails in every way that a handler can."""

    descriptors = (health_pb2.DESCRIPTOR.services_by_name["Health"],)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        match request.service:
            case "bug":
                raise ValueError("a secret of the server")
            case "missing":
                raise Error(Code.FAILED_PRECONDITION, "gone", missing=[f"blobs/{n:064x}/1" for n in range(5000)])
        raise not_found("no such thing")


async def _route(method: str, path: str) -> Answer | None:
    return Answer(200, f"{method} here".encode()) if path == "/here" else None


async def _http(address: str, request: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


def _spec() -> HttpListenerSpec:
    return HttpListenerSpec(socket_address="127.0.0.1:0")


@pytest.fixture(params=["with a front door", "direct"])
async def address(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    listener = Listener(_spec(), [Hostile()], [_route] if request.param == "with a front door" else [])
    await listener.start()
    yield listener.address
    await listener.stop(0)


async def _status(address: str, service: str) -> grpc.aio.AioRpcError:
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return caught.value


async def test_a_directory_of_temporary_files_may_have_a_path_longer_than_that_of_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    listener = Listener(_spec(), [Hostile()], [_route])
    await listener.start()
    assert (await _status(listener.address, "x")).code() is grpc.StatusCode.NOT_FOUND
    assert list(deep.iterdir()) == []
    await listener.stop(0)


async def test_an_error_arrives_with_its_code_and_sentence(address: str) -> None:
    error = await _status(address, "x")
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")


async def test_thousands_of_calls_at_once_are_all_answered(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        calls = [stub.Check(health_pb2.HealthCheckRequest()) for _ in range(3500)]
        codes = await asyncio.gather(*(call.code() for call in calls))
    assert set(codes) == {grpc.StatusCode.NOT_FOUND}


async def test_a_bug_of_the_server_leaks_no_text_and_is_not_retried_as_unknown(address: str) -> None:
    error = await _status(address, "bug")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (error.details() or "")


async def test_thousands_of_missing_blobs_still_arrive_as_failed_precondition(address: str) -> None:
    error = await _status(address, "missing")
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "grpc-status-details-bin" in dict(error.trailing_metadata())


async def test_an_undecodable_request_is_invalid_argument(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_method_that_a_service_lacks_is_unimplemented(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()).read()
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_lists_the_services(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answer = await call.read()
    assert "grpc.health.v1.Health" in [service.name for service in answer.list_services_response.service]


@pytest.mark.slow
@pytest.mark.parametrize("beginning", [b"", b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_a_connection_that_does_not_come_to_the_point_is_closed_before_half_a_minute(
    address: str, beginning: bytes
) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(beginning)
    async with asyncio.timeout(30):
        await reader.read()
    writer.close()


async def test_the_front_door_answers_http_on_the_same_port() -> None:
    listener = Listener(_spec(), [Hostile()], [_route])
    await listener.start()
    try:
        found = await _http(listener.address, b"GET /here?x=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        absent = await _http(listener.address, b"GET /there HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head = await _http(listener.address, b"HEAD /here HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        broken = await _http(listener.address, b"\x00\x01\x02 not http\r\n\r\n")
    finally:
        await listener.stop(0)
    assert found.startswith(b"HTTP/1.1 200")
    assert found.endswith(b"GET here")
    assert absent.startswith(b"HTTP/1.1 404")
    assert absent.endswith(b"No route for /there\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert head.endswith(b"\r\n\r\n")
    assert broken.startswith(b"HTTP/1.1 400")


async def test_an_address_in_use_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = Listener(HttpListenerSpec(socket_address=f"127.0.0.1:{port}"), [], [])
        with pytest.raises(Error, match="already in use") as caught:
            await listener.start()
    assert caught.value.code is Code.ALREADY_EXISTS


class Broken(Store):
    """A store that knows that it is unwell."""

    async def sizes(self, keys):  # type: ignore[no-untyped-def]
        return [None] * len(keys)

    def read(self, key, offset=0, limit=None):  # type: ignore[no-untyped-def]
        raise AssertionError

    async def write(self, key, chunks):  # type: ignore[no-untyped-def]
        raise AssertionError

    async def check(self) -> None:
        raise Error(Code.UNAVAILABLE, "the disk is gone")


async def test_health_names_the_store_that_is_unwell_and_both_protocols_agree() -> None:
    stores: dict[str, Store] = {"GOOD": MemorySpec().build(Site()), "BAD": Broken()}
    health = Health(lambda: stores)
    listener = Listener(_spec(), [HealthService(health, ["some.Service"])], [])
    await listener.start()
    code, page = await health.page()
    async with grpc.aio.insecure_channel(listener.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="some.Service"))
        del stores["BAD"]
        well = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        health.drain()
        draining = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    await listener.stop(0)
    assert code == 503
    assert b'"namespace":"/nativelink/stores/BAD/Broken","status":{"Failed":' in page
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert well.status == health_pb2.HealthCheckResponse.SERVING
    assert draining.status == health_pb2.HealthCheckResponse.NOT_SERVING
