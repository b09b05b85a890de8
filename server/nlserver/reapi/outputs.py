"""What an ActionResult left, laid out below a directory of this machine.

Laws: no symbolic link is followed on the way to an output, so that nothing lands outside; links are made last;
a file stands under its name only when it is whole and verified.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from nlserver.errors import Code, Error, invalid
from nlserver.fs import write_all
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import resolved
from nlserver.reapi.digest import Digest, Function, digest_of
from nlserver.reapi.tree import Tree, check_target, walk

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file to write, by its path from the top."""

    path: str
    digest: Digest
    executable: bool


@dataclass
class Plan:
    """What to lay out, by paths from the top, without `..`."""

    directories: list[str] = field(default_factory=list)
    files: list[OutputFile] = field(default_factory=list)
    symlinks: dict[str, str] = field(default_factory=dict)


def trees_of(result: re_pb.ActionResult, function: Function) -> list[Digest]:
    """The Trees that a plan needs, each once. Raises Error INVALID_ARGUMENT for malformed digests."""
    return list(dict.fromkeys(digest_of(output.tree_digest, function) for output in result.output_directories))


def plan_of(
    result: re_pb.ActionResult, working_directory: str, trees: Mapping[Digest, Tree], function: Function
) -> Plan:
    """The plan of a result; the top stands for the input root. Pure.

    Raises Error INVALID_ARGUMENT for paths that lead out of the input root and for malformed Trees.
    """
    plan = Plan()
    for file in result.output_files:
        path = resolved(file.path, working_directory)
        plan.files.append(OutputFile(path, digest_of(file.digest, function), file.is_executable))
    for output in result.output_directories:
        top = resolved(output.path, working_directory)
        _add_tree(plan, top, trees[digest_of(output.tree_digest, function)], function)
    for link in (*result.output_symlinks, *result.output_file_symlinks, *result.output_directory_symlinks):
        _add_link(plan, resolved(link.path, working_directory), link.target)
    if any(file.path == "" for file in plan.files) or "" in plan.symlinks:
        raise invalid("an output file or symlink has the path of the input root itself")
    return plan


def plan_of_tree(tree: Tree) -> Plan:
    """The plan of an input root. Pure. Raises Error INVALID_ARGUMENT for a malformed Tree."""
    plan = Plan()
    _add_tree(plan, "", tree, tree.root.function)
    return plan


def _add_tree(plan: Plan, top: str, tree: Tree, function: Function) -> None:
    for path, found in walk(tree.root, tree.lookup):
        at = f"{top}/{path}" if top and path else top or path
        plan.directories.append(at)
        for node in found.files:
            name = f"{at}/{node.name}" if at else node.name
            plan.files.append(OutputFile(name, digest_of(node.digest, function), node.is_executable))
        for link in found.symlinks:
            _add_link(plan, f"{at}/{link.name}" if at else link.name, link.target)


def _add_link(plan: Plan, path: str, target: str) -> None:
    check_target(path, target)
    if plan.symlinks.setdefault(path, target) != target:
        raise invalid(f"the symlink {path!r} has two targets: {plan.symlinks[path]!r} and {target!r}")


class Place:
    """The directory below which outputs are laid out. Blocking; made when it does not exist; close it.

    What is written replaces what is there, and takes its name when it is whole. In a `fresh` directory, into which
    nobody looks before all is there, everything has its name from the beginning.
    """

    def __init__(self, top: str, *, fresh: bool = False) -> None:
        self._fresh = fresh
        with _failing(top):
            os.makedirs(top, exist_ok=True)
            # The top itself may be reached by links: it is the caller's own word.
            self._fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the directory up."""
        os.close(self._fd)

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it. Raises Error."""
        with self._inside(path):
            pass

    def make_symlink(self, path: str, target: str) -> None:
        """Make a symbolic link in the place of a file or link. Raises Error."""
        parent, _, name = path.rpartition("/")
        with self._inside(parent) as fd, _failing(path):
            first = self._first_name(name)
            os.symlink(target, first, dir_fd=fd)
            _put(fd, first, name)

    @contextmanager
    def file(self, path: str, *, executable: bool) -> Iterator[int]:
        """A descriptor to write a file with, which takes its name when the block ends well. Raises Error."""
        parent, _, name = path.rpartition("/")
        with self._inside(parent) as fd, _failing(path), self._written(fd, name, executable=executable) as own:
            yield own

    def write(self, contents: Iterable[tuple[OutputFile, bytes]]) -> None:
        """Write whole files, fastest those of one directory after each other. Raises Error."""
        for parent, files in groupby(contents, key=lambda one: one[0].path.rpartition("/")[0]):
            with self._inside(parent) as fd:
                for file, data in files:
                    name = file.path.rpartition("/")[2]
                    with _failing(file.path), self._written(fd, name, executable=file.executable) as own:
                        write_all(own, [data])

    @contextmanager
    def _inside(self, path: str) -> Iterator[int]:
        """A descriptor of a directory, made where it is not there; no link is followed."""
        fd = os.dup(self._fd)
        try:
            for segment in path.split("/") if path else ():
                with _failing(path):
                    below = _entered(fd, segment)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _written(self, fd: int, name: str, *, executable: bool) -> Iterator[int]:
        """A descriptor of a new file of this directory."""
        first = self._first_name(name)
        own = os.open(first, _NEW, 0o777 if executable else 0o666, dir_fd=fd)
        try:
            yield own
        except BaseException:
            _forget(fd, first)
            raise
        finally:
            os.close(own)
        _put(fd, first, name)

    def _first_name(self, name: str) -> str:
        return name if self._fresh else f".{name[:100]}.{secrets.token_hex(6)}.tmp"


def _entered(fd: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=fd)
    return os.open(name, _DIRECTORY, dir_fd=fd)


def _put(fd: int, first: str, name: str) -> None:
    if first == name:
        return
    try:
        os.replace(first, name, src_dir_fd=fd, dst_dir_fd=fd)
    except OSError:
        _forget(fd, first)
        raise


def _forget(fd: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=fd)


@contextmanager
def _failing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            message = f"{path} is not written: a symbolic link or a file stands in its way"
        else:
            message = f"{path} cannot be written: {error.strerror}"
        code = Code.RESOURCE_EXHAUSTED if error.errno in (errno.ENOSPC, errno.EDQUOT) else Code.FAILED_PRECONDITION
        raise Error(code, message) from error
