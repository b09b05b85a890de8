"""What the messages of the Remote Execution API look like, as documents and for people. Pure.

A blob does not say what it is: `guessed` tells which message its bytes are beyond doubt, and otherwise text or bytes.
Documents have every key always; digests in them are `{"hash", "size_bytes", "function"}`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from nlserver.errors import Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.action import check_action, check_command
from nlserver.reapi.digest import Digest, Function, digest_of, is_empty, of
from nlserver.reapi.times import Time, moment_of, span_of
from nlserver.reapi.tree import Tree, check_directory, tree_of

from nlctl.faults import OTHER_KIND, Fault, fix
from nlctl.recents import as_json
from nlctl.ui import human_bytes, human_span, stamp
from nlctl.worker_ids import worker_name

Document = dict[str, Any]
Name = Callable[[Mapping[str, Any]], str]
"""How a digest of a document is written."""

_MS: Final = 1_000_000
_NANOS: Final = 10**9
_SHOWN_LINES: Final = 10
_TEXT_CONTROLS: Final = frozenset("\t\n\r\f\x1b")


class Form(StrEnum):
    """What a blob holds."""

    ACTION = "action"
    COMMAND = "command"
    DIRECTORY = "directory"
    TREE = "tree"
    RESULT = "result"
    TEXT = "text"
    RAW = "raw"


MESSAGES: Final = (Form.ACTION, Form.COMMAND, Form.DIRECTORY, Form.TREE, Form.RESULT)
"""The forms that are messages."""


@dataclass(frozen=True)
class Decoded:
    """A blob, taken apart. `message` is the protobuf message, or the checked parts of a Tree."""

    form: Form
    message: re_pb.Action | re_pb.Command | re_pb.Directory | re_pb.ActionResult | Tree
    function: Function

    @property
    def document(self) -> Document:
        """It as JSON shows it; its `type` is the form."""
        match self.message:
            case re_pb.Action():
                return action(self.message, self.function)
            case re_pb.Command():
                return command(self.message)
            case re_pb.Directory():
                return directory(self.message, self.function)
            case re_pb.ActionResult():
                return result(self.message, self.function)
            case _:
                return tree(self.message)


def guessed(data: bytes, function: Function = Function.SHA256) -> Form:
    """The form of a whole blob. A message is one only when every byte has a meaning in it and every digest is one."""
    if not data:
        return Form.RAW
    for form in (Form.ACTION, Form.DIRECTORY, Form.TREE, Form.RESULT, Form.COMMAND):
        if _is(form, data, function):
            return form
    return Form.TEXT if is_text(data) else Form.RAW


def is_text(data: bytes) -> bool:
    """Whether these are characters that a terminal shows, in UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return all(character >= " " or character in _TEXT_CONTROLS for character in text) and "\x7f" not in text


def decode(form: Form, data: bytes, function: Function = Function.SHA256) -> Decoded:
    """The blob as this form of message. Raises Fault OTHER_KIND when it is none."""
    try:
        return Decoded(form, _parsed(form, data, function), function)
    except (Error, DecodeError) as error:
        why = error.message if isinstance(error, Error) else "its bytes are no such message"
        name = of(data, function)
        raise Fault(
            OTHER_KIND,
            f"{name.written} is no {TITLES[form]}",
            why=why,
            fixes=[
                fix("let it be guessed", "nlctl", "cas", "get", name.written),
                fix("take the bytes", "nlctl", "cas", "get", name.written, "--as", "raw"),
            ],
        ) from error


TITLES: Final = {
    Form.ACTION: "Action",
    Form.COMMAND: "Command",
    Form.DIRECTORY: "Directory",
    Form.TREE: "Tree",
    Form.RESULT: "ActionResult",
    Form.TEXT: "text",
    Form.RAW: "bytes",
}


