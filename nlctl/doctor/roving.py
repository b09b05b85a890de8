"""Going to every endpoint layer by layer, and to a call at the end, whose connection stays from round to round."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from nlserver.errors import Code, Error

from nlctl.contexts import Access
from nlctl.doctor.checks.network import walk
from nlctl.doctor.patience import within
from nlctl.doctor.rounds import Leg
from nlctl.session import Target

if TYPE_CHECKING:
    from nlserver.reapi.client import Client

_CALL: Final = "RPC"
_CALL_SECONDS: Final = 3.0
_NO_ANSWER: Final = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED)


def endpoints(target: Target) -> dict[str, str]:
    """What there is to go to, by role; one server that is both is gone to once."""
    found = {"CAS": target.cas, "execution": target.executor}
    if target.admin and "://" in str(target.admin):
        found["worker API"] = str(target.admin)
    return {role: url for role, url in found.items() if list(found.values()).index(url) == list(found).index(role)}


async def rounds(
    urls: Mapping[str, str], access: Access, every: float, count: int
) -> AsyncIterator[tuple[float, Mapping[str, Sequence[Leg]]]]:
    """So many rounds, 0 for no end: when it began, and the legs of each way by its role.

    The idle connection of the calls is what a long build has, too: where it is cut, the call tells.
    """
    async with AsyncExitStack() as stack:
        clients = {role: await stack.enter_async_context(_client(url, access)) for role, url in urls.items()}
        number = 0
        while not count or number < count:
            number += 1
            begin, wall = time.monotonic(), time.time()
            found = await asyncio.gather(*(_go(role, urls[role], access, clients[role]) for role in urls))
            yield wall, dict(zip(urls, found, strict=True))
            if number != count:
                await asyncio.sleep(max(0.0, every - (time.monotonic() - begin)))


def _client(url: str, access: Access) -> Client:
    from nlserver.reapi.client import Client

    from nlctl.remote import endpoint

    token = access.token()
    headers = (("authorization", f"Bearer {token}"),) if token else ()
    return Client(cas=endpoint(url, access), timeout_seconds=_CALL_SECONDS, headers=headers)


async def _go(role: str, url: str, access: Access, client: Client) -> Sequence[Leg]:
    way = await walk(role, url, access)
    legs = [Leg(*step) for step in way.steps]
    return legs if way.broken else [*legs, await _called(client)]


async def _called(client: Client) -> Leg:
    """Whether a call is answered; that it is not known there is an answer, too."""
    begin = time.monotonic()
    trouble = ""
    try:
        async with within(_CALL_SECONDS):
            await client.capabilities()
    except TimeoutError:
        trouble = f"no answer within {_CALL_SECONDS:g}s"
    except Error as error:
        trouble = f"{error.code.name}: {error.message}" if error.code in _NO_ANSWER else ""
    return Leg(_CALL, (time.monotonic() - begin) * 1000, trouble)
