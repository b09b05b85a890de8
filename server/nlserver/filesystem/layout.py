"""Where values stand: NativeLink's names below `content_path`, and what we keep beside them. Pure."""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from nlserver.reapi.digest import Digest
from nlserver.store import Key

DIGESTS: Final = "d"
STRINGS: Final = "s"
# Everything else in a free key is percent-encoded; such keys cannot leave the directory or be hidden in it.
_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "-_.~@+=,: !#$&'()[]{};^")
_LONGEST_NAME: Final = 240
_DIGEST_NAME: Final = re.compile(r"[0-9a-f]{64}-(0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class Layout:
    """The places of one store, as absolute paths."""

    content: str
    """`content_path`: values below `d` (digests) and `s` (free keys)."""
    twins: str
    """The directory of the read-only executable copies, named as the values below `d`."""

    @property
    def lock(self) -> str:
        """Who holds the flock of this file evicts. It stands inside, because containers share just this directory."""
        return f"{self.content}/.evictor"

    @property
    def counting(self) -> str:
        """Who holds the flock of this file counts what is there."""
        return f"{self.content}/.counting"

    @property
    def usage(self) -> str:
        """Holds the sums that all processes share."""
        return f"{self.content}/.usage"

    @property
    def journal(self) -> str:
        """What was evicted, when and why."""
        return f"{self.content}.journal"

    @property
    def directories(self) -> tuple[str, str]:
        """The two directories of values."""
        return f"{self.content}/{DIGESTS}", f"{self.content}/{STRINGS}"

    def directory(self, key: Key) -> str:
        """The directory that holds the file of this key."""
        return self.directories[0] if isinstance(key, Digest) else self.directories[1]

    def path(self, key: Key) -> str:
        """The file of this key."""
        return f"{self.content}/{file_name(key)}"

    def twin(self, digest: Digest) -> str:
        """The executable copy of this blob."""
        return f"{self.twins}/{digest.hash}-{digest.size_bytes}"


def file_name(key: Key) -> str:
    """The path of a key's file relative to `content_path`."""
    if isinstance(key, Digest):
        return f"{DIGESTS}/{key.hash}-{key.size_bytes}"
    return f"{STRINGS}/{_encoded(key)}"


def key_text(name: str) -> str:
    """The key, as text, of a file named relative to `content_path`."""
    directory, _, last = name.partition("/")
    return last if directory == DIGESTS else unquote(last, errors="surrogateescape")


def is_value(directory: str, name: str) -> bool:
    """Whether a file of this name below `d` or `s` can be a value of ours."""
    return directory == STRINGS or _DIGEST_NAME.fullmatch(name) is not None


def _encoded(key: str) -> str:
    if key and _PLAIN.issuperset(key) and not key.startswith(".") and len(key) <= _LONGEST_NAME:
        return key
    text = quote(key, safe="".join(_PLAIN - {"."}), errors="surrogateescape").replace(".", "%2E", 1)
    if not text or len(text) > _LONGEST_NAME:
        # "%s" starts no percent-encoding, so no other key has this name.
        return f"%sha256-{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()}"
    return text
