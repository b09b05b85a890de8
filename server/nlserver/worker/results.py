"""What becomes of a finished action besides the answer: its action cache entry, its record, its message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from nlserver import log
from nlserver.errors import Error
from nlserver.reapi.digest import Digest, of
from nlserver.spec import Spec, Text

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb
    from nlserver.store import Store

Strategy = Literal["success_only", "never", "everything", "failures_only"]
_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_KNOWN: Final = frozenset(
    (
        "digest_function",
        "action_digest_hash",
        "action_digest_size",
        "historical_results_hash",
        "historical_results_size",
    )
)


@dataclass(frozen=True, kw_only=True)
class UploadSpec(Spec):
    """Where results go beside the scheduler, and with which message."""

    ac_store: str | None = None
    """Root store for action results: the action cache. Required unless `upload_ac_results_strategy` is "never"."""
    upload_ac_results_strategy: Strategy = "success_only"
    """Which results enter the action cache: those with exit code 0 ("success_only"), others ("failures_only"), all
    ("everything") or none ("never"). Never those of actions that say `do_not_cache`, timed out or could not run."""
    historical_results_store: str | None = None
    """Root store for records of executions; the worker's CAS store when absent."""
    upload_historical_results_strategy: Strategy | None = "failures_only"
    """Which executions are recorded, as a HistoricalExecuteResponse under its own digest."""
    success_message_template: Text = ""
    """The message that clients get with exit code 0, if one of the two uploads is due. Placeholders:
    `{digest_function}`, `{action_digest_hash}`, `{action_digest_size}`, `{historical_results_hash}`,
    `{historical_results_size}`; `{{` and `}}` are braces."""
    failure_message_template: Text = ""
    """The message in every other case, if one of the two uploads is due."""

    @classmethod
    def problems(cls, values: Self) -> list[str]:
        """An action cache is needed unless nothing goes there, and templates must be well formed."""
        found = [
            f"'{name}': {problem}"
            for name in ("success_message_template", "failure_message_template")
            for problem in template_problems(getattr(values, name))
        ]
        if values.ac_store is None and values.upload_ac_results_strategy != "never":
            found.append("'ac_store' is required unless 'upload_ac_results_strategy' is \"never\"")
        return found


def template_problems(template: str) -> list[str]:
    """What is wrong with a message template."""
    found: list[str] = []
    for match in _PLACEHOLDER.finditer(template):
        text, name = match.group(0), match.group(1)
        if text in "{}":
            found.append(f"a single {text!r} at character {match.start()}; write {text * 2!r}")
        elif name is not None and name not in _KNOWN:
            found.append(f"{{{name}}} is unknown; known are {', '.join(sorted(_KNOWN))}")
    return found


def rendered(template: str, values: Mapping[str, str]) -> str:
    """A well-formed template with its placeholders filled in."""

    def filled(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group(0)[0] if name is None else values[name]

    return _PLACEHOLDER.sub(filled, template)


class Results:
    """Keeps results by the strategies of an UploadSpec. Failures to keep are logged and harm no action."""

    def __init__(self, spec: UploadSpec, ac_store: Store | None, historical: Store) -> None:
        self._spec = spec
        self._ac_store = ac_store
        self._historical = historical

    async def keep(self, action: Digest, response: re_pb.ExecuteResponse, *, cacheable: bool) -> None:
        """Write what is due and set the response's message. `cacheable` is False where `do_not_cache` was asked."""
        succeeded = response.result.exit_code == 0 and response.status.code == 0
        cached = (
            cacheable
            and self._ac_store is not None
            and response.status.code == 0
            and _due(self._spec.upload_ac_results_strategy, succeeded)
        )
        recorded = _due(self._spec.upload_historical_results_strategy or "failures_only", succeeded)
        record = await self._record(action, response) if recorded else None
        if cached or recorded:
            template = self._spec.success_message_template if succeeded else self._spec.failure_message_template
            response.message = rendered(template, _values(action, record)) if template else ""
        if cached and self._ac_store is not None:
            await self._write(self._ac_store, action, response.result.SerializeToString(), "action cache")

    async def _record(self, action: Digest, response: re_pb.ExecuteResponse) -> Digest | None:
        from nlserver.proto import worker_api_pb2

        made = worker_api_pb2.HistoricalExecuteResponse(execute_response=response)
        made.action_digest.hash, made.action_digest.size_bytes = action.hash, action.size_bytes
        data = made.SerializeToString()
        digest = of(data, action.function)
        return digest if await self._write(self._historical, digest, data, "historical results") else None

    async def _write(self, store: Store, key: Digest, data: bytes, where: str) -> bool:
        try:
            await store.put(key, data)
        except Error as error:
            log.error("Error saving action in store", store=where, digest=key, error=error)
            return False
        return True


def _due(strategy: Strategy, succeeded: bool) -> bool:
    return strategy == "everything" or strategy == ("success_only" if succeeded else "failures_only")


def _values(action: Digest, record: Digest | None) -> dict[str, str]:
    return {
        "digest_function": action.function.name.lower(),
        "action_digest_hash": action.hash,
        "action_digest_size": str(action.size_bytes),
        "historical_results_hash": record.hash if record else "",
        "historical_results_size": str(record.size_bytes) if record else "",
    }
