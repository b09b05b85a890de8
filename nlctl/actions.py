"""Actions of a CAS: read with their commands, and remade with another demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlserver.reapi.digest import Digest

from nlctl.session import Target

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi.client import Client, Prepared


@dataclass(frozen=True)
class Known:
    """An action and its command. Both are taken as they stand, well-formed or not."""

    digest: Digest
    action: re_pb.Action
    command: re_pb.Command

    @property
    def inputs(self) -> Digest:
        """The digest of its input root."""
        from nlserver.reapi.digest import digest_of

        return digest_of(self.action.input_root_digest, self.digest.function)

    @property
    def platform(self) -> Sequence[tuple[str, str]]:
        """The properties that it asks of its worker."""
        from nlserver.reapi.action import platform_of

        return platform_of(self.action, self.command)

    def documents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The Action and the Command as JSON shows them."""
        from nlctl import decoded

        return decoded.action(self.action, self.digest.function), decoded.command(self.command)

    def remade(self, *, platform: Mapping[str, str] | None = None, do_not_cache: bool = False) -> Prepared:
        """The same, asking for more of its worker or keeping no result: another action with a digest of its own.

        Raises Error INVALID_ARGUMENT for one that no worker could run.
        """
        from nlserver.proto import remote_execution_pb2 as re_pb
        from nlserver.reapi.action import check_action, working_directory_of
        from nlserver.reapi.client import Prepared
        from nlserver.reapi.tree import blob_of

        made = re_pb.Action()
        made.CopyFrom(self.action)
        made.do_not_cache = made.do_not_cache or do_not_cache
        if platform:
            kept = [(name, value) for name, value in self.platform if name not in platform]
            del made.platform.properties[:]
            for name, value in sorted([*kept, *platform.items()]):
                made.platform.properties.add(name=name, value=value)
        check_action(made, self.digest.function)
        blob = blob_of(made, self.digest.function)
        sources = {} if blob.digest == self.digest else {blob.digest: blob.data}
        return Prepared(blob.digest, sources, working_directory_of(self.command), not made.do_not_cache)


async def read(remote: Client, digest: Digest) -> Known:
    """The action of this digest. Raises Missing for what the CAS lacks, Fault OTHER_KIND for another kind of blob."""
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi.digest import digest_of

    from nlctl.decoded import Form
    from nlctl.objects import message

    action = (await message(remote, digest, Form.ACTION)).message
    assert isinstance(action, re_pb.Action)
    command = (await message(remote, digest_of(action.command_digest, digest.function), Form.COMMAND)).message
    assert isinstance(command, re_pb.Command)
    return Known(digest, action, command)


async def platform(target: Target, action: Digest) -> Sequence[tuple[str, str]]:
    """The properties that an action asks of its worker. Raises as `read` does."""
    from nlctl.remote import client

    async with client(target, action.function) as remote:
        return (await read(remote, action)).platform
