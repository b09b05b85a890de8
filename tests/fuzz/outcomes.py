"""What a reader makes of what it is given: a value, or the one kind of refusal that it promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from nlserver.errors import Code, Error

P = ParamSpec("P")
T = TypeVar("T")
LONGEST = 4000


def taken(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """The value, or None where it is refused as INVALID_ARGUMENT in words that fit on a wire."""
    return taken_or(Code.INVALID_ARGUMENT, read, *args, **kwargs)


def taken_or(code: Code, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """As `taken`, with another code."""
    try:
        return read(*args, **kwargs)
    except Error as error:
        refusal = error
    assert refusal.code is code
    assert 0 < len(str(refusal).encode()) < LONGEST
    return None
