"""ByteStream resource names of blobs (REAPI v2, ContentAddressableStorage). Pure, linear in the length of a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from nlserver.errors import Error, invalid
from nlserver.reapi.digest import Digest, Function, digest_of, parse_size

T = TypeVar("T")

LONGEST_NAME: Final = 4096
"""Characters of a resource name; longer ones are refused unread."""
RESERVED: Final = frozenset(
    ("blobs", "uploads", "actions", "actionResults", "operations", "capabilities", "compressed-blobs")
)
"""What no segment of an instance name may be (REAPI v2, instance_name)."""

_BLOBS: Final = "blobs"
_COMPRESSED: Final = "compressed-blobs"
_UPLOADS: Final = "uploads"
_READ_FORM: Final = "{instance_name}/blobs/{digest_function/}{hash}/{size}"
_WRITE_FORM: Final = "{instance_name}/uploads/{uuid}/blobs/{digest_function/}{hash}/{size}{/optional_metadata}"
_FUNCTIONS: Final = {function.name.lower(): function for function in Function}
_OTHER_FUNCTIONS: Final = frozenset(("md5", "murmur3", "sha1", "sha384", "sha512", "vso", "sha256tree", "gitsha1"))
_UNSAFE: Final = frozenset([*map(chr, range(0x20)), "\x7f", "\\"])


class Compressor(StrEnum):
    """How the bytes of a stream are packed, as resource names spell it (REAPI v2, Compressor)."""

    IDENTITY = "identity"
    ZSTD = "zstd"
    DEFLATE = "deflate"
    BROTLI = "brotli"


_COMPRESSORS: Final = tuple(compressor for compressor in Compressor if compressor is not Compressor.IDENTITY)


@dataclass(frozen=True, slots=True)
class ReadName:
    """What a client wants to read."""

    instance_name: str
    digest: Digest
    compressor: Compressor


@dataclass(frozen=True, slots=True)
class WriteName:
    """What a client wants to upload; `upload_id` tells its attempts from those of others."""

    instance_name: str
    upload_id: str
    digest: Digest
    compressor: Compressor


@dataclass(frozen=True, slots=True)
class _Blob:
    """The part of a name from `blobs` on; `rest` are the segments after the size."""

    digest: Digest
    compressor: Compressor
    rest: Sequence[str]


def parse_read(resource: str, default: Function = Function.SHA256) -> ReadName:
    """The blob that a ReadRequest names; `default` is the function when the name states none.

    One segment after the size is tolerated (NativeLink behaviour), and so is a leading slash before the empty
    instance name. Raises Error INVALID_ARGUMENT.
    """
    return _parse(resource, lambda segments, at: _read(segments, at, default), _READ_FORM)


def parse_write(resource: str, default: Function = Function.SHA256) -> WriteName:
    """The upload that a WriteRequest or QueryWriteStatusRequest names; whatever follows the size is ignored.

    Raises Error INVALID_ARGUMENT.
    """
    return _parse(resource, lambda segments, at: _write(segments, at, default), _WRITE_FORM)


def read_name(
    instance_name: str,
    digest: Digest,
    compressor: Compressor = Compressor.IDENTITY,
    *,
    states_function: bool | None = None,
) -> str:
    """The name to read a blob by.

    The function is stated where a server cannot infer it; `states_function` states it always or never.
    """
    return _joined(instance_name, _blob_name(digest, compressor, states_function))


def write_name(
    instance_name: str,
    upload_id: str,
    digest: Digest,
    compressor: Compressor = Compressor.IDENTITY,
    *,
    states_function: bool | None = None,
) -> str:
    """The name to upload a blob by; see `read_name`."""
    return _joined(instance_name, f"{_UPLOADS}/{upload_id}/{_blob_name(digest, compressor, states_function)}")


def _joined(instance_name: str, rest: str) -> str:
    return f"{instance_name}/{rest}" if instance_name else rest


def _blob_name(digest: Digest, compressor: Compressor, states_function: bool | None) -> str:
    kind = _BLOBS if compressor is Compressor.IDENTITY else f"{_COMPRESSED}/{compressor}"
    states = digest.function is not Function.SHA256 if states_function is None else states_function
    function = f"{digest.function.name.lower()}/" if states else ""
    return f"{kind}/{function}{digest.written}"


def _parse(resource: str, match: Callable[[Sequence[str], int], T], form: str) -> T:
    """The first match from the right, since an instance name may have any number of segments."""
    if len(resource) > LONGEST_NAME:
        raise invalid(f"a resource name of {len(resource)} characters is too long: {LONGEST_NAME} are the most")
    segments = resource.split("/")
    problem: Error | None = None
    for at in reversed(range(len(segments))):
        if segments[at] in (_BLOBS, _COMPRESSED):
            try:
                return match(segments, at)
            except Error as error:
                problem = problem or error
    reason = f": {problem.message}" if problem else ""
    raise invalid(f"resource name {resource[:200]!r} does not have the form {form}{reason}")


def _read(segments: Sequence[str], at: int, default: Function) -> ReadName:
    blob = _blob(segments, at, default)
    if len(blob.rest) > 1 or blob.rest == [""]:
        raise invalid("nothing may follow the size")
    return ReadName(_instance(segments[:at]), blob.digest, blob.compressor)


def _write(segments: Sequence[str], at: int, default: Function) -> WriteName:
    if at < 2 or segments[at - 2] != _UPLOADS or not segments[at - 1]:
        raise invalid(f"an upload begins with {_UPLOADS}/ and its own id")
    blob = _blob(segments, at, default)
    return WriteName(_instance(segments[: at - 2]), segments[at - 1], blob.digest, blob.compressor)


def _blob(segments: Sequence[str], at: int, default: Function) -> _Blob:
    """`blobs/{function/}{hash}/{size}` or `compressed-blobs/{compressor}/{function/}{hash}/{size}` from `at` on."""
    compressor = Compressor.IDENTITY
    after = at + 1
    if segments[at] == _COMPRESSED:
        compressor = _compressor(segments[after] if after < len(segments) else "")
        after += 1
    function = default
    if after < len(segments) and segments[after] in _FUNCTIONS:
        function = _FUNCTIONS[segments[after]]
        after += 1
    if after + 2 > len(segments):
        raise invalid("the hash or the size is absent")
    hash_, size = segments[after], segments[after + 1]
    if hash_ in _OTHER_FUNCTIONS:
        raise invalid(f"digest function {hash_} is not served here; served are {', '.join(_FUNCTIONS)}")
    digest = digest_of(Digest(hash_, parse_size(size)), function)
    return _Blob(digest, compressor, segments[after + 2 :])


def _compressor(text: str) -> Compressor:
    """The compressor of these names, of which `identity` is none (REAPI v2, ByteStream)."""
    if text not in _COMPRESSORS:
        raise invalid(f"compressor {text[:40]!r} is unknown; known are {', '.join(_COMPRESSORS)}")
    return Compressor(text)


def _instance(segments: Sequence[str]) -> str:
    """The instance name of these segments. Raises Error INVALID_ARGUMENT for what no instance may be called."""
    if segments == [""]:
        return ""
    for segment in segments:
        if segment in RESERVED or segment in ("", ".", "..") or not _UNSAFE.isdisjoint(segment):
            raise invalid(f"{segment[:40]!r} cannot be a segment of an instance name")
    return "/".join(segments)
