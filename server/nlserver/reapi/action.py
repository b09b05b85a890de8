"""Commands and Actions: built in canonical form, and checked when they come from outside. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from nlserver.errors import invalid
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import Digest, Function, digest_of
from nlserver.reapi.tree import LONGEST_NAME_BYTES, LONGEST_PATH_BYTES, set_digest

Properties = tuple[tuple[str, str], ...]
"""Platform properties by name and value."""
PropertyValues = Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]]
"""Platform properties as callers write them; one name may have several values."""

MOST_OUTPUTS: Final = 65_536
MOST_PROPERTIES: Final = 1_000
LONGEST_PROPERTY: Final = 64 << 10
# Linux: MAX_ARG_STRLEN, and three quarters of _STK_LIM for all strings with their pointers, whatever the stack's limit.
_LONGEST_STRING_BYTES: Final = 128 << 10
_MOST_STRING_BYTES: Final = 6 << 20
_POINTER_BYTES: Final = 8
_MOST_SECONDS: Final = 315_576_000_000
_NANOS: Final = 10**9
# The properties that other workers know, as both spellings occur. A result without them is a valid result.
_NODE_PROPERTIES: Final = frozenset(("MTime", "UnixMode", "mtime", "unix_mode"))


@dataclass(frozen=True, slots=True)
class Outputs:
    """What an action shall leave: each path as the command declares it, and from the input root, without `..`.

    `modern` where `output_paths` declares them; otherwise they come from the lists of REAPI 2.0, and those that stand
    in one of them alone must be `files` or `directories`.
    """

    paths: tuple[tuple[str, str], ...]
    modern: bool
    files: frozenset[str] = frozenset()
    directories: frozenset[str] = frozenset()

    @property
    def parents(self) -> tuple[str, ...]:
        """The directories that must exist before the action runs, each once, from the input root; never `""`."""
        found = {path.rpartition("/")[0] for _, path in self.paths}
        return tuple(sorted(found - {""}))


def command(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    output_paths: Iterable[str] = (),
    working_directory: str = "",
    platform: PropertyValues = (),
) -> re_pb.Command:
    """A Command in canonical form (REAPI v2, Command). Raises Error INVALID_ARGUMENT, see `check_command`.

    The platform stands in the Command as well as in the Action, for servers of REAPI 2.1 and before.
    """
    made = re_pb.Command(arguments=arguments, working_directory=working_directory)
    for name, value in sorted((environment or {}).items()):
        made.environment_variables.add(name=name, value=value)
    made.output_paths.extend(sorted(set(output_paths)))
    _add_properties(made.platform, platform)
    check_command(made)
    return made


def action(
    command_digest: Digest,
    input_root: Digest,
    *,
    timeout_seconds: float | None = None,
    do_not_cache: bool = False,
    salt: bytes = b"",
    platform: PropertyValues = (),
) -> re_pb.Action:
    """An Action in canonical form (REAPI v2, Action). Raises Error INVALID_ARGUMENT, see `check_action`."""
    made = re_pb.Action(do_not_cache=do_not_cache, salt=salt)
    set_digest(made.command_digest, command_digest)
    set_digest(made.input_root_digest, input_root)
    if timeout_seconds is not None:
        seconds, nanos = divmod(round(timeout_seconds * _NANOS), _NANOS)
        made.timeout.CopyFrom(Duration(seconds=seconds, nanos=nanos))
    _add_properties(made.platform, platform)
    check_action(made, input_root.function)
    return made


def _add_properties(made: re_pb.Platform, platform: PropertyValues) -> None:
    for name, value in sorted(pairs(platform)):
        made.properties.add(name=name, value=value)


def pairs(platform: PropertyValues) -> list[tuple[str, str]]:
    """Platform properties as name and value, one pair for each value."""
    if not isinstance(platform, Mapping):
        return list(platform)
    return [
        (name, value)
        for name, values in platform.items()
        for value in ([values] if isinstance(values, str) else values)
    ]


def command_of(data: bytes) -> re_pb.Command:
    """The checked Command in a blob. Raises Error INVALID_ARGUMENT."""
    try:
        found = re_pb.Command.FromString(data)
    except DecodeError:
        raise invalid("the blob is not a Command") from None
    check_command(found)
    return found


def action_of(data: bytes, function: Function = Function.SHA256) -> re_pb.Action:
    """The checked Action in a blob. Raises Error INVALID_ARGUMENT."""
    try:
        found = re_pb.Action.FromString(data)
    except DecodeError:
        raise invalid("the blob is not an Action") from None
    check_action(found, function)
    return found


def check_action(found: re_pb.Action, function: Function = Function.SHA256) -> None:
    """Refuse an Action without both digests, with a malformed timeout or platform. Raises Error INVALID_ARGUMENT."""
    for name in ("command_digest", "input_root_digest"):
        if not found.HasField(name):
            raise invalid(f"the Action has no {name}")
    digest_of(found.command_digest, function)
    digest_of(found.input_root_digest, function)
    timeout_of(found)
    _check_platform(found.platform)


def timeout_of(found: re_pb.Action, most_seconds: float | None = None) -> float | None:
    """Seconds that the action may run; None where it leaves that to the server, as it does with 0.

    Raises Error INVALID_ARGUMENT for what is no duration, and for more than `most_seconds` (REAPI v2, Action).
    """
    if not found.HasField("timeout"):
        return None
    seconds, nanos = found.timeout.seconds, found.timeout.nanos
    if not (0 <= seconds <= _MOST_SECONDS and 0 <= nanos < _NANOS):
        raise invalid(f"Action.timeout of {seconds} seconds and {nanos} nanoseconds is not a time that can pass")
    asked = seconds + nanos / _NANOS
    if most_seconds is not None and asked > most_seconds:
        raise invalid(
            f"Action timeout of {asked:g} seconds is greater than the maximum allowed timeout of {most_seconds:g} "
            "seconds"
        )
    return asked or None


def check_command(found: re_pb.Command) -> None:
    """Refuse a Command that no worker could run as it stands; names what is wrong (REAPI v2, Command).

    Unsorted lists are taken, since real clients send them. Raises Error INVALID_ARGUMENT.
    """
    if not found.arguments:
        raise invalid("No arguments provided in Command proto")
    if not found.arguments[0]:
        raise invalid("the first of Command.arguments, the program, is empty")
    _check_environment(found.environment_variables)
    _check_strings(found)
    _check_platform(found.platform)
    unknown = set(found.output_node_properties) - _NODE_PROPERTIES
    if unknown:
        raise invalid(f"output_node_properties {', '.join(sorted(unknown))[:200]} cannot be captured here")
    outputs_of(found)


def _check_environment(variables: Iterable[re_pb.Command.EnvironmentVariable]) -> None:
    names: set[str] = set()
    for variable in variables:
        name = variable.name
        if not name or "=" in name or "\0" in name:
            raise invalid(f"{name[:80]!r} cannot be the name of an environment variable")
        if name in names:
            raise invalid(f"the environment variable {name[:80]!r} is set twice")
        names.add(name)


def _check_strings(found: re_pb.Command) -> None:
    total = 0
    named = [("argument", argument) for argument in found.arguments]
    named += [(f"variable {v.name[:80]}", f"{v.name}={v.value}") for v in found.environment_variables]
    for what, text in named:
        if "\0" in text:
            raise invalid(f"the {what} of the Command holds a NUL character")
        size = len(text.encode()) + 1
        if size > _LONGEST_STRING_BYTES:
            raise invalid(f"the {what} of the Command has {size} bytes; no program takes {_LONGEST_STRING_BYTES}")
        total += size + _POINTER_BYTES
    if total > _MOST_STRING_BYTES:
        raise invalid(
            f"arguments and environment of the Command have {total} bytes; no program takes {_MOST_STRING_BYTES}"
        )


def _check_platform(found: re_pb.Platform) -> None:
    if len(found.properties) > MOST_PROPERTIES:
        raise invalid(f"the platform has {len(found.properties)} properties; {MOST_PROPERTIES} are the most")
    for property_ in found.properties:
        if not property_.name:
            raise invalid("a platform property has no name")
        if len(property_.name) + len(property_.value) > LONGEST_PROPERTY:
            raise invalid(f"the platform property {property_.name[:80]!r} is longer than {LONGEST_PROPERTY} characters")


def platform_of(found: re_pb.Action, command: re_pb.Command) -> Properties:
    """The platform that counts: the Action's, or the Command's where the Action has none (REAPI v2.2, Action).

    Sorted by name, then value.
    """
    platform = found.platform if found.platform.properties else command.platform
    return tuple(sorted((property_.name, property_.value) for property_ in platform.properties))


def outputs_of(found: re_pb.Command) -> Outputs:
    """The outputs that count: `output_paths`, or both lists of REAPI 2.0 where that is empty; each path once.

    A path in both lists is taken, as Buck2 sends it. Raises Error INVALID_ARGUMENT for paths that are absolute, not
    in plain form, or lead out of the input root.
    """
    declared = list(found.output_paths) or [*found.output_files, *found.output_directories]
    if len(declared) > MOST_OUTPUTS:
        raise invalid(f"the Command declares {len(declared)} outputs; {MOST_OUTPUTS} are the most")
    base = working_directory_of(found)
    paths = tuple((path, resolved(path, base)) for path in dict.fromkeys(declared))
    if found.output_paths:
        return Outputs(paths, modern=True)
    files, directories = frozenset(found.output_files), frozenset(found.output_directories)
    return Outputs(paths, modern=False, files=files - directories, directories=directories - files)


def working_directory_of(found: re_pb.Command) -> str:
    """The working directory from the input root; `""` for the root itself.

    Raises Error INVALID_ARGUMENT when it is absolute, not in plain form, or leads out of the input root.
    """
    path = found.working_directory
    _check_plain(path, "working_directory")
    return _inside(path.split("/") if path else [], path, "working_directory")


def resolved(path: str, base: str) -> str:
    """An output path, which is relative to the working directory `base`, from the input root.

    Raises Error INVALID_ARGUMENT when it is absolute, not in plain form, or leads out of the input root.
    """
    if path in ("", "."):
        return base
    _check_plain(path, "output path")
    return _inside([*(base.split("/") if base else []), *path.split("/")], path, "output path")


def _check_plain(path: str, what: str) -> None:
    if path.startswith("/"):
        raise invalid(f"the {what} {path[:200]!r} is absolute; it must be relative")
    if "\0" in path or len(path.encode()) > LONGEST_PATH_BYTES:
        raise invalid(f"the {what} {path[:200]!r} holds a NUL character or is longer than {LONGEST_PATH_BYTES} bytes")
    for segment in path.split("/") if path else ():
        if segment in ("", "."):
            raise invalid(f"the {what} {path[:200]!r} is not in plain form: no //, /./ or trailing slash")
        if len(segment.encode()) > LONGEST_NAME_BYTES:
            raise invalid(f"the {what} {path[:200]!r} has a segment of more than {LONGEST_NAME_BYTES} bytes")


def _inside(segments: Iterable[str], path: str, what: str) -> str:
    """The segments joined, with `..` resolved, which must stay inside the input root."""
    kept: list[str] = []
    for segment in segments:
        if segment != "..":
            kept.append(segment)
        elif kept:
            kept.pop()
        else:
            raise invalid(f"the {what} {path[:200]!r} leads out of the input root")
    return "/".join(kept)
