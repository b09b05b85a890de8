"""Running actions: aimed at a worker, refused where no worker can, followed to their end, and told phase by phase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, Function, digest_of
from nlserver.reapi.times import Time, moment_of

from nlctl.faults import NO_WORKER, NOT_RUN, UNSUPPORTED, Fault, Fix, fix
from nlctl.launch.wish import AIM
from nlctl.session import Session, Target
from nlctl.ui import human_span
from nlctl.worker_ids import worker_name

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.reapi.client import Client, Outcome, Prepared, Uploaded

_SHOWN: Final = 10
_MS: Final = 1_000_000


def aim(endpoint: str, worker: str) -> str:
    """The value of the property `nlctl-worker` that sends an action to this worker, given by name or id.

    The admin service is asked. Raises Fault UNKNOWN_WORKER, or UNSUPPORTED where workers do not offer their names.
    """
    from nlctl import admin

    found = admin.workers_named(endpoint, [worker])[0]
    if not found.properties.get(AIM):
        raise _no_aim(worker, f"{found.name} offers no platform property {AIM}")
    return found.properties[AIM][0]


async def announced_aim(target: Target, remote: Client, worker: str) -> str:
    """The same, from a name, where there is no admin service. Raises Fault UNSUPPORTED unless it is announced."""
    offered = (await remote.capabilities()).execution_capabilities.supported_node_properties
    if AIM not in offered:
        raise _no_aim(worker, f"{target.executor} does not announce the platform property {AIM}")
    return worker


async def aimed(target: Target, remote: Client, worker: str) -> dict[str, str]:
    """The property that sends an action to this worker; none where none is named. Raises as both of the above."""
    if not worker:
        return {}
    if target.admin is not None:
        return {AIM: aim(target.admin, worker)}
    return {AIM: await announced_aim(target, remote, worker)}


def _no_aim(worker: str, why: str) -> Fault:
    return Fault(
        UNSUPPORTED,
        f"an action cannot be aimed at {worker!r} here",
        why=f"{why}; clusters of nlctl up give each worker its own",
        fixes=[
            fix("let the scheduler choose: leave --on out"),
            fix("ask for a property that only this worker has: --platform NAME=VALUE"),
        ],
    )


def refuse_what_no_worker_can(target: Target, wanted: Iterable[tuple[str, str]]) -> None:
    """Raises Fault NO_WORKER; a server without the admin service is not asked."""
    if target.admin is None:
        return
    from nlctl import admin

    asked = list(wanted)
    found = admin.explain_properties(target.admin, asked)
    if not found.workers:
        add = fix("add some", "nlctl", "up", "--workers", "3")
        raise Fault(NO_WORKER, "no worker is connected to the scheduler", fixes=[add])
    if found.unsatisfiable:
        raise Fault(
            NO_WORKER,
            "no worker can run this action",
            why="\n".join(f"{one.worker} {one.reason}" for one in found.workers[:_SHOWN]),
            fixes=[
                fix("drop or change a --platform", "nlctl", "workers", "match", *map("=".join, asked)),
                *adding(target.admin, asked),
                fix("see what is offered", "nlctl", "workers", "ls"),
            ],
        )


def unheeded(target: Target, names: Iterable[str]) -> list[str]:
    """The properties among these that no connected worker offers: such a one keeps an action from no worker."""
    if target.admin is None or not (asked := list(names)):
        return []
    from nlctl import admin

    offered = {name for one in admin.workers(target.admin) for name in one.properties}
    return [name for name in asked if name not in offered]


def adding(endpoint: str, asked: Sequence[tuple[str, str]]) -> list[Fix]:
    """The command that adds a worker with those of these properties that no worker offers, each asked for by itself."""
    from nlctl import admin

    alone = [one for one in asked if one[0] != AIM and admin.explain_properties(endpoint, [one]).unsatisfiable]
    # Where each is offered by somebody, one worker must offer all of them.
    words = [word for name, value in alone or asked if name != AIM for word in ("--property", f"{name}={value}")]
    return [fix("add a worker that offers it", "nlctl", "workers", "add", *words)] if words else []


async def performed(
    session: Session,
    target: Target,
    remote: Client,
    made: Prepared,
    *,
    no_cache: bool = False,
    on_uploaded: Sent | None = None,
) -> Outcome:
    """The outcome of an action.

    Raises Fault NOT_RUN, after showing what the command wrote until then, UNSUPPORTED where nothing is executed; Error.
    """
    from nlserver.reapi.client import ExecutionFailed

    try:
        return await remote.perform(
            made,
            skip_cache_lookup=no_cache,
            on_state=lambda state: session.ui.waiting(f"{state.stage.name.lower()}"),
            on_uploaded=on_uploaded,
        )
    except ExecutionFailed as error:
        result = error.response.result
        show(session, result.stdout_raw, result.stderr_raw)
        raise not_run(target, error) from error
    except Error as error:
        if error.code is Code.UNIMPLEMENTED:
            raise executes_nothing(target, made.action) from error
        raise


def executes_nothing(target: Target, action: Digest) -> Fault:
    """The server stores blobs and has no workers."""
    name = action.written
    return Fault(
        UNSUPPORTED,
        "this server executes nothing",
        why=f"{target.executor} does not know Execute of the Remote Execution API",
        fixes=[
            fix("run the command here", "nlctl", "action", "local", name),
            fix("point --endpoint at a server that executes"),
        ],
    )


def not_run(target: Target, error: Error) -> Fault:
    """The action could not be brought to its end."""
    logs = fix("see what the parts say", "nlctl", "logs", "--tail", "50")
    return Fault(NOT_RUN, error.message, why=f"{error.code.name} at {target.executor}", fixes=[logs])


def show(session: Session, stdout: bytes, stderr: bytes) -> None:
    """What the command wrote, as it wrote it; in a JSON document there is a place for it."""
    session.ui.waiting("")
    session.ui.raw(stderr, to_error=True)
    if not session.ui.structured:
        session.ui.raw(stdout)


class Sent:
    """What uploads came to, for people: `uploaded 3 of 14 blobs (11 already there)`."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, sent: Uploaded) -> None:
        """The latest upload."""
        there = sent.blobs - sent.uploaded_blobs
        self.text = f"uploaded {sent.uploaded_blobs} of {sent.blobs} blobs ({there} already there)"