def _parsed(
    form: Form, data: bytes, function: Function
) -> re_pb.Action | re_pb.Command | re_pb.Directory | re_pb.ActionResult | Tree:
    match form:
        case Form.ACTION:
            found = re_pb.Action.FromString(data)
            check_action(found, function)
            return found
        case Form.COMMAND:
            # What no worker would take is still worth looking at.
            return re_pb.Command.FromString(data)
        case Form.DIRECTORY:
            listing = re_pb.Directory.FromString(data)
            check_directory(listing, function)
            return listing
        case Form.TREE:
            return tree_of(data, function)
        case Form.RESULT:
            return re_pb.ActionResult.FromString(data)
        case _:
            raise AssertionError(form)


def _is(form: Form, data: bytes, function: Function) -> bool:
    try:
        found = _parsed(form, data, function)
        match found:
            case re_pb.Command():
                check_command(found)
                return _is_whole(found, data) and not any(_odd(argument) for argument in found.arguments)
            case re_pb.ActionResult():
                return _is_whole(found, data) and _is_result(found, function)
            case Tree():
                return _is_whole(re_pb.Tree.FromString(data), data) and data[:1] == b"\x0a"
            case _:
                return _is_whole(found, data)
    except (Error, DecodeError):
        return False


def _is_whole(found: Message, data: bytes) -> bool:
    """Whether no byte of these belongs to a field that the message does not know."""
    known = type(found)()
    known.CopyFrom(found)
    known.DiscardUnknownFields()  # type: ignore[no-untyped-call,unused-ignore]
    return known.ByteSize() == len(data)


def _odd(argument: str) -> bool:
    return any(character < " " and character not in _TEXT_CONTROLS for character in argument)


def _is_result(found: re_pb.ActionResult, function: Function) -> bool:
    digests = [file.digest for file in found.output_files]
    digests += [output.tree_digest for output in found.output_directories if output.HasField("tree_digest")]
    digests += [one for one in (found.stdout_digest, found.stderr_digest) if one.hash or one.size_bytes]
    for one in digests:
        digest_of(one, function)
    return bool(digests) or found.HasField("execution_metadata")


# Documents


def action(found: re_pb.Action, function: Function = Function.SHA256) -> Document:
    """An Action."""
    spanned = span_of(found.timeout) if found.HasField("timeout") else None
    return {
        "type": "action",
        "command": _digest(found.command_digest, function),
        "input_root": _digest(found.input_root_digest, function),
        "timeout_ms": None if spanned is None else spanned // _MS,
        "do_not_cache": found.do_not_cache,
        "salt": found.salt.hex() or None,
        "platform": properties(found.platform),
    }


def command(found: re_pb.Command) -> Document:
    """A Command."""
    return {
        "type": "command",
        "arguments": list(found.arguments),
        "environment": {one.name: one.value for one in found.environment_variables},
        "working_directory": found.working_directory,
        "output_paths": list(found.output_paths),
        "output_files": list(found.output_files),
        "output_directories": list(found.output_directories),
        "output_node_properties": list(found.output_node_properties),
        "output_directory_format": _format(found.output_directory_format),
        "platform": properties(found.platform),
    }


def directory(found: re_pb.Directory, function: Function = Function.SHA256) -> Document:
    """A Directory."""
    return {"type": "directory", **_listing(found, function)}


def tree(found: Tree) -> Document:
    """A Tree: its root's digest, and each directory that is not empty, or is the root, by its digest."""
    function = found.root.function
    return {
        "type": "tree",
        "root": as_json(found.root),
        "directories": [
            {"digest": as_json(digest), **_listing(listing, function)}
            for digest, listing in found.directories.items()
            if digest == found.root or not is_empty(digest)
        ],
    }


