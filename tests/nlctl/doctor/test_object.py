"""`nlctl doctor object` on a real cluster into which the fault was put (statement 44), and pasted texts (48)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid

PASTED = [
    "Object {hash}-{size} not found in either fast or slow store. If using multiple workers, ensure all workers share",
    "{hash}/{size}",
    "bytestream://127.0.0.1:50051/main/blobs/{hash}/{size}",
    "com.google.devtools.build.lib.remote.common.CacheNotFoundException: Missing digest: {hash}/{size} for bazel-out/x",
    "Lost inputs no longer available remotely: bazel-out/k8-fastbuild/bin/a.o ({hash}/{size})",
    "FAILED_PRECONDITION: Precondition check failed: blobs/{hash}/{size} MISSING",
    "uploads/5a3a8a7e-5d6c-4d6e-9d27-0a7c0f8f5a0b/blobs/{hash}/{size}",
    'Digest {{ hash: "{hash}", size_bytes: {size} }}',
    '{{"hash":"{hash}","sizeBytes":"{size}"}}',
    "Error: hardlink /worker/content/d/{hash}-{size} failed: No such file or directory",
    "rpc error: code = NotFound desc = blob {hash}:{size} not found",
    # NativeLink's own log, where texts stand in texts.
    (
        'ERROR local_worker: Error executing action: messages: [\\"for digest DigestInfo {{ size_bytes: {size}, hash: '
        '\\"{hash}\\" }}\\", \\"in download_to_directory\\"]'
    ),
    "Could not make hardlink, file was likely evicted from cache, for digest {hash}-{size}, in download_to_directory",
    # Bazel.
    (
        "ERROR: /w/BUILD:6:1: Compiling a failed: Failed to fetch blobs because they do not exist remotely.: Missing "
        "digest: {hash}/{size} for bazel-out/k8-fastbuild/bin/a.x"
    ),
    # Buck2, which names the action that once made the blob, too.
    (
        "Internal error (stage: remote_upload_error): Remote Execution Error (GRPC): {hash}:{size} (expires = "
        "then) is missing in the CAS but expected to exist as per: The artifact at path 'buck-out/v2/a' "
        "(File({hash}:{size})) was produced by a RE action (" + "ab" * 32 + ":142 retrieved 0 seconds ago)"
    ),
    "Error writing digest `{hash}:{size}` to `buck-out/v2/gen/root/a`",
    # Buildfarm, which names the action first.
    "FAILED_PRECONDITION: Action "
    + "ab" * 32
    + "/142 is invalid: The file `a` {hash}/{size} was not found in the CAS.",
    # buildbox, below recc and BuildStream.
    "FetchBlob: Failed to download blob {hash}/{size}: 5: Blob not found",
    "NOT_FOUND: Shard 1: Object not found: 3-{hash}-{size}-main",
]


def verdict(cli: Cli, *text: str, code: int | None = 5) -> Any:
    return valid(cli("doctor", "object", *text, "-o", "json", code=code).document)["item"]


def put(cli: Cli, tmp_path: Path) -> str:
    path = tmp_path / "blob"
    path.write_bytes(secrets.token_bytes(100))
    return cli("cas", "put", "-q", str(path)).out.strip()


def stored(cli: Cli, digest: str, part: str = "cas") -> Path:
    """The file of a blob in the store of the CAS or of the workers."""
    return cli.state / "clusters" / "dev" / "data" / part / "content" / "d" / digest.replace("/", "-")


def test_a_blob_that_is_there_is_well(cluster: Cli, tmp_path: Path) -> None:
    found = verdict(cluster, put(cluster, tmp_path), code=0)
    assert found["verdict"] == "PRESENT"
    assert {hop["says"] for hop in found["way"] if "slow" in hop["place"]} == {"has"}


@pytest.mark.parametrize("text", PASTED, ids=range(len(PASTED)))
def test_any_pasted_text_leads_to_a_verdict(cluster: Cli, text: str) -> None:
    """Statement 48."""
    data = secrets.token_bytes(8)
    found = verdict(cluster, text.format(hash=hashlib.sha256(data).hexdigest(), size=len(data)))
    assert found["verdict"] == "NEVER_UPLOADED"


def test_bytes_that_changed_on_the_disk_are_corrupt(cluster: Cli, tmp_path: Path) -> None:
    digest = put(cluster, tmp_path)
    path = stored(cluster, digest)
    path.chmod(0o644)
    path.write_bytes(bytes(100))
    assert verdict(cluster, digest, code=9)["verdict"] == "CORRUPT"


def test_a_hash_with_another_size_is_told(cluster: Cli, tmp_path: Path) -> None:
    digest = put(cluster, tmp_path)
    found = verdict(cluster, digest.replace("/100", "/99"))
    assert found["verdict"] == "WRONG_SIZE"
    assert "100 bytes, not 99" in found["what"]


def test_a_blob_that_only_a_worker_has_is_told(cluster: Cli, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "blob").write_bytes(data := secrets.token_bytes(100))
    digest = f"{hashlib.sha256(data).hexdigest()}/100"
    cluster("run", "--input", str(tmp_path / "in"), "--", "/bin/cat", "blob")
    cluster("cas", "rm", digest, "--yes")
    found = verdict(cluster, digest)
    assert found["verdict"] == "FAST_ONLY"
    assert all("fast" in place for place in found["at"])


def test_people_see_the_way_and_the_verdict(cluster: Cli) -> None:
    said = cluster("doctor", "object", f"{'ab' * 32}/5", code=5).out
    assert said.splitlines()[0] == f"{'ab' * 32}/5"
    assert "NEVER_UPLOADED  no store has it" in said
    assert "worker-1:CAS_STORE/slow" in said


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A cluster whose CAS holds two blobs of a megabyte."""
    made = Cli(tmp_path_factory.mktemp("small"))
    made("up", "--workers", "1", "--base-port", "auto", "--cas-size", "3mb")
    yield made
    made("down", "--wipe", "--yes", code=None)


def test_a_blob_that_gave_way_to_others_is_evicted(small: Cli, tmp_path: Path) -> None:
    digests = []
    for number in range(5):
        (tmp_path / str(number)).write_bytes(secrets.token_bytes(1 << 20))
        digests.append(small("cas", "put", "-q", str(tmp_path / str(number))).out.strip())
    found = verdict(small, digests[0])
    assert found["verdict"] == "EVICTED"
    assert "max_bytes" in found["what"]
    assert any(hop["at_fault"] for hop in found["way"])
