"""Messages on their way to a client that may take nothing."""

from __future__ import annotations

import asyncio
from typing import Final

from nlserver.errors import Code, Error
from nlserver.service import Context

IDLE_SECONDS: Final = 120.0
"""A client that sends nothing, or takes nothing, for so long is gone."""


async def send(context: Context, message: bytes, idle_seconds: float = IDLE_SECONDS) -> None:
    """Return when gRPC has room for the next message. Raises Error DEADLINE_EXCEEDED when the client takes nothing."""
    try:
        async with asyncio.timeout(idle_seconds):
            await context.write(message)
    except TimeoutError:
        raise Error(Code.DEADLINE_EXCEEDED, f"the client took nothing for {idle_seconds:g} seconds") from None
