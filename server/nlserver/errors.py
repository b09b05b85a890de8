"""The one error type inside the engine. It knows no wire: gRPC statuses are made of it at the borders."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class Code(IntEnum):
    """The canonical codes of gRPC, by their numbers on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Error(Exception):
    """Something went wrong, in one sentence that names the thing.

    `where` says at which place it happened (a config path, an endpoint, a file), `remedy` what to do about it.
    `missing` holds the resource subjects (`blobs/{hash}/{size}`, REAPI v2, Execute) of blobs that the caller
    must upload; on the wire they become a PreconditionFailure detail. `fields` holds what is wrong with which field of
    the request, as pairs; they become a BadRequest detail. `retry_seconds` says when to come again; it becomes a
    RetryInfo detail.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        where: str = "",
        remedy: str = "",
        missing: Sequence[str] = (),
        fields: Sequence[tuple[str, str]] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.remedy = remedy
        self.missing = tuple(missing)
        self.fields = tuple(fields)
        self.retry_seconds = retry_seconds

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where else self.message

    def __repr__(self) -> str:
        return f"Error({self.code.name}, {str(self)!r})"


def invalid(message: str, *, where: str = "", remedy: str = "") -> Error:
    """Error for input that no repetition makes right."""
    return Error(Code.INVALID_ARGUMENT, message, where=where, remedy=remedy)


def not_found(message: str, *, where: str = "", remedy: str = "") -> Error:
    """Error for a blob, action result, worker or operation that is not there."""
    return Error(Code.NOT_FOUND, message, where=where, remedy=remedy)
