"""What operators may ask of a running process through its socket: stores, traces, listings, evictions, events."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from nlserver.proto import admin_pb2, admin_pb2_grpc
from nlserver.proto import remote_execution_pb2 as reapi
from nlserver.proto import remote_execution_pb2_grpc as reapi_grpc

BLOCK = 4096
PRESENT, ABSENT, UNREACHABLE = admin_pb2.Sighting.PRESENT, admin_pb2.Sighting.ABSENT, admin_pb2.Sighting.UNREACHABLE


class Server:
    """An `nlserver` and what it answers."""

    def __init__(self, folder: Path, nowhere: int) -> None:
        self.folder = folder
        self.socket = folder / ("very-long-name-" * 8) / "admin.sock"
        config = folder / "config.json5"
        config.write_text(f"""{{
          stores: [
            {{ name: "CAS", compression: {{ compression_algorithm: {{ lz4: {{}} }}, backend: {{ fast_slow: {{
                fast: {{ memory: {{ eviction_policy: {{ max_bytes: "1mb" }} }} }},
                slow: {{ filesystem: {{ content_path: "{folder}/cas", temp_path: "{folder}/tmp",
                                        eviction_policy: {{ max_count: 3 }} }} }},
            }} }} }} }},
            {{ name: "ELSEWHERE", grpc: {{ store_type: "cas", instance_name: "main",
                endpoints: [{{ address: "grpc://127.0.0.1:{nowhere}" }}], retry: {{ max_retries: 0 }} }} }},
            {{ name: "AC", memory: {{}} }},
          ],
          servers: [{{ listener: {{ http: {{ socket_address: "127.0.0.1:0" }} }},
            services: {{ cas: [{{ cas_store: "CAS" }}], ac: [{{ ac_store: "AC" }}], capabilities: [] }} }}],
        }}""")
        reading, writing = os.pipe()
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nlserver", "--admin-socket", str(self.socket), str(config)],
                stderr=log,
                pass_fds=[writing],
                env={**os.environ, "NLSERVER_READY_FD": str(writing)},
            )
        os.close(writing)
        assert os.read(reading, 100) == b"READY=1\n", self.log.read_text()
        os.close(reading)
        where = os.open(self.socket.parent, os.O_PATH)
        self.channel = grpc.insecure_channel(f"unix:/proc/self/fd/{where}/{self.socket.name}")
        self.admin = admin_pb2_grpc.AdminStub(self.channel)
        listener = self.admin.GetPart(admin_pb2.GetPartRequest(), timeout=120).listeners[0]
        self.clients = grpc.insecure_channel(listener)
        self.cas = reapi_grpc.ContentAddressableStorageStub(self.clients)

    def put(self, data: bytes) -> reapi.Digest:
        digest = reapi.Digest(hash=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        request = reapi.BatchUpdateBlobsRequest(requests=[{"digest": digest, "data": data}])
        assert self.cas.BatchUpdateBlobs(request, timeout=120).responses[0].status.code == 0
        return digest

    def trace(self, digest: reapi.Digest, store: str = "") -> dict[str, admin_pb2.Sighting]:
        answer = self.admin.TraceBlob(admin_pb2.TraceBlobRequest(digest=digest, store=store), timeout=120)
        return {one.path: one for one in answer.sightings}

    def close(self) -> None:
        self.clients.close()
        self.channel.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as nowhere:
        # Bound but not listening: connections are refused, and nobody else gets the port.
        nowhere.bind(("127.0.0.1", 0))
        made = Server(tmp_path_factory.mktemp("admin"), nowhere.getsockname()[1])
        yield made
        made.close()


def test_the_socket_is_for_its_user_alone(server: Server) -> None:
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700


def test_stores_are_shown_as_what_they_are_made_of(server: Server) -> None:
    server.put(b"counted")
    cas, elsewhere, _ = server.admin.ListStores(admin_pb2.ListStoresRequest()).stores
    assert (cas.path, cas.kind, cas.children[0].kind) == ("CAS", "compression", "fast_slow")
    fast, slow = cas.children[0].children
    assert (fast.path, fast.kind) == ("CAS/backend/fast", "memory")
    assert (slow.kind, slow.facts["content_path"]) == ("filesystem", f"{server.folder}/cas")
    assert (fast.is_counted, fast.max_bytes, slow.max_values) == (True, 1_000_000, 3)
    assert fast.values >= 1
    assert (slow.can_list, slow.has_journal, cas.can_list) == (True, True, False)
    assert elsewhere.facts["endpoints"].startswith("grpc://127.0.0.1:")


def test_root_stores_tell_what_they_are_used_for(server: Server) -> None:
    stores = server.admin.ListStores(admin_pb2.ListStoresRequest()).stores
    assert {one.path: list(one.roles) for one in stores} == {"CAS": ["cas"], "ELSEWHERE": [], "AC": ["ac"]}


def test_a_layer_gives_the_bytes_that_it_holds(server: Server) -> None:
    data = os.urandom(2 << 20) + bytes(1 << 20)
    digest = server.put(data)

    def read(store: str) -> bytes:
        pages = server.admin.ReadBlob(admin_pb2.ReadBlobRequest(store=store, digest=digest), timeout=30)
        return b"".join(page.data for page in pages)

    assert read("CAS") == data
    assert len(read("CAS/backend/slow")) < len(data), "it is kept compressed"
    with pytest.raises(grpc.RpcError) as caught:
        read("AC")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_blob_is_traced_through_every_layer(server: Server) -> None:
    digest = server.put(b"traced" * 100)
    seen = server.trace(digest)
    assert [path for path, one in seen.items() if one.state == PRESENT] == [
        "CAS",
        "CAS/backend",
        "CAS/backend/fast",
        "CAS/backend/slow",
    ]
    assert 0 < seen["CAS/backend/slow"].size_bytes < 600, "it is kept compressed"
    assert seen["ELSEWHERE"].state == UNREACHABLE
    assert seen["ELSEWHERE"].message
    assert seen["AC"].state == ABSENT


def test_a_file_that_somebody_deleted_is_absent_in_its_layer_only(server: Server) -> None:
    digest = server.put(b"deleted behind the back")
    (server.folder / "cas/d" / f"{digest.hash}-{digest.size_bytes}").unlink()
    seen = server.trace(digest, "CAS")
    assert seen["CAS/backend/fast"].state == PRESENT
    assert seen["CAS/backend/slow"].state == ABSENT
    assert not seen["CAS/backend/slow"].HasField("evicted")


def test_what_was_evicted_says_when_and_by_which_limit(server: Server) -> None:
    digest = server.put(b"goes")
    for number in range(4):
        server.put(b"pushes %d" % number)
    sighting = server.trace(digest, "CAS/backend/slow")["CAS/backend/slow"]
    assert (sighting.state, sighting.evicted.limit) == (ABSENT, "max_count")
    assert sighting.evicted.size_bytes == BLOCK
    key = f"{digest.hash}-{digest.size_bytes}"
    pages = server.admin.ListEvictions(admin_pb2.ListEvictionsRequest(prefix=digest.hash[:10]))
    assert [(one.store, one.key) for page in pages for one in page.evictions] == [("CAS/backend/slow", key)]
    later = Timestamp(seconds=sighting.evicted.when.seconds + 10)
    assert not list(server.admin.ListEvictions(admin_pb2.ListEvictionsRequest(since=later)))


def test_a_layer_lists_what_it_holds(server: Server) -> None:
    digest = server.put(b"listed")
    key = f"{digest.hash}-{digest.size_bytes}"
    request = admin_pb2.ListBlobsRequest(store="CAS/backend/slow", prefix=digest.hash[:12])
    [page] = server.admin.ListBlobs(request)
    assert [one.key for one in page.blobs] == [key]
    assert page.blobs[0].used.seconds > 0
    one = list(server.admin.ListBlobs(admin_pb2.ListBlobsRequest(store="CAS/backend/fast", limit=1)))
    assert sum(len(page.blobs) for page in one) == 1
    with pytest.raises(grpc.RpcError) as caught:
        list(server.admin.ListBlobs(admin_pb2.ListBlobsRequest(store="ELSEWHERE")))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_blob_is_removed_from_a_layer_and_what_is_below(server: Server) -> None:
    digest = server.put(b"removed")
    fast = admin_pb2.RemoveBlobRequest(store="CAS/backend/fast", digest=digest)
    assert server.admin.RemoveBlob(fast).removed
    assert server.trace(digest)["CAS/backend/slow"].state == PRESENT
    everywhere = admin_pb2.RemoveBlobRequest(store="CAS", digest=digest)
    assert server.admin.RemoveBlob(everywhere).removed
    assert server.trace(digest)["CAS/backend/slow"].state == ABSENT
    assert not server.admin.RemoveBlob(everywhere).removed


def test_a_store_that_is_not_there_names_those_that_are(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.trace(server.put(b"x"), "CAX")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "CAS/backend/fast" in caught.value.details()


def test_events_are_remembered_and_followed(server: Server) -> None:
    past = list(server.admin.WatchEvents(admin_pb2.WatchEventsRequest()))
    assert past[0].event.startswith("Ready, listening on")
    assert [one.number for one in past] == list(range(1, len(past) + 1))
    follow = server.admin.WatchEvents(admin_pb2.WatchEventsRequest(after=past[-1].number, follow=True), timeout=120)
    digest = server.put(b"watched")
    server.admin.RemoveBlob(admin_pb2.RemoveBlobRequest(store="CAS", digest=digest))
    event = next(follow)
    follow.cancel()
    assert (event.event, event.level, event.lost) == ("A value was removed on request", "info", 0)
    assert event.facts["store"] == "CAS"
    assert not list(server.admin.WatchEvents(admin_pb2.WatchEventsRequest(level="error")))
    with pytest.raises(grpc.RpcError) as caught:
        list(server.admin.WatchEvents(admin_pb2.WatchEventsRequest(level="loud")))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_socket_goes_with_its_process_and_a_dead_ones_is_replaced(tmp_path: Path) -> None:
    with socket.socket() as nowhere:
        nowhere.bind(("127.0.0.1", 0))
        first = Server(tmp_path, nowhere.getsockname()[1])
        first.close()
        assert first.socket.exists(), "a killed process leaves it"
        second = Server(tmp_path, nowhere.getsockname()[1])
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(30) == 143
        assert not second.socket.exists()
        second.close()


def test_a_folder_into_which_others_may_write_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "empty.json5"
    config.write_text("{ stores: [], servers: [] }")
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    command = [sys.executable, "-m", "nlserver", "--admin-socket", f"{folder}/admin.sock", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "others may write into" in done.stderr
    assert "--admin-socket" in done.stderr


def test_who_only_speaks_http_asks_the_socket_for_its_status(server: Server) -> None:
    done = probed(server.socket)
    assert done.returncode == 0, done.stdout
    assert {next(iter(one["status"])) for one in json.loads(done.stdout)} == {"Ok"}


def test_a_probe_of_a_socket_that_nobody_serves_fails(tmp_path: Path) -> None:
    done = probed(tmp_path / "admin.sock")
    assert done.returncode == 1
    assert "no answer" in done.stdout


def test_a_worker_whose_scheduler_does_not_know_it_is_not_well(tmp_path: Path) -> None:
    with socket.socket() as nowhere:
        nowhere.bind(("127.0.0.1", 0))
        config = tmp_path / "worker.json5"
        config.write_text(f"""{{
          stores: [{{ name: "CAS", fast_slow: {{
            fast: {{ filesystem: {{ content_path: "{tmp_path}/cas", temp_path: "{tmp_path}/tmp" }} }},
            slow: {{ memory: {{}} }} }} }}],
          workers: [{{ local: {{ name: "w", cas_fast_slow_store: "CAS", work_directory: "{tmp_path}/work",
            worker_api_endpoint: {{ uri: "grpc://127.0.0.1:{nowhere.getsockname()[1]}" }},
            upload_action_result: {{ upload_ac_results_strategy: "never" }}, platform_properties: {{}} }} }}],
          servers: [],
        }}""")
        path, log = tmp_path / "admin.sock", tmp_path / "log"
        with log.open("w") as file:
            words = [sys.executable, "-m", "nlserver", "--admin-socket", str(path), str(config)]
            process = subprocess.Popen(words, stderr=file)
        try:
            while "cannot register" not in log.read_text() or not path.exists():
                assert process.poll() is None, log.read_text()
            done = probed(path)
        finally:
            process.kill()
            process.wait()
    assert done.returncode == 1
    reports = {one["namespace"].split("/")[-2]: one["status"] for one in json.loads(done.stdout)}
    assert list(reports["w"]) == ["Failed"]
    assert list(reports["CAS"]) == ["Ok"]


def probed(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nlserver.probe", str(path)], capture_output=True, text=True, check=False
    )
