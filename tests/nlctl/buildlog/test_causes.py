"""The words of real errors, by their shapes in public issues with other names, and what they stand for."""

from __future__ import annotations

import pytest

from nlctl.buildlog.causes import MEANINGS, Cause, fixes, of_text

H = "7fd25e01d12373a2d1712e446881c9246a9698da4e7eafecdaeeaaff62195a82"

SAID = [
    (
        Cause.MISSING_BLOB,
        f"a.x failed: Failed to fetch blobs because they do not exist remotely.: Missing digest: {H}/34 for a.x",
    ),
    (
        Cause.MISSING_BLOB,
        f"Generating Descriptor Set failed: (Exit 34): Missing digest: {H}/57 for bazel-out/protoc",
    ),
    (
        Cause.MISSING_BLOB,
        f"Exec failed due to IOException: Lost inputs no longer available remotely: bazel-out/a.h ({H}/9)",
    ),
    (
        Cause.MISSING_BLOB,
        f"FAILED_PRECONDITION: Object {H}-148 not found in either fast or slow store. If using multiple workers",
    ),
    (Cause.MISSING_BLOB, "io.grpc.StatusRuntimeException: FAILED_PRECONDITION: Missing 1 digests"),
    (Cause.MISSING_BLOB, f"Execute pre-check found missing CAS blobs: {H}-12"),
    (Cause.MISSING_BLOB, f"NOT_FOUND: Shard 1: Object {H}-12 not found"),
    (Cause.MISSING_BLOB, "Could not make hardlink, file was likely evicted from cache. /c/d/x : /w/y"),
    (
        Cause.TIMEOUT_REFUSED,
        "Action timeout of 3600 seconds is greater than the maximum allowed timeout of 1200 seconds",
    ),
    (
        Cause.NO_WORKER,
        'FAILED_PRECONDITION: No workers exist for instance name prefix "" platform {"properties":[]}',
    ),
    (Cause.NO_WORKER, "no eligible queue for execution: properties {container-image: x}"),
    (Cause.WRONG_INSTANCE, "INVALID_ARGUMENT: 'instance_name' not configured for 'main'"),
    (Cause.NO_EXECUTION, "ERROR: Remote execution is not supported by the remote server"),
    (
        Cause.DIGEST_FUNCTION,
        "ERROR: Cannot use hash function SHA-256 with remote cache. Server supported functions are: BLAKE3",
    ),
    (Cause.MESSAGE_TOO_LARGE, "RESOURCE_EXHAUSTED: Received message larger than max (5242893 vs. 4194304)"),
    (Cause.NO_SPACE, "java.io.IOException: write (No space left on device)"),
    (Cause.TLS, "UNAVAILABLE: io exception ... SSLHandshakeException: PKIX path building failed"),
    (Cause.TLS, "UNAVAILABLE: Unexpected HTTP/1.x request; HTTP/2 client preface string missing or corrupt"),
    (Cause.DENIED, "PERMISSION_DENIED: not authorized to write to the action cache"),
    (Cause.ACTION_TIMEOUT, "TIMEOUT: //a:b (Summary) ... (Timeout)"),
    (Cause.TIMEOUT, "DEADLINE_EXCEEDED: deadline exceeded after 59.99s [remote_addr=10.0.0.1/10.0.0.1:50051]"),
    (Cause.TIMEOUT, "WARNING: Writing to Remote Cache: Timed out after 60 seconds"),
    (Cause.LOST_WORKER, "INTERNAL: Job cancelled because it attempted to execute too many times 4 > 3 times"),
    (Cause.UNREACHABLE, "ERROR: Failed to query remote execution capabilities: UNAVAILABLE: io exception"),
    (Cause.UNREACHABLE, "ERROR: Failed to query remote execution capabilities: Connection refused: /127.0.0.1:1"),
    (Cause.UNREACHABLE, "UNAVAILABLE: Unable to resolve host cache.example, java.net.UnknownHostException"),
    (Cause.UNREACHABLE, "UNAVAILABLE: HTTP/2 error code: NO_ERROR Received Goaway too_many_pings"),
    (Cause.WRONG_MACHINE, "bazel-out/bin/tool: cannot execute binary file: Exec format error"),
    (Cause.NO_PROGRAM, "bash: line 1: javac: command not found (Exit 127)"),
    (Cause.INTERRUPTED, "ERROR: build interrupted"),
    (Cause.BAD_OPTION, "ERROR: --remote_cache_compressionn :: Unrecognized option: --remote_cache_compressionn"),
    (Cause.BAD_OPTION, "ERROR: Config value 'nl' is not defined in any .rc file"),
    (Cause.COMMAND_FAILED, "ERROR: /w/BUILD:2:8: Compiling a.cc failed: (Exit 1): gcc failed: error executing command"),
    (Cause.COMMAND_FAILED, "ERROR: /w/BUILD:2:8: Linking a failed: (Killed): gcc failed"),
    (Cause.OTHER, "ERROR: Analysis of target '//a' failed"),
]


@pytest.mark.parametrize(("cause", "text"), SAID, ids=range(len(SAID)))
def test_words_lead_to_their_cause(cause: Cause, text: str) -> None:
    assert of_text(text) is cause


def test_every_cause_has_words_and_a_meaning_with_a_remedy() -> None:
    assert {cause for cause, _ in SAID} == set(Cause)
    for cause in Cause:
        meaning = MEANINGS[cause]
        assert meaning.what
        assert meaning.because
        assert meaning.fixes


def test_a_remedy_names_the_digest_where_one_is_known() -> None:
    assert fixes(Cause.MISSING_BLOB, f"{H}/148")[0].command == ("nlctl", "doctor", "object", f"{H}/148")
    assert fixes(Cause.MISSING_BLOB)[0].command == ("nlctl", "doctor", "object", "DIGEST")
