"""From a DIGEST argument to digests: what its text leaves open is looked up in this cluster's store and in recents."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from nlserver.reapi.digest import EMPTY, Digest, Function, hasher

from nlctl.digests import Found, Prefix, is_action, parse
from nlctl.faults import AMBIGUOUS, BAD_DIGEST, BLOB_MISSING, SIZE_UNKNOWN, UNREADABLE, USAGE, Fault, fix
from nlctl.recents import latest
from nlctl.session import Session

_RECENT: Final = re.compile(r"@(last|[1-9][0-9]{0,2})(?:\.(.+))?")
_NAME: Final = re.compile(r"([0-9a-f]{64})-([0-9]{1,19})")
_LONGEST_INPUT: Final = 16 << 20
_CHUNK: Final = 1 << 20
_SHOWN: Final = 8
_SEVERAL: Final = 2


def digests(session: Session, words: Sequence[str], function: Function) -> list[Digest]:
    """The digests that these arguments name, in order, each once; `function` where the text states none.

    An argument is any text with digests in it, the first digits of a hash, `@last` or `@last.stdout`, `file:PATH`, or
    `-` for standard input. Raises Fault.
    """
    found: dict[Digest, None] = {}
    for word in words:
        found.update(dict.fromkeys(_one(session, word, function)))
    return list(found)


def single(session: Session, word: str, function: Function) -> Digest:
    """The one digest that this argument names. Raises Fault when there are several."""
    found = digests(session, [word], function)
    if len(found) > 1:
        raise Fault(
            AMBIGUOUS,
            f"there are {len(found)} digests in this text, and one is needed",
            why=", ".join(one.written for one in found[:_SHOWN]),
            fixes=[fix("give one of them")],
        )
    return found[0]


def blamed(session: Session, word: str, function: Function) -> list[Digest]:
    """The blobs that a pasted error may be about, the likeliest first: an action that needed one comes behind it.

    Raises Fault where there is none, or none whose size is known.
    """
    text = _input() if word == "-" else word
    parsed = [] if text.startswith(("file:", "@")) else parse(text)
    if isinstance(parsed, Prefix) or len(parsed) < _SEVERAL:
        return _one(session, text, function)
    likely = sorted(parsed, key=lambda one: is_action(text, one))
    found: dict[Digest, None] = {}
    for one in likely:
        with suppress(Fault):
            found[_sized(session, one, function)] = None
    return list(found) or [_sized(session, likely[0], function)]


def _one(session: Session, word: str, function: Function) -> list[Digest]:
    if word == "-":
        return _one_text(session, _input(), function)
    if word.startswith("file:"):
        return [of_file(Path(word.removeprefix("file:")), function)]
    if word.startswith("@"):
        return [_recent(session, word)]
    try:
        return _one_text(session, word, function)
    except Fault as fault:
        if fault.kind is BAD_DIGEST and os.path.exists(word):
            own = fix(f"the digest of this file: write file:{word}")
            raise Fault(BAD_DIGEST, fault.message, why=fault.why, fixes=[own, *fault.fixes]) from fault
        raise


def _one_text(session: Session, text: str, function: Function) -> list[Digest]:
    parsed = parse(text)
    if isinstance(parsed, Prefix):
        matching = _matching(session, parsed.digits, function)
        return [_chosen(parsed.digits, [one for one in matching if parsed.fits(one.hash, one.size_bytes)])]
    return [_sized(session, one, function) for one in parsed]


def _sized(session: Session, found: Found, function: Function) -> Digest:
    function = found.function or function
    if found.size_bytes is not None:
        return Digest(found.hash, found.size_bytes, function)
    for empty in EMPTY.values():
        if empty.hash == found.hash:
            return empty
    matching = _matching(session, found.hash, function)
    if not matching:
        raise Fault(
            SIZE_UNKNOWN,
            f"the size of {found.hash} is not known",
            why="a digest is a hash and a size; neither this cluster's store nor your recent commands have this hash",
            fixes=[fix("give HASH/SIZE")],
        )
    return _chosen(found.hash, matching)


def _matching(session: Session, digits: str, function: Function) -> list[Digest]:
    recent = [one for event in latest(session.state) for one in event.values() if one.hash.startswith(digits)]
    return list(dict.fromkeys([*recent, *_stored(session, digits, function)]))


def _stored(session: Session, digits: str, function: Function) -> Iterable[Digest]:
    """Blobs of the local cluster's CAS: the names of its files."""
    if not session.is_here:
        return
    folder = session.ledger().data / "cas" / "content" / "d"
    with suppress(FileNotFoundError), os.scandir(folder) as names:
        for entry in names:
            if entry.name.startswith(digits) and (match := _NAME.fullmatch(entry.name)):
                yield Digest(match[1], int(match[2]), function)


def _chosen(digits: str, matching: Sequence[Digest]) -> Digest:
    if not matching:
        raise Fault(
            BLOB_MISSING,
            f"no blob is known whose hash begins with {digits}",
            why="first digits are looked up in this cluster's store and in your recent commands",
            fixes=[fix("give HASH/SIZE")],
        )
    if len({one.hash for one in matching}) > 1 or len({one.size_bytes for one in matching}) > 1:
        raise Fault(
            AMBIGUOUS,
            f"{digits} is the beginning of {len(matching)} digests",
            why=", ".join(f"{one.hash[:16]}…/{one.size_bytes}" for one in matching[:_SHOWN]),
            fixes=[fix("give more digits")],
        )
    return matching[0]


def _recent(session: Session, word: str) -> Digest:
    match = _RECENT.fullmatch(word)
    if match is None:
        raise Fault(BAD_DIGEST, f"{word!r} names nothing", fixes=[fix("write @last, @2 or @last.stdout")])
    number = 1 if match[1] == "last" else int(match[1])
    events = latest(session.state)
    if number > len(events):
        raise Fault(BLOB_MISSING, f"there is no {word}", why=f"{len(events)} recent commands are known", fixes=[_RUN])
    event = events[number - 1]
    role = match[2] or next(iter(event))
    if role not in event:
        raise Fault(BLOB_MISSING, f"there is no {word}", why=f"that one has {', '.join(event)}", fixes=[_RUN])
    return event[role]


_RUN: Final = fix("run something first", "nlctl", "run", "--", "true")


def _input() -> str:
    data = sys.stdin.buffer.read(_LONGEST_INPUT + 1)
    if len(data) > _LONGEST_INPUT:
        raise Fault(USAGE, "standard input is too long to look for digests", fixes=[fix("give at most 16 MiB")])
    return data.decode(errors="replace")


def of_file(path: Path, function: Function) -> Digest:
    """The digest of a file's content. Raises Fault UNREADABLE."""
    made, size = hasher(function), 0
    try:
        # One buffer: new memory for each chunk would cost a tenth of the hashing.
        buffer = memoryview(bytearray(_CHUNK))
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                made.update(buffer[:count])
                size += count
    except OSError as error:
        raise unreadable(path, error) from error
    return Digest(made.hexdigest(), size, function)


def unreadable(path: Path, error: OSError) -> Fault:
    """A file of the user that cannot be read."""
    return Fault(UNREADABLE, f"{path} cannot be read", why=error.strerror or str(error), fixes=[fix("check the path")])