def times(found: re_pb.ExecutedActionMetadata) -> dict[str, int | None]:
    """How long each phase of an execution took; None where nobody wrote it down."""
    return {
        "queued_ms": _span(found.queued_timestamp, found.worker_start_timestamp),
        "fetched_ms": _span(found.input_fetch_start_timestamp, found.input_fetch_completed_timestamp),
        "ran_ms": _span(found.execution_start_timestamp, found.execution_completed_timestamp),
        "uploaded_ms": _span(found.output_upload_start_timestamp, found.output_upload_completed_timestamp),
    }


def phases(found: re_pb.ExecutedActionMetadata) -> str:
    """`queued 2ms -> worker-4 -> fetch 9ms -> run 151ms -> upload 6ms`, as far as it was written down."""
    spans = times(found)
    words = {"queued": "queued_ms", "": "", "fetch": "fetched_ms", "run": "ran_ms", "upload": "uploaded_ms"}
    parts = [
        worker_name(found.worker) if not word else f"{word} {human_span(spans[key])}"
        for word, key in words.items()
        if not word or spans[key] is not None
    ]
    return " -> ".join(filter(None, parts))


def streams(outcome: Outcome) -> dict[str, Digest]:
    """The digests of what the command wrote, by `stdout` and `stderr`, where it was kept."""
    named = {"stdout": outcome.result.stdout_digest, "stderr": outcome.result.stderr_digest}
    return {name: digest_of(one, Function(outcome.action.function)) for name, one in named.items() if one.hash}


def files(outcome: Outcome) -> dict[str, Digest]:
    """The digests of output files by their paths."""
    return {one.path: digest_of(one.digest, outcome.action.function) for one in outcome.result.output_files}


def absent(outcome: Outcome, wanted: Sequence[str]) -> list[str]:
    """The outputs among these that the command did not leave."""
    result = outcome.result
    made = {one.path for one in result.output_files} | {one.path for one in result.output_directories}
    for links in (result.output_symlinks, result.output_file_symlinks, result.output_directory_symlinks):
        made |= {one.path for one in links}
    return [path for path in wanted if path.strip("/") not in made]


def facts(outcome: Outcome) -> Mapping[str, Any]:
    """How one execution went, as documents show it."""
    return {
        "exit_code": outcome.exit_code,
        "cached": outcome.cached,
        "worker": outcome.metadata.worker or None,
        **times(outcome.metadata),
    }


def _span(start: Time, end: Time) -> int | None:
    begun, ended = moment_of(start), moment_of(end)
    return (ended - begun) // _MS if begun and ended else None
