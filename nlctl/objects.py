"""Objects of a CAS that lead to others: read, told apart, and followed to everything that they name.

What is missing on the way is part of the answer, never an error. Directories are fetched level by level, many in one
call, and held; the content of files never is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.client import Client
from nlserver.reapi.digest import Digest, Function, digest_of, is_empty
from nlserver.reapi.tree import Tree, directory_of, tree_of

from nlctl.decoded import TITLES, Decoded, Form, decode, guessed
from nlctl.faults import OTHER_KIND, TOO_LARGE, Fault, fix
from nlctl.trees import Loaded, leaves_first, nodes, totals

MOST_MESSAGE_BYTES: Final = 64 << 20
"""The largest blob that is read as a message when it is asked for as one."""
MOST_GUESSED_BYTES: Final = 8 << 20
"""The largest blob that is looked into to tell what it is."""
_TREES: Final = (Form.DIRECTORY, Form.TREE, Form.ACTION)


async def looked_at(remote: Client, digest: Digest) -> Decoded | None:
    """What this blob is, when it is a message; None for text and bytes. Raises Missing."""
    if digest.size_bytes > MOST_GUESSED_BYTES or is_empty(digest):
        return None
    data = await remote.read(digest)
    form = guessed(data, digest.function)
    return None if form in (Form.TEXT, Form.RAW) else decode(form, data, digest.function)


async def message(remote: Client, digest: Digest, form: Form) -> Decoded:
    """The blob as this form of message. Raises Missing, Fault OTHER_KIND, Fault TOO_LARGE."""
    if digest.size_bytes > MOST_MESSAGE_BYTES:
        raise too_large(digest)
    return decode(form, await remote.read(digest), digest.function)


def too_large(digest: Digest) -> Fault:
    """It is no message that anybody made."""
    name = digest.written
    return Fault(
        TOO_LARGE,
        f"{name} is too large to be read as a message",
        why=f"messages of more than {MOST_MESSAGE_BYTES >> 20} MiB are not taken apart",
        fixes=[fix("take the bytes", "nlctl", "cas", "get", name, "--as", "raw")],
    )


async def tree(remote: Client, digest: Digest) -> Loaded:
    """The tree that a Directory, a Tree, or the inputs of an Action are.

    Raises Missing for the object itself, Fault OTHER_KIND when it is something else.
    """
    if is_empty(digest):
        return Loaded(digest, {digest: re_pb.Directory()})
    found = await looked_at(remote, digest)
    if found is None or found.form not in _TREES:
        raise no_tree(digest, found)
    return await tree_in(remote, digest, found)


def no_tree(digest: Digest, found: Decoded | None) -> Fault:
    """It is something else than a tree."""
    is_what = f"it is a {TITLES[found.form]}" if found else "its bytes are none of these"
    return Fault(
        OTHER_KIND,
        f"{digest.written} is no Directory, Tree or Action",
        why=is_what,
        fixes=[fix("see what it is", "nlctl", "cas", "get", digest.written)],
    )


async def tree_in(remote: Client, digest: Digest, found: Decoded) -> Loaded:
    """The tree of this object, which is one of the forms that lead to one."""
    match found.message:
        case re_pb.Action():
            return await _by_levels(remote, digest_of(found.message.input_root_digest, digest.function))
        case Tree():
            return _of_tree(found.message)
        case re_pb.Directory():
            return await _by_levels(remote, digest, {digest: found.message})
        case _:
            raise no_tree(digest, found)


def _of_tree(found: Tree) -> Loaded:
    below = (node.digest for one in found.directories.values() for node in one.directories)
    absent = frozenset(digest_of(one, found.root.function) for one in below) - set(found.directories)
    return Loaded(found.root, found.directories, absent)


async def _by_levels(remote: Client, root: Digest, known: dict[Digest, re_pb.Directory] | None = None) -> Loaded:
    held: dict[Digest, re_pb.Directory] = dict(known or {})
    absent: set[Digest] = set()
    row = list(_below(held.values(), root.function)) if held else [root]
    while row:
        wanted = [one for one in dict.fromkeys(row) if one not in held and one not in absent]
        gone = await remote.missing(wanted)
        absent |= gone
        read = await remote.read_many([one for one in wanted if one not in gone])
        level = {digest: directory_of(data, root.function) for digest, data in read.items()}
        held.update(level)
        row = list(_below(level.values(), root.function))
    return Loaded(root, held, frozenset(absent))


def _below(found: Iterable[re_pb.Directory], function: Function) -> Iterable[Digest]:
    return (digest_of(node.digest, function) for one in found for node in one.directories)


@dataclass(frozen=True)
class Closure:
    """An object and all that it leads to: the files in no order, the messages those that are named before the namers.

    `absent` are those of them that the CAS lacks; what a missing Directory leads to is not known.
    """

    files: tuple[Digest, ...]
    messages: tuple[Digest, ...]
    absent: frozenset[Digest]

    @property
    def digests(self) -> tuple[Digest, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((*self.files, *self.messages)))


async def closure(remote: Client, digest: Digest) -> Closure:
    """Everything that an object leads to. A blob that is no message leads to nothing but itself."""
    if await remote.missing([digest]):
        return Closure((), (digest,), frozenset((digest,)))
    found = await looked_at(remote, digest)
    if found is None or found.form in (Form.COMMAND, Form.RESULT):
        return Closure((), (digest,), frozenset())
    below = await tree_in(remote, digest, found)
    messages = [digest] if found.form is Form.TREE else [*leaves_first(below), *below.absent]
    if isinstance(found.message, re_pb.Action):
        messages += [digest_of(found.message.command_digest, digest.function), digest]
    files = list(below.files())
    absent = await remote.missing([*files, *messages])
    return Closure(tuple(files), tuple(dict.fromkeys(messages)), frozenset(absent))


@dataclass(frozen=True, slots=True)
class Part:
    """A blob that a result names: `role` is `output`, `tree`, `directory`, `file` of a tree, `stdout` or `stderr`."""

    role: str
    path: str
    digest: Digest


async def parts(remote: Client, result: re_pb.ActionResult, function: Function) -> list[Part]:
    """All that a result names, and what the Trees among it hold, as far as these are there. Raises Error."""
    found = [Part("output", one.path, digest_of(one.digest, function)) for one in result.output_files]
    for role, named in (("stdout", result.stdout_digest), ("stderr", result.stderr_digest)):
        if named.hash or named.size_bytes:
            found.append(Part(role, "", digest_of(named, function)))
    for output in result.output_directories:
        if output.HasField("root_directory_digest"):
            root = digest_of(output.root_directory_digest, function)
            found += _inside(output.path, await _by_levels(remote, root), "directory")
        if output.HasField("tree_digest") or not output.HasField("root_directory_digest"):
            found += await _of_output(remote, output.path, digest_of(output.tree_digest, function))
    # A directory may be named both by its Tree and by its root Directory.
    return list(dict.fromkeys(found))


async def _of_output(remote: Client, path: str, named: Digest) -> list[Part]:
    own = [Part("tree", path, named)]
    if await remote.missing([named]):
        return own
    return own + _inside(path, _of_tree(tree_of(await remote.read(named), named.function)), "")


def _inside(path: str, tree: Loaded, role: str) -> list[Part]:
    """The files of a tree by their paths, and, where `role` says so, its directories."""
    found = [Part(role, path, tree.root)] if role else []
    found += [
        Part("file" if node.kind == "file" else role, f"{path}/{node.path}", node.digest)
        for node in nodes(tree, totals(tree))
        if node.digest is not None and (node.kind == "file" or role)
    ]
    return found


async def absent(remote: Client, found: Sequence[Part]) -> list[Part]:
    """Those which the CAS lacks."""
    gone = await remote.missing({one.digest for one in found})
    return [one for one in found if one.digest in gone]
