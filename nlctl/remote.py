"""The REAPI client of this invocation, opened on what the session chose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nlserver.reapi.client import Client
from nlserver.reapi.digest import Function

from nlctl.session import Target


@asynccontextmanager
async def client(target: Target, function: Function = Function.SHA256) -> AsyncIterator[Client]:
    """A client for this target, closed on leaving."""
    async with Client(
        cas=target.cas, executor=target.executor, instance_name=target.instance, function=function
    ) as made:
        yield made
