"""MD: request metadata."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.conformance.calls import code_of
from tests.conformance.catalogue import rule
from tests.conformance.own import Own
from tests.conformance.target import Code, Target, bs, digest, fresh, messages, rx

NAME = "build.bazel.remote.execution.v2.requestmetadata-bin"
OLD_NAME = "google.devtools.remoteexecution.v1test.requestmetadata-bin"
Metadata = Sequence[tuple[str, str | bytes]]


def metadata(action: str = "an-action", **fields: str) -> bytes:
    made = rx.RequestMetadata(
        tool_details={"tool_name": "bazel", "tool_version": "8.0.0"}, action_id=action, tool_invocation_id="i", **fields
    )
    return made.SerializeToString()


def works(target: Target, sent: Metadata) -> bool:
    """Whether a call of each kind works with this metadata."""
    data = fresh(100)
    blob = digest(data)
    upload = iter(messages(target.write_name(blob), data))
    codes = [
        code_of(lambda: target.bytestream.Write(upload, metadata=sent)),
        code_of(
            lambda: target.cas.FindMissingBlobs(
                rx.FindMissingBlobsRequest(instance_name=target.instance, blob_digests=[blob]), metadata=sent
            )
        ),
        code_of(lambda: target.bytestream.Read(bs.ReadRequest(resource_name=target.read_name(blob)), metadata=sent)),
        code_of(
            lambda: target.capabilities_service.GetCapabilities(
                rx.GetCapabilitiesRequest(instance_name=target.instance), metadata=sent
            )
        ),
    ]
    return codes == [Code.OK] * len(codes)


@rule("MD-01", "MD-05")
def test_request_metadata_is_optional_on_every_call(target: Target) -> None:
    assert works(target, [])
    assert works(target, [(NAME, metadata(action_mnemonic="CppCompile", target_id="//a:b", configuration_id="c"))])


@rule("MD-02")
@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"", b"\x0a\x05ab", b"\x12\x02\xff\xfe", b"\0" * 1000])
def test_malformed_metadata_fails_no_call(target: Target, garbage: bytes) -> None:
    assert works(target, [(NAME, garbage)])


@rule("MD-02")
def test_unknown_fields_and_doubled_headers_fail_no_call(target: Target) -> None:
    assert works(target, [(NAME, metadata() + b"\xc0\x3e\x01"), (NAME, metadata("other"))])


@rule("MD-03")
def test_the_older_name_of_the_header_is_harmless(target: Target) -> None:
    assert works(target, [(OLD_NAME, metadata())])
    assert works(target, [(OLD_NAME, b"\xff\xff")])


@rule("MD-04")
@pytest.mark.parametrize("action", ["x\ny ERROR forged", "\x1b[2J\x1b[31mred", "a" * 5000, "\u202etxt"])
def test_metadata_forges_no_line_in_the_log(target: Target, own: Own, action: str) -> None:
    assert works(target, [(NAME, metadata(action))])
    log = own.server.log
    assert "\x1b" not in log
    assert not [line for line in log.splitlines() if line.startswith("y ERROR forged")]
    assert max(map(len, log.splitlines()), default=0) < 20_000
