"""Bazel's log of its calls (`--remote_grpc_log`): a LogEntry after the other, each behind its length. Pure.

Field numbers are those of Bazel's remote_execution_log.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from google.protobuf.message import DecodeError
from nlserver.errors import Code, Error
from nlserver.reapi.wire import number_at

from nlctl.buildlog.gathered import ERROR, Gathered

_METADATA, _STATUS, _METHOD, _DETAILS, _START, _END = range(1, 7)
_READ, _WRITE, _EXECUTE, _LOOKUP, _FIND = 5, 6, 7, 8, 10
_REQUEST, _RESPONSE = 1, 2
_BYTES: Final = 3
_VARINT, _FIXED64, _BLOCK, _FIXED32 = 0, 1, 2, 5
_MOST_REMEMBERED: Final = 200_000
_MOST_MISSING: Final = 10
_STAGES: Final = (
    ("queued", "queued", "worker_start"),
    ("input fetch", "input_fetch_start", "input_fetch_completed"),
    ("execution", "execution_start", "execution_completed"),
    ("output upload", "output_upload_start", "output_upload_completed"),
)


class Rpcs:
    """Fed entry by entry. The first error is the first in time, not in the order of the log."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._first = float("inf")
        self._written: set[bytes] = set()

    def entry(self, data: bytes) -> None:
        """The bytes of the next LogEntry. Raises Error INVALID_ARGUMENT for anything else."""
        gathered = self._gathered
        gathered.entries += 1
        fields = dict(entries(data))
        method = _text(fields.get(_METHOD)).rpartition(".")[2]
        status, words = _status(fields.get(_STATUS, b""))
        begin, end = _seconds(fields.get(_START, b"")), _seconds(fields.get(_END, b""))
        about, size = _about(fields.get(_METADATA, b"")), 0
        for kind, details in entries(_block(fields.get(_DETAILS))):
            inner = list(entries(_block(details)))
            size = self._details(kind, inner)
            if kind == _EXECUTE:
                self._executed(inner, about, begin)
        gathered.called(method, max(0.0, end - begin) * 1000, status, about, size)
        looks_up = method.endswith("/GetActionResult")
        if looks_up and status in ("OK", "NOT_FOUND"):
            gathered.hits = (gathered.hits or 0) + (status == "OK")
            gathered.misses = (gathered.misses or 0) + (status == "NOT_FOUND")
        elif status != "OK":
            self._went_wrong(f"{method}: {status}: {words}" + (f"\n{about}" if about else ""), begin)

    def _went_wrong(self, text: str, begin: float) -> None:
        earlier = begin < self._first
        if earlier:
            self._first, self._gathered.trouble = begin, None
        self._gathered.went_wrong(ERROR, self._gathered.entries, text)

    def _details(self, kind: int, fields: list[tuple[int, Any]]) -> int:
        numbers = {number: value for number, value in fields if isinstance(value, int)}
        if kind == _WRITE:
            name = next((value for number, value in fields if number == _REQUEST and value), b"")
            self._note_write(bytes(name).rpartition(b"/blobs/")[2])
        return numbers.get(_BYTES, 0) if kind in (_READ, _WRITE) else 0

    def _note_write(self, digest: bytes) -> None:
        if digest in self._written:
            self._gathered.uploaded_again += 1
        elif digest and len(self._written) < _MOST_REMEMBERED:
            self._written.add(digest)

    def _executed(self, fields: list[tuple[int, Any]], about: str, begin: float) -> None:
        """An action that was executed: how long its stages took, and how it ended."""
        from google.longrunning import operations_pb2
        from nlserver.proto import remote_execution_pb2 as re_pb

        operations = [value for number, value in fields if number == _RESPONSE]
        with suppress(DecodeError):
            asked = re_pb.ExecuteRequest.FromString(_block(dict(fields).get(_REQUEST))).action_digest
            last = operations_pb2.Operation.FromString(_block(operations[-1] if operations else b""))
            answer = re_pb.ExecuteResponse.FromString(last.response.value)
            action = f"{about}\naction {asked.hash}/{asked.size_bytes}".lstrip()
            if answer.status.code:
                name = _name(answer.status.code)
                said = "\n".join(
                    [f"Execution/Execute: {name}: {answer.status.message}", *_missing(answer.status), action]
                )
                self._went_wrong(said, begin)
            elif answer.result.exit_code:
                self._went_wrong(f"the command failed (Exit {answer.result.exit_code})\n{action}", begin)
            if not answer.cached_result:
                self._stages(answer.result.execution_metadata)

    def _stages(self, times: Any) -> None:
        for name, begin, end in _STAGES:
            first, last = (getattr(times, f"{one}_timestamp") for one in (begin, end))
            if last.seconds and first.seconds:
                spent = (last.seconds - first.seconds) * 1000 + (last.nanos - first.nanos) / 1e6
                self._gathered.spent(name, max(0.0, spent))


def _missing(status: Any) -> list[str]:
    """What a server says of blobs that it lacks (REAPI v2, Execute)."""
    from google.rpc import error_details_pb2

    failure = error_details_pb2.PreconditionFailure()
    found = [one.subject for detail in status.details if detail.Unpack(failure) for one in failure.violations]
    return [f"missing {subject}" for subject in found[:_MOST_MISSING]]


def is_entry(data: bytes) -> bool:
    """Whether these are the bytes of a LogEntry: a method's name stands in it."""
    try:
        method = dict(entries(data)).get(_METHOD, b"")
        return isinstance(method, bytes) and b"/" in method and bytes(method).isascii()
    except Error:
        return False


def entries(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an int, or the bytes of text and messages. Raises Error INVALID_ARGUMENT."""
    at = 0
    while at < len(data):
        tag, at = number_at(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = number_at(data, at)
            yield number, value
            continue
        if kind == _BLOCK:
            size, at = number_at(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise Error(Code.INVALID_ARGUMENT, "a field of an unknown kind")
        if at + size > len(data):
            raise Error(Code.INVALID_ARGUMENT, "the message ends inside a field")
        yield number, data[at : at + size]
        at += size


def _block(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: Any) -> str:
    return _block(value).decode(errors="replace")


def _status(data: Any) -> tuple[str, str]:
    fields = dict(entries(_block(data)))
    code = fields.get(1, 0)
    return (_name(code) if isinstance(code, int) and code else "OK"), _text(fields.get(2))


def _name(code: int) -> str:
    return {int(one): one.name for one in Code}.get(code, str(code))


def _seconds(data: Any) -> float:
    fields = dict(entries(_block(data)))
    seconds, nanos = fields.get(1, 0), fields.get(2, 0)
    return (seconds if isinstance(seconds, int) else 0) + (nanos if isinstance(nanos, int) else 0) / 1e9


def _about(data: Any) -> str:
    from nlserver.proto import remote_execution_pb2 as re_pb

    with suppress(DecodeError):
        said = re_pb.RequestMetadata.FromString(_block(data))
        return " ".join(part for part in (said.action_mnemonic, said.target_id, said.action_id) if part)
    return ""
