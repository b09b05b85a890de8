"""The file through which an action's entrypoint tells the worker what an exit code cannot say."""

from __future__ import annotations

import os
from typing import Final

from nlserver.errors import Code, Error
from nlserver.worker import beneath

# The parser takes its time.
_MOST_BYTES: Final = 4 << 10


def says_timed_out(path: str) -> bool:
    """Whether the file holds JSON5 `{failure: "timeout"}`. Absent and empty files say nothing. Blocks.

    Raises Error INTERNAL for anything else in it.
    """
    try:
        fd = os.open(path, beneath.FILE)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(error) from error
    try:
        text = os.read(fd, _MOST_BYTES)
    except OSError as error:
        raise _unreadable(error) from error
    finally:
        os.close(fd)
    return bool(text.strip()) and _failure(text) == "timeout"


def _unreadable(error: OSError) -> Error:
    return Error(Code.INTERNAL, f"the side channel file cannot be read: {error.strerror}")


def _failure(text: bytes) -> str | None:
    import json5

    try:
        said = json5.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise Error(Code.INTERNAL, f"the side channel file is not JSON5: {error}") from error
    failure = said.get("failure") if isinstance(said, dict) else said
    if isinstance(said, dict) and failure in (None, "timeout"):
        return failure
    raise Error(Code.INTERNAL, 'the side channel file holds neither {} nor {failure: "timeout"}')
