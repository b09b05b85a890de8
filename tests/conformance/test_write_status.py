"""QWS: ByteStream.QueryWriteStatus."""

from __future__ import annotations

import pytest

from tests.conformance.catalogue import departure, rule
from tests.conformance.target import Code, Feed, Target, bs, digest, fresh, not_applicable, refused, until

MIB = 1 << 20


@pytest.fixture
def asked(target: Target) -> Target:
    """A server that answers QueryWriteStatus at all."""
    if not target.serves("/google.bytestream.ByteStream/QueryWriteStatus"):
        not_applicable("QueryWriteStatus is not implemented")
    return target


@rule("QWS-01")
def test_a_present_blob_is_complete_also_under_compressed_names(asked: Target) -> None:
    wanted = asked.put(fresh(1000))
    for compressor in ("", *asked.compressors):
        answer = asked.progress(asked.write_name(wanted, compressor=compressor))
        assert answer.complete
        assert compressor or answer.committed_size == 1000


@rule("QWS-01")
def test_an_upload_that_ended_is_complete_under_its_name(asked: Target) -> None:
    data = fresh(2 * MIB)
    name = asked.write_name(digest(data))
    asked.write(name, data)
    answer = asked.progress(name)
    assert (answer.committed_size, answer.complete) == (len(data), True)


@rule("QWS-02", refused=True)
def test_an_unknown_upload_is_not_found(asked: Target) -> None:
    with refused(Code.NOT_FOUND):
        asked.progress(asked.write_name(digest(fresh(10))))


@departure("QWS-02")
def test_an_unknown_upload_has_0_bytes_and_is_not_complete(asked: Target) -> None:
    answer = asked.progress(asked.write_name(digest(fresh(10))))
    assert (answer.committed_size, answer.complete) == (0, False)


@rule("QWS-03", "QWS-04")
def test_the_committed_size_grows_while_the_upload_runs(asked: Target) -> None:
    data = fresh(6 * MIB)
    name = asked.write_name(digest(data))
    seen = []
    with Feed() as feed:
        call = asked.bytestream.Write.future(iter(feed))
        for start in range(0, len(data), MIB):
            last = start + MIB == len(data)
            feed.say(
                bs.WriteRequest(
                    resource_name="" if start else name,
                    write_offset=start,
                    data=data[start : start + MIB],
                    finish_write=last,
                )
            )
            # Servers that keep nothing for resuming say 0, or do not know the upload.
            until(lambda sofar=start + MIB: asked.committed(name) >= sofar, 0.5)
            seen.append(asked.committed(name))
    assert call.result().committed_size == len(data)
    assert seen == sorted(seen)
    assert max(seen) <= len(data)
    assert asked.progress(name).complete


@rule("QWS-05")
@pytest.mark.parametrize("name", ["", "x", "uploads", "uploads/u/blobs/x/1", "blobs/{h}/1", "uploads/blobs/{h}/1"])
def test_a_malformed_name_is_refused(asked: Target, name: str) -> None:
    with refused(Code.INVALID_ARGUMENT):
        asked.progress(name.format(h=digest(b"x").hash))


@rule("QWS-06")
def test_another_digest_under_the_same_id_is_another_upload(asked: Target) -> None:
    data, other = fresh(3 * MIB), fresh(3 * MIB)
    name = asked.write_name(digest(data), upload_id="8b7a9ac5-4b5e-4b8e-9d9c-000000000001")
    twin = asked.write_name(digest(other), upload_id="8b7a9ac5-4b5e-4b8e-9d9c-000000000001")
    with Feed() as feed:
        call = asked.bytestream.Write.future(iter(feed))
        feed.say(bs.WriteRequest(resource_name=name, data=data[:MIB]))
        until(lambda: asked.committed(name) >= MIB, 3.0)
        assert asked.committed(twin) == 0
        call.cancel()
