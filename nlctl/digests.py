"""Digests in any text that people have at hand: a hash, a resource name, a pasted error. Pure.

Whoever asks for a DIGEST takes all of these, because they are what logs and error messages show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from nlserver.reapi.digest import LARGEST_SIZE, Function

from nlctl.faults import BAD_DIGEST, Fault, fix

_HEX: Final = "[0-9a-fA-F]"
_HASH: Final = re.compile(rf"(?<!{_HEX})({_HEX}{{64}})(?!{_HEX})")
_SIZE_AFTER: Final = re.compile(r"[-/:](\d{1,19})(?![0-9a-fA-F]*[a-fA-F])")
_QUOTE: Final = r"""(?:\\?["'])?"""
"""A text in a log in a log has a backslash before each quote."""
_SIZE_NAME: Final = r"size(?:_?bytes)?_?"
_NAMED_SIZE_AFTER: Final = re.compile(
    rf"{_QUOTE}\s*[,;]?\s*{_QUOTE}{_SIZE_NAME}{_QUOTE}\s*[:=]?\s*{_QUOTE}(\d{{1,19}})", re.IGNORECASE
)
_NAMED_SIZE_BEFORE: Final = re.compile(
    rf"{_SIZE_NAME}{_QUOTE}\s*[:=]?\s*{_QUOTE}(\d{{1,19}}){_QUOTE}\s*[,;]?\s*{_QUOTE}hash_?{_QUOTE}\s*[:=]?\s*{_QUOTE}$",
    re.IGNORECASE,
)
_FUNCTION_BEFORE: Final = re.compile(r"(sha256|blake3)[/:]$", re.IGNORECASE)
_RESOURCE_BEFORE: Final = re.compile(
    r"(?P<prefix>[^\s\"'`(<\[]*?)(?:uploads/[0-9a-fA-F-]{36}/)?"
    r"(?:compressed-blobs/[a-z0-9]+|blobs)/(?:(?:sha256|blake3)/)?$"
)
_SCHEME: Final = re.compile(r"[a-z0-9+]+://[^/\s]*/?")
_PREFIX: Final = re.compile(rf"{_HEX}{{8,63}}")
_SHORTENED: Final = re.compile(rf"({_HEX}{{8,63}})(?:…|\.\.\.)({_HEX}{{0,63}})(?:[-/:]([0-9]{{1,19}}))?")
_WRAPPED: Final = re.compile(r"\s*\n\s*")
_SHA1_DIGITS: Final = 40
_TEMPORARY: Final = re.compile(rf"({_HEX}{{48}}){_HEX}{{2,6}}0{{10,14}}")
"""NativeLink names a file that is being written by the hash with a counter in place of its last 16 digits."""
_TEMP_FILE: Final = re.compile(r"\bte?mp", re.IGNORECASE)
_OF_ACTION: Final = re.compile(r"\baction(?:_digest)?\W{1,3}(?:hash\W{1,4})?$", re.IGNORECASE)
_LOOK_BACK: Final = 400


@dataclass(frozen=True)
class Found:
    """A digest in a text; None for what the text does not tell."""

    hash: str
    size_bytes: int | None = None
    function: Function | None = None
    instance: str | None = None


@dataclass(frozen=True)
class Prefix:
    """The first digits of a hash, at least 8; its last ones and the size where a shortened digest tells them."""

    digits: str
    last: str = ""
    size_bytes: int | None = None

    def fits(self, hash_text: str, size_bytes: int) -> bool:
        """Whether this digest may be meant."""
        ends = hash_text.startswith(self.digits) and hash_text.endswith(self.last)
        return ends and self.size_bytes in (None, size_bytes)


def find(text: str) -> list[Found]:
    """Every digest in a text, in order, each once. A terminal may have wrapped the text, even inside a hash."""
    found = list(_merged(_scan(text))) or list(_merged(_scan(_WRAPPED.sub("", text))))
    return [one for one in found if not _is_rest_of_another(one, found)]


def _is_rest_of_another(one: Found, found: list[Found]) -> bool:
    rest = _TEMPORARY.fullmatch(one.hash)
    return rest is not None and any(
        other.hash != one.hash and other.hash.startswith(rest[1].lower()) for other in found
    )


def is_action(text: str, found: Found) -> bool:
    """Whether a text speaks of a digest only as of an action, as where it says which action needed a blob."""
    places = [match.start() for match in re.finditer(found.hash, text, re.IGNORECASE)]
    return bool(places) and all(_OF_ACTION.search(text[max(0, place - 40) : place]) for place in places)


def parse(text: str) -> list[Found] | Prefix:
    """What a DIGEST argument names: the digests in it, or the ends of a hash. Raises Fault BAD_DIGEST."""
    if found := find(text):
        # What is left of a hash whose last digits a temporary name has lost.
        rest = _TEMPORARY.fullmatch(found[0].hash) if _TEMP_FILE.search(text) else None
        return Prefix(rest[1], "", found[0].size_bytes) if rest else found
    word = text.strip().lower()
    if len(word) == _SHA1_DIGITS and _PREFIX.fullmatch(word):
        raise _bad(text, "40 hex digits are a SHA-1, as Git uses; the CAS names blobs by SHA256 or BLAKE3")
    if _PREFIX.fullmatch(word):
        return Prefix(word)
    if match := _SHORTENED.fullmatch(word):
        return Prefix(match[1], match[2], int(match[3]) if match[3] else None)
    raise _bad(text, _reason(word))


def _scan(text: str) -> Iterator[Found]:
    for match in _HASH.finditer(text):
        before = text[max(0, match.start() - _LOOK_BACK) : match.start()]
        after = text[match.end() : match.end() + 80]
        size = _size(before, after)
        if size is not None and size > LARGEST_SIZE:
            continue
        yield Found(match[1].lower(), size, _function(before), _instance(before))


def _size(before: str, after: str) -> int | None:
    for match in (_SIZE_AFTER.match(after), _NAMED_SIZE_AFTER.match(after), _NAMED_SIZE_BEFORE.search(before)):
        if match is not None:
            return int(match[1])
    return None


def _function(before: str) -> Function | None:
    match = _FUNCTION_BEFORE.search(before)
    return Function[match[1].upper()] if match else None


def _instance(before: str) -> str | None:
    # A resource name has no blanks in it, and looking for one in all that stands before takes a hundred times as long.
    words = before.split()
    match = _RESOURCE_BEFORE.search(words[-1]) if words and before[-1] not in " \t" else None
    if match is None:
        return None
    return _SCHEME.sub("", match["prefix"]).strip("/")


def _merged(found: Iterator[Found]) -> Iterator[Found]:
    """Each hash and size once; a hash without a size adds nothing where the size is known."""
    known: dict[tuple[str, int | None], Found] = {}
    for one in found:
        key = (one.hash, one.size_bytes)
        before = known.get(key)
        if before is None:
            known[key] = one
        else:
            function, instance = before.function or one.function, before.instance or one.instance
            known[key] = replace(before, function=function, instance=instance)
    sized = {hash_text for hash_text, size in known if size is not None}
    return (one for (hash_text, size), one in known.items() if size is not None or hash_text not in sized)


def _reason(word: str) -> str:
    if _HASH.search(word):
        return "the size behind the hash is larger than any blob can be"
    digits = max((len(run) for run in re.findall(f"{_HEX}+", word)), default=0)
    if digits > 64:
        return f"it has {digits} hex digits in a row; a hash has 64"
    if digits >= 8:
        return f"its longest run of hex digits has {digits}; a whole hash has 64"
    return "there is no hash in it"


def _bad(text: str, why: str) -> Fault:
    return Fault(
        BAD_DIGEST,
        f"no digest in {text[:80]!r}",
        why=why,
        fixes=[fix("give HASH/SIZE, a resource name, the first 8 digits of a hash, or paste an error message")],
    )
