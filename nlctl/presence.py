"""Which blobs a CAS lacks, for a command that asks nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nlserver.reapi.digest import Digest, Function

from nlctl.http2 import MOST_SENT
from nlctl.session import Session, Target
from nlctl.unary import at_port
from nlctl.wire import field, fields

_METHOD: Final = "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs"
_SECONDS: Final = 2.0


def missing(session: Session, target: Target, wanted: Sequence[Digest]) -> set[Digest]:
    """Those which the CAS lacks. Raises Error.

    A cluster of this machine is asked without the gRPC library, which is half of the command's processor time; what
    has no answer so is asked with it.
    """
    absent: set[Digest] = set()
    for function in Function:
        same = [one for one in wanted if one.function is function and one.size_bytes]
        if not same:
            continue
        hashes = _absent(target, same, function) if target.cluster is not None else None
        if hashes is None:
            return session.wait_for(_asked(target, wanted))
        absent.update(one for one in same if one.hash in hashes)
    return absent


def _absent(target: Target, digests: Sequence[Digest], function: Function) -> set[str] | None:
    # REAPI v2, FindMissingBlobsRequest: instance_name, blob_digests, digest_function.
    message = field(1, target.instance.encode())
    for one in digests:
        message += field(2, field(1, one.hash.encode()) + field(2, one.size_bytes))
        if len(message) >= MOST_SENT:
            return None
    host, _, port = target.cas.removeprefix("grpc://").rpartition(":")
    answer = at_port(host, int(port), _METHOD, message + field(3, function), _SECONDS)
    if answer is None:
        return None
    found = set()
    for number, value in fields(answer):
        if number == 2 and isinstance(value, bytes) and isinstance(name := dict(fields(value)).get(1), bytes):
            found.add(name.decode())
    return found


async def _asked(target: Target, wanted: Sequence[Digest]) -> set[Digest]:
    from nlctl.remote import client

    async with client(target) as remote:
        return await remote.missing(wanted)
