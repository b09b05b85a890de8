"""A client's pen for actions, and its ear for operations: every message of a stream is held to what clients need."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from tests.conformance.target import Code, Target, digest, function_number, key, rx

STAGE: Final = rx.ExecutionStage
PATH: Final = "/usr/bin:/bin"
INVALID: Final = code_pb2.INVALID_ARGUMENT
PRECONDITION: Final = code_pb2.FAILED_PRECONDITION
EXHAUSTED: Final = code_pb2.RESOURCE_EXHAUSTED
TIMED_OUT: Final = code_pb2.DEADLINE_EXCEEDED
CANCELLED: Final = code_pb2.CANCELLED
ABORTED: Final = code_pb2.ABORTED
INTERNAL: Final = code_pb2.INTERNAL
RETRIED_BY_BAZEL: Final = frozenset((CANCELLED, code_pb2.UNKNOWN, ABORTED, INTERNAL, code_pb2.UNAVAILABLE, EXHAUSTED))
"""In the response of an operation; Bazel runs the action again then, five times."""
_HARMLESS: Final = frozenset(("DebugInfo", "Help", "LocalizedMessage", "RequestInfo", "ResourceInfo"))
_PRECONDITION_URL: Final = "type.googleapis.com/google.rpc.PreconditionFailure"


@dataclass(frozen=True)
class Link:
    """A symbolic link in an input root."""

    target: str


@dataclass(frozen=True)
class Tool:
    """An executable file in an input root."""

    content: bytes | str


Node = bytes | str | Tool | Link | Mapping[str, "Node"] | rx.FileNode | rx.Digest


def directory(target: Target, nodes: Mapping[str, Node], function: str = "SHA256") -> rx.Digest:
    """The digest of an input root whose blobs are all on the server. A Digest stands for a directory as it is."""
    made = rx.Directory()
    for name, node in sorted(nodes.items(), key=lambda item: item[0].encode()):
        match node:
            case Link():
                made.symlinks.add(name=name, target=node.target)
            case rx.FileNode():
                made.files.add(name=name).MergeFrom(node)
            case rx.Digest():
                made.directories.add(name=name, digest=node)
            case Mapping():
                made.directories.add(name=name, digest=directory(target, node, function))
            case _:
                content = node.content if isinstance(node, Tool) else node
                data = content.encode() if isinstance(content, str) else content
                made.files.add(name=name, digest=target.put(data, function), is_executable=isinstance(node, Tool))
    return target.put(made, function)


def command(*arguments: str, env: Mapping[str, str] | None = None, **fields: Any) -> rx.Command:
    """A Command in canonical form, with a PATH."""
    made = rx.Command(arguments=arguments, **fields)
    for name, value in sorted({"PATH": PATH, **(env or {})}.items()):
        made.environment_variables.add(name=name, value=value)
    return made


def platform(**properties: str) -> rx.Platform:
    """A Platform."""
    return rx.Platform(properties=[rx.Platform.Property(name=n, value=v) for n, v in sorted(properties.items())])


def action(
    target: Target,
    wanted: rx.Command,
    inputs: Mapping[str, Node] | rx.Digest | None = None,
    *,
    seconds: float | None = None,
    function: str = "SHA256",
    **fields: Any,
) -> rx.Digest:
    """The digest of an Action whose blobs are all on the server; no two are equal, as each has a salt of its own."""
    root = inputs if isinstance(inputs, rx.Digest) else directory(target, inputs or {}, function)
    made = rx.Action(command_digest=target.put(wanted, function), input_root_digest=root, **fields)
    if not made.salt:
        made.salt = uuid_bytes()
    if seconds is not None:
        made.timeout.CopyFrom(Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9)))
    return target.put(made, function)


def uuid_bytes() -> bytes:
    """16 bytes that were never there before."""
    return uuid.uuid4().bytes


def shell(target: Target, script: str, inputs: Mapping[str, Node] | None = None, **fields: Any) -> rx.Digest:
    """An Action that runs a shell script; fields of Command and of Action, and those of `action`."""
    own = {
        name: fields.pop(name) for name in list(fields) if name in rx.Command.DESCRIPTOR.fields_by_name or name == "env"
    }
    if "platform" in own:
        fields["platform"] = own.pop("platform")
    return action(target, command("/bin/sh", "-c", script, **own), inputs, **fields)


class Run:
    """The stream of an operation. Each message that is taken from it is judged."""

    def __init__(self, target: Target, call: Any) -> None:
        self.target = target
        self.call = call
        self.name = ""
        self.stages: list[int] = []
        self.done = False

    def next(self) -> operations_pb2.Operation:
        """The next message. Raises grpc.RpcError, and StopIteration at the end of the stream."""
        operation = next(self.call)
        assert not self.done, "nothing comes after the end"
        assert operation.name
        assert operation.name == (self.name or operation.name), "an operation keeps its name"
        assert not operation.HasField("error"), "Operation.error is never set"
        self.name, self.done = operation.name, operation.done
        stage = metadata(operation).stage
        assert operation.done == (stage == STAGE.COMPLETED)
        assert operation.done == operation.HasField("response")
        self.stages.append(stage)
        return operation

    def until(self, stage: int) -> operations_pb2.Operation:
        """The first message of this stage, or the last one of the stream."""
        while True:
            operation = self.next()
            if operation.done or metadata(operation).stage == stage:
                return operation

    def end(self) -> rx.ExecuteResponse:
        """The response at the end, after which nothing comes."""
        response = rx.ExecuteResponse()
        while not (operation := self.next()).done:
            pass
        assert operation.response.Unpack(response)
        assert list(self.call) == []
        return response

    def leave(self) -> None:
        """Listen no more."""
        self.call.cancel()


def metadata(operation: operations_pb2.Operation) -> rx.ExecuteOperationMetadata:
    """The metadata of an operation, which must be readable."""
    found = rx.ExecuteOperationMetadata()
    assert operation.metadata.Unpack(found), f"metadata of type {operation.metadata.type_url!r}"
    return found


def execute(target: Target, wanted: rx.Digest, function: str = "", **fields: Any) -> Run:
    """Execute, and listen."""
    number = function_number(function) if function else 0
    request = rx.ExecuteRequest(
        **{"instance_name": target.instance, "action_digest": wanted, "digest_function": number, **fields}
    )
    return Run(target, target.execution.Execute(request))


def wait(target: Target, name: str) -> Run:
    """WaitExecution."""
    return Run(target, target.execution.WaitExecution(rx.WaitExecutionRequest(name=name)))


def ended(target: Target, wanted: rx.Digest, function: str = "", **fields: Any) -> rx.ExecuteResponse:
    """Execute to the end; a refusal before there is an operation becomes a response, too."""
    try:
        return execute(target, wanted, function, **fields).end()
    except grpc.RpcError as error:
        ended_with, words = error.code(), error.details()
    assert ended_with is not Code.UNKNOWN, words
    return rx.ExecuteResponse(status=status_pb2.Status(code=ended_with.value[0], message=words))


def run(target: Target, script: str, inputs: Mapping[str, Node] | None = None, **fields: Any) -> rx.ExecuteResponse:
    """A shell script as an action, to its end."""
    return ended(target, shell(target, script, inputs, **fields), fields.get("function", ""))


def code(target: Target, wanted: rx.Digest, **fields: Any) -> int:
    """With which code the execution of this action ends."""
    return ended(target, wanted, **fields).status.code


def blob(target: Target, name: rx.Digest, function: str = "") -> bytes:
    """The content of a blob; that of no bytes is not asked for."""
    return target.read(target.read_name(name, function)) if name.size_bytes else b""


def stdout(target: Target, response: rx.ExecuteResponse, function: str = "") -> str:
    """What an action wrote to its standard output."""
    assert response.status.code == 0, response.status
    result = response.result
    return (result.stdout_raw or blob(target, result.stdout_digest, function)).decode()


def outputs(response: rx.ExecuteResponse) -> dict[str, str]:
    """What stands at each output path: "file", "directory" or "symlink"."""
    result = response.result
    links = [*result.output_symlinks, *result.output_file_symlinks, *result.output_directory_symlinks]
    return {
        **{file.path: "file" for file in result.output_files},
        **{one.path: "directory" for one in result.output_directories},
        **{link.path: "symlink" for link in links},
    }


def tree(target: Target, output: rx.OutputDirectory) -> rx.Tree:
    """The Tree of an output directory."""
    return rx.Tree.FromString(blob(target, output.tree_digest))


def digests(response: rx.ExecuteResponse) -> Iterator[rx.Digest]:
    """Every digest of a result."""
    result = response.result
    for name in ("stdout_digest", "stderr_digest"):
        if result.HasField(name):
            yield getattr(result, name)
    for file in result.output_files:
        yield file.digest
    for output in result.output_directories:
        yield output.tree_digest
        if output.HasField("root_directory_digest"):
            yield output.root_directory_digest
    for log in response.server_logs.values():
        yield log.digest


def missing_in(status: status_pb2.Status) -> list[str]:
    """The subjects of the MISSING violations in a status."""
    found = []
    for detail in status.details:
        failure = error_details_pb2.PreconditionFailure()
        if detail.Unpack(failure):
            found += [one.subject for one in failure.violations if one.type == "MISSING"]
    return found


def subject(wanted: rx.Digest, function: str = "") -> str:
    """How a violation names a blob (REAPI v2, Execute)."""
    segment = f"{function.lower()}/" if function and function_number(function) > 7 else ""
    return f"blobs/{segment}{wanted.hash}/{wanted.size_bytes}"


def bazel_uploads_again(status: status_pb2.Status) -> bool:
    """Whether Bazel takes this for lost inputs, and uploads them again: its own rule, as its client has it."""
    if status.code != PRECONDITION or not status.details:
        return False
    for detail in status.details:
        kind = detail.type_url.rpartition(".")[2]
        if detail.type_url == _PRECONDITION_URL:
            failure = error_details_pb2.PreconditionFailure()
            if not detail.Unpack(failure) or not failure.violations:
                return False
            if any(one.type != "MISSING" for one in failure.violations):
                return False
        elif kind not in _HARMLESS:
            return False
    return any(detail.type_url == _PRECONDITION_URL for detail in status.details)


def pants_uploads_again(status: status_pb2.Status) -> bool:
    """Whether Pants does: one detail, and subjects of three parts."""
    if status.code != PRECONDITION or len(status.details) != 1:
        return False
    subjects = missing_in(status)
    return bool(subjects) and all(len(one.split("/")) == 3 and one.startswith("blobs/") for one in subjects)


def same(left: Iterable[rx.Digest], right: Iterable[rx.Digest]) -> bool:
    """Whether two lists hold the same digests."""
    return sorted(map(key, left)) == sorted(map(key, right))


def noise(data: bytes) -> rx.Digest:
    """The digest of a blob that nobody has."""
    return digest(data + uuid_bytes())