def result(found: re_pb.ActionResult, function: Function = Function.SHA256) -> Document:
    """An ActionResult. Output that it carries itself is text, with what is not UTF-8 replaced."""
    times = found.execution_metadata
    ended = _moment(times.worker_completed_timestamp)
    return {
        "type": "result",
        "exit_code": found.exit_code,
        "stdout": _stream(found.stdout_raw, found.stdout_digest, function),
        "stderr": _stream(found.stderr_raw, found.stderr_digest, function),
        "output_files": [
            {"path": one.path, "digest": _digest(one.digest, function), "executable": one.is_executable}
            for one in found.output_files
        ],
        "output_directories": [
            {
                "path": one.path,
                "tree": _digest(one.tree_digest, function),
                "root": _digest(one.root_directory_digest, function),
            }
            for one in found.output_directories
        ],
        "output_symlinks": [{"path": path, "target": target} for path, target in _links(found).items()],
        "worker": times.worker or None,
        "queued_ms": _span(times.queued_timestamp, times.worker_start_timestamp),
        "inputs_ms": _span(times.input_fetch_start_timestamp, times.input_fetch_completed_timestamp),
        "ran_ms": _span(times.execution_start_timestamp, times.execution_completed_timestamp),
        "outputs_ms": _span(times.output_upload_start_timestamp, times.output_upload_completed_timestamp),
        "completed": stamp(ended / _NANOS) if ended else None,
    }


def properties(found: re_pb.Platform) -> dict[str, list[str]]:
    """Platform properties by name; one name may have several values."""
    made: dict[str, list[str]] = {}
    for one in found.properties:
        made.setdefault(one.name, []).append(one.value)
    return made


def _listing(found: re_pb.Directory, function: Function) -> Document:
    return {
        "files": [
            {"name": one.name, "digest": _digest(one.digest, function), "executable": one.is_executable}
            for one in found.files
        ],
        "directories": [{"name": one.name, "digest": _digest(one.digest, function)} for one in found.directories],
        "symlinks": [{"name": one.name, "target": one.target} for one in found.symlinks],
    }


def _stream(raw: bytes, named: re_pb.Digest, function: Function) -> Document:
    text = raw.decode(errors="replace") if raw else None
    return {"text": text, "digest": _digest(named, function)}


def _links(found: re_pb.ActionResult) -> dict[str, str]:
    """The links of a result; some servers name each in the lists of REAPI 2.0, too."""
    row = (*found.output_symlinks, *found.output_file_symlinks, *found.output_directory_symlinks)
    return {one.path: one.target for one in row}


def _format(number: int) -> str:
    known = re_pb.Command.OutputDirectoryFormat
    return known.Name(number).lower() if number in known.values() else str(number)  # type: ignore[arg-type]


def _digest(message: re_pb.Digest, function: Function) -> Document | None:
    """A digest as it stands, well-formed or not; None for one that is not set."""
    if not message.hash and not message.size_bytes:
        return None
    return as_json(Digest(message.hash, message.size_bytes, function))


def _moment(time: Time) -> int | None:
    return moment_of(time) or None


def _span(start: Time, end: Time) -> int | None:
    begun, ended = _moment(start), _moment(end)
    return (ended - begun) // _MS if begun and ended else None


# For people


def lines(document: Mapping[str, Any], name: Name) -> list[str]:
    """A document of this room, in a few lines that tell what matters; `name` writes its digests."""
    match document["type"]:
        case "action":
            return _action_lines(document, name)
        case "command":
            return _command_lines(document)
        case "directory":
            return _listing_lines(document, name)
        case "tree":
            return _tree_lines(document, name)
        case _:
            return _result_lines(document, name)


def _action_lines(document: Mapping[str, Any], name: Name) -> list[str]:
    facts = [f"timeout {human_span(document['timeout_ms'])}"] if document["timeout_ms"] else []
    facts += ["not cached"] if document["do_not_cache"] else []
    facts += [f"salt {document['salt']}"] if document["salt"] else []
    facts += [f"platform {platform_line(document['platform'])}"] if document["platform"] else []
    found = [f"  command  {name(document['command'])}", f"  inputs   {name(document['input_root'])}"]
    return [*found, f"  {'   '.join(facts)}"] if facts else found


