"""Which value a bounded store forgets next. Pure: callers tell the time and what they hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from nlserver.spec import U32, Number, Seconds, Size, Spec, key

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class EvictionPolicy(Spec):
    """How much a store keeps; past a limit it forgets what was least recently used. A limit of 0 is off."""

    max_bytes: Size = 0
    """Evict while the values held together are this large or larger."""
    evict_bytes: Size = 0
    """Once any limit is passed, go on until only `max_bytes - evict_bytes` are held, so that passes are rarer.
    At `max_bytes` or more, a pass evicts nothing for its size (NativeLink behaviour)."""
    max_seconds: Seconds = key(default=0, most=U32)
    """Evict what nobody asked for during this many seconds."""
    max_count: Number = 0
    """Evict while more values than this are held."""

    @property
    def bounded(self) -> bool:
        """Whether any limit is on."""
        return bool(self.max_bytes or self.max_seconds or self.max_count)

    def expired(self, used: float, now: float) -> bool:
        """Whether a value last used at `used` is past `max_seconds`."""
        return self.max_seconds != 0 and used < now - self.max_seconds

    def refuses(self, size: int) -> bool:
        """Whether a value of `size` counted bytes can never be held: it would be evicted as soon as it came."""
        return self.max_bytes != 0 and size >= self.max_bytes


UNBOUNDED = EvictionPolicy()


class Limit(StrEnum):
    """Why a value was evicted: the key of the policy, or the file system that had no space left."""

    BYTES = "max_bytes"
    SECONDS = "max_seconds"
    COUNT = "max_count"
    DISK = "disk_full"


@dataclass(frozen=True, slots=True)
class Held:
    """What a store holds: how many values, and the bytes that they count for."""

    count: int
    size: int

    def plus(self, size: int) -> Held:
        """With one more value."""
        return Held(self.count + 1, self.size + size)

    def minus(self, size: int) -> Held:
        """With one value less."""
        return Held(self.count - 1, self.size - size)


@dataclass(frozen=True)
class Victim(Generic[K]):
    """A value that goes: the bytes it counted for, the seconds since it was used, and the limit that it fell to."""

    key: K
    size: int
    age: float
    limit: Limit


@dataclass(frozen=True)
class Eviction:
    """What is recorded of one: seconds since 1970, the key's text, the bytes it counted for, why, and seconds since
    its last use.
    """

    when: float
    key: str
    size: int
    limit: Limit
    age: float


class Pass:
    """One eviction pass. Asked about the least recent value again and again, until it finds no limit broken.

    The first verdict sets the pass's byte limit: when both `max_bytes` and `evict_bytes` are on and any limit is
    broken, it is the low watermark; a watermark of 0 or less means no limit of size (NativeLink behaviour).
    """

    def __init__(self, policy: EvictionPolicy) -> None:
        self._policy = policy
        self._max_bytes = policy.max_bytes
        self._begun = False

    def verdict(self, used: float, held: Held, now: float) -> Limit | None:
        """The limit that makes the least recent value go, or None when the pass is over."""
        limit = self._broken(used, held, now)
        if self._begun or limit is None:
            return limit
        self._begun = True
        if self._policy.max_bytes and self._policy.evict_bytes:
            self._max_bytes = max(0, self._policy.max_bytes - self._policy.evict_bytes)
            limit = self._broken(used, held, now)
        return limit

    def _broken(self, used: float, held: Held, now: float) -> Limit | None:
        if self._max_bytes and held.size >= self._max_bytes:
            return Limit.BYTES
        if self._policy.expired(used, now):
            return Limit.SECONDS
        if self._policy.max_count and held.count > self._policy.max_count:
            return Limit.COUNT
        return None


class _Entry(NamedTuple):
    size: int
    used: float


class LeastRecent(Generic[K]):
    """Keys in the order of their last use, with the bytes that each counts for."""

    def __init__(self, policy: EvictionPolicy) -> None:
        self._policy = policy
        self._entries: OrderedDict[K, _Entry] = OrderedDict()
        self._size = 0

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        """Keys, the least recent first."""
        return iter(self._entries)

    def entries(self) -> Iterator[tuple[K, int, float]]:
        """Keys with what they count for and when they were used, the least recent first."""
        return ((key, entry.size, entry.used) for key, entry in self._entries.items())

    @property
    def held(self) -> Held:
        """What is held now."""
        return Held(len(self._entries), self._size)

    def put(self, key: K, size: int, now: float) -> None:
        """Hold `key`, as the most recent; an older entry of this key is replaced."""
        self.remove(key)
        self._entries[key] = _Entry(size, now)
        self._size += size

    def use(self, key: K, now: float) -> bool:
        """Note a use: `key` becomes the most recent. False when it is not held or, past its age, dropped now."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        if self._policy.expired(entry.used, now):
            self.remove(key)
            return False
        self._entries[key] = entry._replace(used=now)
        self._entries.move_to_end(key)
        return True

    def remove(self, key: K) -> bool:
        """Hold `key` no more; False when it was not held."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._size -= entry.size
        return True

    def evict(self, now: float) -> list[Victim[K]]:
        """Drop what the policy wants gone, and name it, the least recent first."""
        eviction = Pass(self._policy)
        victims: list[Victim[K]] = []
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            limit = eviction.verdict(entry.used, self.held, now)
            if limit is None:
                break
            self.remove(key)
            victims.append(Victim(key, entry.size, now - entry.used, limit))
        return victims
