"""Errors as google.rpc.Status, inward and outward. Pure; used in-band (batches, ExecuteResponse) and in trailers."""

from __future__ import annotations

from typing import Final

from google.rpc import error_details_pb2, status_pb2

from nlserver.errors import Code, Error

MISSING: Final = "MISSING"
"""The violation type that makes Bazel and Pants upload again (REAPI v2, Execute)."""
MOST_VIOLATIONS: Final = 1000
_LONGEST_MESSAGE: Final = 4096
_LONGEST_FIELD: Final = 140


def status_of(error: Error, most_violations: int = MOST_VIOLATIONS) -> status_pb2.Status:
    """The status of an Error.

    Missing blobs become one PreconditionFailure detail, wrong fields one BadRequest detail, of at most so many
    violations.
    """
    message = f"{error}. {error.remedy}" if error.remedy else str(error)
    status = status_pb2.Status(code=int(error.code), message=message[:_LONGEST_MESSAGE])
    if error.missing and error.code is Code.FAILED_PRECONDITION:
        failure = error_details_pb2.PreconditionFailure()
        for subject in error.missing[:most_violations]:
            failure.violations.add(type=MISSING, subject=subject)
        status.details.add().Pack(failure)
    if error.fields and error.code is Code.INVALID_ARGUMENT:
        request = error_details_pb2.BadRequest()
        for field, description in error.fields[:most_violations]:
            request.field_violations.add(field=field[:_LONGEST_FIELD], description=description[:_LONGEST_FIELD])
        status.details.add().Pack(request)
    if error.retry_seconds is not None:
        again = error_details_pb2.RetryInfo()
        again.retry_delay.FromNanoseconds(round(error.retry_seconds * 1e9))
        status.details.add().Pack(again)
    return status


def error_of(status: status_pb2.Status, where: str = "") -> Error:
    """The Error that a status from outside stands for; an unknown code is INTERNAL."""
    try:
        code = Code(status.code)
    except ValueError:
        code = Code.INTERNAL
    missing: list[str] = []
    failure = error_details_pb2.PreconditionFailure()
    for detail in status.details:
        if detail.Is(failure.DESCRIPTOR) and detail.Unpack(failure):
            missing += [violation.subject for violation in failure.violations if violation.type == MISSING]
    return Error(code, status.message or code.name, where=where, missing=missing)