def _command_lines(document: Mapping[str, Any]) -> list[str]:
    found = [f"  {command_line(document)}"]
    found += [f"  in         {document['working_directory']}"] if document["working_directory"] else []
    found += _labelled("env", [f"{key}={value}" for key, value in document["environment"].items()])
    paths = document["output_paths"] or [*document["output_files"], *document["output_directories"]]
    found += _labelled("outputs", paths)
    if document["platform"]:
        found.append(f"  platform   {platform_line(document['platform'])}")
    return found


def _labelled(label: str, values: Sequence[str]) -> list[str]:
    return [f"  {label if n == 0 else '':<10} {value}" for n, value in enumerate(values)]


def _listing_lines(document: Mapping[str, Any], name: Name) -> list[str]:
    rows = [(f"{one['name']}/", name(one["digest"])) for one in document["directories"]]
    rows += [(f"{one['name']}{'*' if one['executable'] else ''}", name(one["digest"])) for one in document["files"]]
    rows += [(one["name"], f"-> {one['target']}") for one in document["symlinks"]]
    return _aligned(rows) or ["  empty"]


def _tree_lines(document: Mapping[str, Any], name: Name) -> list[str]:
    files = sum(len(one["files"]) for one in document["directories"])
    size = sum(file["digest"]["size_bytes"] for one in document["directories"] for file in one["files"])
    root = next(one for one in document["directories"] if one["digest"] == document["root"])
    counts = f"{len(document['directories'])} directories, {files} files, {human_bytes(size)}"
    return [f"  root {name(document['root'])}   {counts}", *_listing_lines(root, name)]


def _result_lines(document: Mapping[str, Any], name: Name) -> list[str]:
    found = [f"  {summary(document)}"]
    rows = [(f"{one['path']}{'*' if one['executable'] else ''}", name(one["digest"])) for one in _files(document)]
    rows += [(f"{one['path']}/", _directory_name(one, name)) for one in document["output_directories"]]
    rows += [(one["path"], f"-> {one['target']}") for one in document["output_symlinks"]]
    rows += [(stream, _stream_name(document[stream], name)) for stream in ("stdout", "stderr")]
    return found + _aligned(rows)


def summary(document: Mapping[str, Any]) -> str:
    """The one line about a result: how it ended, where, and how long each step took."""
    spans = (("queued", "queued_ms"), ("inputs", "inputs_ms"), ("ran", "ran_ms"), ("outputs", "outputs_ms"))
    parts = [f"exit {document['exit_code']}", worker_name(document["worker"] or "")]
    parts += [f"{word} {human_span(document[key])}" for word, key in spans if document[key] is not None]
    return " - ".join(part for part in parts if part)


def command_line(document: Mapping[str, Any]) -> str:
    """The arguments of a Command document as a shell would take them."""
    return shlex.join(document["arguments"])


def platform_line(platform: Mapping[str, Iterable[str]]) -> str:
    """Properties in one line."""
    return " ".join(f"{key}={','.join(values)}" for key, values in platform.items())


def _files(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in document["output_files"] if one["digest"] is not None]


def _directory_name(output: Mapping[str, Any], name: Name) -> str:
    return name(output["tree"] or output["root"]) if output["tree"] or output["root"] else "empty"


def _stream_name(stream: Mapping[str, Any], name: Name) -> str:
    if stream["digest"] is not None and stream["digest"]["size_bytes"]:
        return name(stream["digest"])
    if stream["text"]:
        shown = stream["text"].rstrip("\n").split("\n")
        return shown[0] if len(shown) == 1 else f"{len(shown)} lines, held by the result itself"
    return "empty"


def _aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = min(48, max((len(left) for left, _ in rows), default=0))
    return [f"  {left:<{width}}  {right}" for left, right in rows]
