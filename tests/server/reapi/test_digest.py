"""Digests of messages, one by one and many at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import EMPTY, Digest, Function, digest_of, digests_of, of

_HASHES = st.sampled_from((of(b"abc").hash, EMPTY[Function.SHA256].hash, EMPTY[Function.BLAKE3].hash, "AB" * 32, ""))
_MESSAGES = st.builds(rx.Digest, hash=_HASHES, size_bytes=st.integers(-1, 3))


def _answer(work) -> list[Digest] | tuple[Code, str]:
    try:
        return work()
    except Error as error:
        return error.code, str(error)


@given(st.lists(_MESSAGES, max_size=4), st.sampled_from(Function))
def test_many_digests_are_those_that_each_message_has_by_itself(messages: list[rx.Digest], function: Function) -> None:
    together = _answer(lambda: digests_of(messages, function))
    assert together == _answer(lambda: [digest_of(message, function) for message in messages])
    if isinstance(together, list):
        assert all(type(digest) is Digest for digest in together)
