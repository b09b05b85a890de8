"""Actions of a CAS, read by their digests."""

from __future__ import annotations

from nlserver.reapi.digest import Digest

from nlctl.session import Target


async def platform(target: Target, action: Digest) -> list[tuple[str, str]]:
    """The properties that an action asks of its worker. Raises Error, NOT_FOUND where the CAS lacks it."""
    from nlserver.reapi.action import action_of, command_of, platform_of
    from nlserver.reapi.digest import digest_of

    from nlctl.remote import client

    async with client(target, action.function) as remote:
        found = action_of(await remote.read(action), action.function)
        command = command_of(await remote.read(digest_of(found.command_digest, action.function)))
    return list(platform_of(found, command))
