"""What an action left, by name, so that two runs can be compared. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest, Function, digest_of, of
from nlserver.reapi.tree import Tree, walk

EXIT: str = "exit code"


@dataclass(frozen=True)
class Unlike:
    """An output that differs between runs: what it was in each, in their order; None where a run left none."""

    name: str
    values: tuple[str | None, ...]


def named(result: re_pb.ActionResult, trees: Mapping[Digest, Tree], function: Function) -> dict[str, str]:
    """Everything that a result says the action left, each as a text that is equal exactly when it is the same.

    `trees` are those that the result names. Raises Error INVALID_ARGUMENT for malformed digests.
    """
    found = {EXIT: str(result.exit_code)}
    found["stdout"] = _stream(result.stdout_raw, result.stdout_digest, function)
    found["stderr"] = _stream(result.stderr_raw, result.stderr_digest, function)
    for file in result.output_files:
        found[file.path] = _file(digest_of(file.digest, function), file.is_executable)
    for output in result.output_directories:
        found[f"{output.path}/"] = "directory"
        tree = trees[digest_of(output.tree_digest, function)]
        for path, listing in walk(tree.root, tree.lookup):
            at = "/".join(filter(None, (output.path, path)))
            found |= {f"{at}/{node.name}/": "directory" for node in listing.directories}
            found |= {f"{at}/{n.name}": _file(digest_of(n.digest, function), n.is_executable) for n in listing.files}
            found |= {f"{at}/{link.name}": f"-> {link.target}" for link in listing.symlinks}
    for link in (*result.output_symlinks, *result.output_file_symlinks, *result.output_directory_symlinks):
        found[link.path] = f"-> {link.target}"
    return found


def unlike(runs: Sequence[Mapping[str, str]]) -> list[Unlike]:
    """What is not the same in all of these runs, in the order of the names."""
    names = dict.fromkeys(name for run in runs for name in run)
    rows = [Unlike(name, tuple(run.get(name) for run in runs)) for name in names]
    return [one for one in rows if len(set(one.values)) > 1]


def _stream(raw: bytes, named: re_pb.Digest, function: Function) -> str:
    digest = digest_of(named, function) if named.hash else of(raw, function)
    return digest.written


def _file(digest: Digest, executable: bool) -> str:
    return f"{digest.written}{' executable' if executable else ''}"
