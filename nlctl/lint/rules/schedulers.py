"""Schedulers and the workers that join them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from nlctl.lint.finding import Finding, Severity
from nlctl.lint.rule import Rule, as_severe, rule
from nlctl.lint.scene import Asked, File, Scene, address

_CLIENT_REFRESH_SECONDS: Final = 10


@rule(
    "NL-CFG-121",
    Severity.WARNING,
    "workers offer a property that their scheduler does not list",
    "such a property restricts only workers that announce it, so an action that asks for it runs anywhere else too",
)
def unlisted(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Properties of workers that the scheduler has no type for."""
    for file, worker, scheduler in joined(scene):
        known = scheduler.supported_platform_properties or {}
        for name, offer in worker.platform_properties.items():
            if name not in known:
                what = f'workers offer "{name}", which the scheduler that they join does not list'
                fix = f'"{name}": "exact" in its supported_platform_properties'
                yield self.at(file, offer, "", what, fix)


@rule(
    "NL-CFG-123",
    Severity.ERROR,
    "a minimum property without a number",
    "the scheduler compares it as a number, so it refuses the worker",
)
def no_number(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Values of properties that the scheduler types `minimum`."""
    for file, worker, scheduler in joined(scene):
        known = scheduler.supported_platform_properties or {}
        for name, offer in worker.platform_properties.items():
            wrong = [value for value in offer.values or () if not (value.isascii() and value.isdigit())]
            if str(known.get(name, "")) == "minimum" and wrong:
                what = f'"{name}" is a minimum, and this worker offers "{wrong[0]}"'
                yield self.at(file, offer, "values", what, f'a number, or type "{name}" as exact')


@rule(
    "NL-CFG-124",
    Severity.WARNING,
    "a priority property that workers answer differently",
    "of a priority property only the presence counts: an action gets a worker with any value of it",
    nlx="NLX015",
)
def differs(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Properties typed `priority` for which workers offer different values."""
    offers: dict[tuple[int, str], set[tuple[str, ...]]] = {}
    for _, worker, scheduler in joined(scene):
        for name, offer in worker.platform_properties.items():
            if offer.values is not None:
                offers.setdefault((id(scheduler), name), set()).add(tuple(offer.values))
    for file, scheduler in scene.tagged("simple"):
        for name, kind in (scheduler.supported_platform_properties or {}).items():
            values = offers.get((id(scheduler), name), set())
            if str(kind) == "priority" and len(values) > 1:
                what = f'"{name}" is priority, and workers offer {len(values)} different values of it'
                yield self.at(file, scheduler, "supported_platform_properties", what, f'"{name}": "exact"')


@rule(
    "NL-CFG-130",
    Severity.ERROR,
    "workers speak too seldom for their scheduler",
    "a worker says that it lives twice in its timeout; one silent for worker_timeout_s is dropped with its work",
)
def silent(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Worker timeouts against the scheduler's patience."""
    for file, worker, scheduler in joined(scene):
        endpoint = worker.worker_api_endpoint
        every, patience = endpoint.seconds / 2, scheduler.worker_timeout_s
        if every <= patience / 2:
            continue
        what = f"a worker speaks every {every:g} s, and its scheduler drops it after {patience} s of silence"
        found = self.at(file, endpoint, "timeout", what, f"worker_timeout_s: {max(30, int(every * 4))}")
        yield found if every >= patience else as_severe(found, Severity.WARNING)


@rule(
    "NL-CFG-137",
    Severity.WARNING,
    "client_action_timeout_s is too short",
    "clients of long builds say every 10 seconds that they still wait; what nobody waits for is dropped",
)
def impatient(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Operations that are dropped while their client waits."""
    for file, scheduler in scene.tagged("simple"):
        if scheduler.client_action_timeout_s <= _CLIENT_REFRESH_SECONDS:
            what = f"operations are dropped {scheduler.client_action_timeout_s} s after their client was heard last"
            yield self.at(file, scheduler, "client_action_timeout_s", what, "client_action_timeout_s: 60")


@rule(
    "NL-CFG-140",
    Severity.ERROR,
    "a scheduler that no worker can join",
    "every action of its clients waits for ever",
)
def unjoined(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Schedulers that execute and have no worker_api anywhere in their process."""
    for file in scene.files:
        listeners = [one for one in scene.listeners if one.file is file]
        apis = {api.scheduler for one in listeners if (api := one.service("worker_api")) is not None}
        for listener in listeners:
            for item in listener.service("execution") or ():
                scheduler = simple(file, item.scheduler)
                if scheduler is not None and item.scheduler not in apis:
                    joined_by = f"workers join {', '.join(sorted(apis))}" if apis else "this process has no worker_api"
                    what = f"actions go to '{item.scheduler}', and {joined_by}"
                    yield self.at(file, item, "scheduler", what, f'worker_api: {{ scheduler: "{item.scheduler}" }}')


@rule(
    "NL-CFG-142",
    Severity.WARNING,
    "two workers have one name",
    "logs and `nlctl workers` cannot tell them apart",
)
def same_name(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Worker names that stand in two files."""
    first: dict[str, File] = {}
    for file, worker in scene.workers():
        if worker.name and first.setdefault(worker.name, file) is not file:
            what = f"{first[worker.name].name} has a worker '{worker.name}' too"
            yield self.at(file, worker, "name", what, 'name: "${WORKER_NAME}"')


@rule(
    "NL-CFG-146",
    Severity.ERROR,
    "a scheduler's state in a store that cannot keep it",
    "the state needs a redis_store that stands in `stores` by itself, in the mode standard or sentinel",
    nlx="NLX018",
)
def unfit_backend(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Redis backends of schedulers that name a cluster, a wrapped store or one of another kind."""
    for file, backend in scene.tagged("redis"):
        store = next((entry.spec for entry in file.config.stores if entry.name == backend.redis_store), None)
        if store is not None and (store.tag != "redis_store" or str(getattr(store, "mode", "")) == "cluster"):
            kind = "a redis cluster" if store.tag == "redis_store" else f"a {store.tag}"
            what = f"'{backend.redis_store}' is {kind}"
            yield self.at(file, backend, "redis_store", what, "name a redis_store of its own")


@rule(
    "NL-CFG-151",
    Severity.WARNING,
    "a worker says what it does not know of its machine",
    "actions for one kind of machine are then given to another, where they fail with: exec format error",
    nlx="NLX007",
)
def assumed(self: Rule, scene: Scene) -> Iterator[Finding]:
    """A fixed instruction set, and an empty operating system."""
    for file, worker in scene.workers():
        for name, offer in worker.platform_properties.items():
            values = tuple(offer.values or ())
            if name in ("OSFamily", "ISA", "Arch", "cpu_arch") and values and not any(values):
                yield self.at(file, offer, "values", f'this worker offers an empty "{name}"', _ASK[name == "OSFamily"])
            elif name in ("ISA", "Arch", "cpu_arch") and _is_fixed(file, offer, values):
                other = bool(scene.disk.machine) and _plain(scene.disk.machine) not in map(_plain, values)
                here = f", and this machine is {scene.disk.machine}" if other else ""
                what = f'"{name}" is {values[0]} wherever this worker runs{here}'
                found = self.at(file, offer, "values", what, _ASK[False])
                yield found if other else as_severe(found, Severity.INFO)


_ASK: Final = {
    True: 'values: ["linux"], or ask the machine: { query_cmd: "uname -s" }',
    False: 'ask the machine: { query_cmd: "uname -m" }, or give it by a variable',
}


def _is_fixed(file: File, offer: Any, values: tuple[str, ...]) -> bool:
    written = file.says(offer, "values")
    return bool(values) and written is not None and not any("$" in str(one.content) for one in written.items)


def _plain(machine: str) -> str:
    """One word for each instruction set: x86-64, amd64 and x86_64 are the same."""
    word = machine.lower().replace("-", "_")
    return {"amd64": "x86_64", "x64": "x86_64", "aarch64": "arm64"}.get(word, word)


@rule(
    "NL-CFG-157",
    Severity.WARNING,
    "actions may ask for more time than workers give",
    "a worker refuses an action whose timeout is more than its max_action_timeout_s, 20 minutes by default",
    nlx="NLX017",
)
def too_long(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Timeouts of tests in a .bazelrc against what workers give; without one, Bazel's longest default."""
    limits = [(worker.max_action_timeout_s, file, worker) for file, worker in scene.workers()]
    if not limits:
        return
    least, file, worker = min(limits, key=lambda one: one[0])
    asked = [(one, max(map(int, times))) for one in scene.asked if (times := _times(one))]
    for one, longest in asked:
        if longest > least:
            what = f"tests ask for up to {longest} s, and workers give {least} s"
            yield self.on(one, what, f"max_action_timeout_s: {longest} for every worker")
    if not asked and least < _ETERNAL_SECONDS:
        what = f'this worker gives {least} s, and Bazel asks {_ETERNAL_SECONDS} s for tests with timeout = "eternal"'
        fix = f"max_action_timeout_s: {_ETERNAL_SECONDS}"
        yield as_severe(self.at(file, worker, "max_action_timeout_s", what, fix), Severity.INFO)


_ETERNAL_SECONDS: Final = 3600


def _times(asked: Asked) -> list[str]:
    return [text for text in asked.value.split(",") if text.isdigit()] if asked.option == "--test_timeout" else []


def joined(scene: Scene) -> Iterator[tuple[File, Any, Any]]:
    """Every worker with the simple scheduler that it joins, where that is among the files."""
    for file, worker in scene.workers():
        _, port = address(worker.worker_api_endpoint.uri)
        for listener in scene.at(port):
            api = listener.service("worker_api")
            scheduler = simple(listener.file, api.scheduler) if api is not None else None
            if scheduler is not None:
                yield file, worker, scheduler


def simple(file: File, name: str) -> Any:
    """The `simple` scheduler behind this name; None when it is another kind or there is none."""
    scheduler: Any = next((entry.spec for entry in file.config.schedulers or () if entry.name == name), None)
    while scheduler is not None and scheduler.tag != "simple":
        scheduler = getattr(scheduler, "scheduler", None)
    return scheduler
