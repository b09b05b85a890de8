"""What a config object is: a Spec, decoded from one JSON5 object, that builds the thing it describes.

Laws: a Spec's fields are the JSON5 keys, its defaults are stated once, and inside the engine `0` never means
"default" (NativeLink's zeroes are translated while decoding, see `key`). The decoder in `nlserver.config` reads
the annotations below; nothing else does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, NoReturn, Protocol, Self, TypeVar

from nlserver.clock import Clock, SystemClock
from nlserver.errors import Code, Error

T = TypeVar("T")


class Grammar(StrEnum):
    """How a scalar is written, beyond plain JSON5 (reference: NativeLink's serde_utils)."""

    TEXT = "text"
    SIZE = "size"
    DURATION = "duration"
    SIGNED_DURATION = "signed duration"
    NUMBER = "number"
    FLAG = "flag"


Text = Annotated[str, Grammar.TEXT]
"""A string in which `$NAME`, `${NAME}` and `${NAME:-default}` are expanded. Plain `str` is taken literally."""
Size = Annotated[int, Grammar.SIZE]
"""Bytes: an integer or a text such as "10gb" (powers of 1000) or "10Gi" (powers of 1024)."""
Seconds = Annotated[int, Grammar.DURATION]
"""Whole seconds: an integer or a text such as "1h30m"; parts of a second are dropped."""
SignedSeconds = Annotated[int, Grammar.SIGNED_DURATION]
"""Seconds that may be a negative integer, which turns a timer off."""
Number = Annotated[int, Grammar.NUMBER]
"""A count: an integer or a text with a decimal integer; environment references are expanded."""
Flag = Annotated[bool, Grammar.FLAG]
"""true, false, or a text that says so after expansion."""

U32: Final = 2**32 - 1
U64: Final = 2**64 - 1


@dataclass(frozen=True)
class Key:
    """What a field says beyond its type: see `key`. `zero` is `dataclasses.MISSING` where 0 is nothing special."""

    zero: Any
    alias: str | None = None
    most: int = U64
    name: str | None = None
    beside: bool = False


def key(
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    zero: Any = dataclasses.MISSING,
    alias: str | None = None,
    most: int = U64,
    name: str | None = None,
    beside: bool = False,
) -> Any:
    """A field of a Spec.

    `zero` is what an explicit 0 in the file means; when no default is given it is the default too. `alias` is a
    second spelling that the file may use, `most` the largest integer, `name` the JSON5 key where it is not the
    field's name (a Python keyword). `beside` is for a union whose one key stands among the other keys of the object.
    """
    if default is dataclasses.MISSING and default_factory is dataclasses.MISSING:
        default = zero
    metadata = {"key": Key(zero=zero, alias=alias, most=most, name=name, beside=beside)}
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Spec:
    """One config object. Subclasses are `@dataclass(frozen=True, kw_only=True)`; docstrings are the user's reference.

    `ignores_unknown` is set where NativeLink silently ignores keys that it does not know; `buffered` where it decodes
    in two steps, which makes integers inside strict (no 2.9) and unions exact (no second key). `elsewhere` names
    the modules of types that a field's annotation mentions and that are imported only when a file has that key.

    A union (an object with exactly one key, the tag) is a Spec subclass that states `kinds=` with the package
    whose modules are named after the tags, or `kinds=""` when all its kinds stand in one module. A kind states
    `tag=`:

        class StoreSpec(Spec, kinds="nlserver.stores"): ...
        class MemorySpec(StoreSpec, tag="memory"): ...      # in nlserver/stores/memory.py

    A field whose type is a kind, not its union, takes this kind only. A kind with `chosen_by` comes in variants, its
    subclasses: each has a key of this name whose type is the one word that chooses it.
    """

    ignores_unknown: ClassVar[bool] = False
    buffered: ClassVar[bool] = False
    chosen_by: ClassVar[str] = ""
    elsewhere: ClassVar[Mapping[str, str]] = {}
    kinds: ClassVar[str | None] = None
    tags: ClassVar[dict[str, type[Spec]]] = {}
    tag: ClassVar[str] = ""

    def __init_subclass__(cls, *, kinds: str | None = None, tag: str | None = None) -> None:
        super().__init_subclass__()
        if kinds is not None:
            cls.kinds = kinds
            cls.tags = {}
        if tag is not None:
            cls.tag = tag
            cls.tags[tag] = cls

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """What is wrong with these values taken together, one sentence each; decoding reports them with the place."""
        return []


class Unavailable(Spec):
    """A kind that a config may use and that this version cannot start; `instead` says what to use today."""

    called: ClassVar[str] = ""
    instead: ClassVar[str] = ""

    def build(self, site: Site) -> NoReturn:
        """Raises Error UNIMPLEMENTED."""
        raise Error(Code.UNIMPLEMENTED, f"{self.called or self.tag} is not available yet", remedy=self.instead)


@dataclass(frozen=True)
class Place:
    """Where a value stands: the config path (`stores[0].compression.backend`) and the line and column in the file."""

    path: str
    line: int
    column: int
    file: str = ""


class Builds(Protocol):
    """What a Site can build by name: any named Spec."""

    def build(self, site: Site) -> Any:
        """Make the thing."""
        ...


class Site:
    """Where Specs build: it finds neighbours by name, and owns what they start and how it ends.

    `site.named("store", "CAS_MAIN")` builds on first use, so references may point forward; a cycle is an Error that
    names it. What is started with `spawn` runs until `close`, which ends tasks and then runs the `on_close`
    call-backs in reverse order.
    """

    def __init__(
        self,
        named: dict[str, dict[str, Builds]] | None = None,
        *,
        clock: Clock | None = None,
        default_function: str = "sha256",
        compresses: bool = False,
        spawn: Callable[[Coroutine[Any, Any, None], str], None] | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.default_function = default_function
        self.compresses = compresses
        """Whether blobs travel compressed where their config does not say."""
        self._specs = named or {}
        self._made: dict[tuple[str, str], Any] = {}
        self._making: list[tuple[str, str]] = []
        self._spawn = spawn
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def named(self, kind: str, name: str) -> Any:
        """The thing of this kind ("store", "scheduler") and name, built once.

        Raises Error FAILED_PRECONDITION when the config has no such name or the names form a cycle.
        """
        wanted = (kind, name)
        if wanted in self._made:
            return self._made[wanted]
        if wanted in self._making:
            cycle = " -> ".join(n for _, n in [*self._making[self._making.index(wanted) :], wanted])
            raise Error(Code.FAILED_PRECONDITION, f"{kind} {name!r} refers to itself: {cycle}")
        spec = self._specs.get(kind, {}).get(name)
        if spec is None:
            have = ", ".join(sorted(self._specs.get(kind, {}))) or "none"
            raise Error(
                Code.FAILED_PRECONDITION,
                f"{kind} {name!r} does not exist",
                remedy=f"name one of the {kind}s in this config: {have}",
            )
        self._making.append(wanted)
        try:
            made = self._made[wanted] = spec.build(self)
        finally:
            self._making.pop()
        return made

    def made(self, kind: str) -> dict[str, Any]:
        """What has been built so far of this kind, by name."""
        return {name: thing for (k, name), thing in self._made.items() if k == kind}

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Run a background task as long as this process lives; it is cancelled before the `on_close` call-backs run."""
        if self._spawn is None:
            coroutine.close()
            raise RuntimeError(f"this site runs no tasks, so {name} cannot start")
        self._spawn(coroutine, name)

    def on_close(self, call_back: Callable[[], Awaitable[None]]) -> None:
        """Run `call_back` when the process stops orderly; the last registered runs first."""
        self._closers.append(call_back)

    async def close(self) -> None:
        """Run the call-backs; each runs even when another fails. The first failure is raised at the end."""
        failure: Exception | None = None
        while self._closers:
            try:
                await self._closers.pop()()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
