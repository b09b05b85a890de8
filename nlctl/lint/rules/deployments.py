"""What compose files and objects of Kubernetes do with the processes that the configs describe."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from nlserver.config.document import Value
from nlserver.config.environment import UnsetError, expand
from nlserver.store import StoreSpec

from nlctl.lint.containers import Container
from nlctl.lint.finding import Finding, Severity
from nlctl.lint.nodes import Node
from nlctl.lint.rule import Rule, as_severe, rule
from nlctl.lint.scene import File, Scene

_NUMBERED: Final = re.compile(r"(?P<stem>.*?)[-_]?\d+")
_READ_BY_PROGRAMS: Final = re.compile(
    r"(?:RUST|NL|NLCTL|OTEL|AWS|AZURE|GOOGLE|GRPC|SSL|DOCKER|COMPOSE|MALLOC|PYTHON)_\w+|\w*_?(?:proxy|PROXY)"
    r"|PATH|HOME|USER|SHELL|TZ|LANG|LC_\w+|TMPDIR|HOSTNAME|LD_\w+|PUID|PGID"
)
_REFERENCE: Final = re.compile(r"\$\{?(\w+)")
_PROBES: Final = ("readinessProbe", "livenessProbe", "startupProbe")
_KEPT_WORKLOADS: Final = ("Deployment", "StatefulSet")


@rule(
    "NL-CFG-147",
    Severity.WARNING,
    "a deployment file that cannot be read",
    "none of its containers was judged",
)
def unreadable(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Files that are no YAML."""
    for one in scene.broken:
        yield self.on(one, f"it is no YAML: {one.reason}", "mend the marked place")


@rule(
    "NL-CFG-148",
    Severity.WARNING,
    "services that cannot be scaled",
    "--scale multiplies one service; numbered copies of it stay as many as are written",
    nlx="NLX003",
)
def unscalable(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Numbered copies of a service, and advice to scale a service that is not there."""
    services = {one.name.text: one for one in scene.containers if one.workload is None}
    copies: dict[str, list[Container]] = defaultdict(list)
    for name, one in services.items():
        if match := _NUMBERED.fullmatch(name):
            copies[match["stem"]].append(one)
    for stem, same in copies.items():
        if len(same) > 1 and same[0].is_ours and len({(one.image, one.command) for one in same}) == 1:
            what = f"{', '.join(one.name.text for one in same)} are copies of one service"
            found = self.on(same[0].name, what, f'one service "{stem}" with deploy.replicas')
            yield as_severe(found, Severity.INFO)
    for asked in scene.asked:
        if asked.option == "--scale" and services and asked.value not in services:
            stems = ", ".join(one.name.text for one in copies.get(asked.value, ()))
            what = f'there is no service "{asked.value}" to scale' + (f", only {stems}" if stems else "")
            yield self.on(asked, what, f'one service "{asked.value}" in the compose file')


@rule(
    "NL-CFG-149",
    Severity.WARNING,
    "something is given to a container that its config does not use",
    "what should be shared, kept or told apart by it is not",
    nlx="NLX004",
)
def unused(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Volumes where no path of the config lies, and variables that it does not read."""
    for container in scene.containers:
        files = scene.run_by(container)
        if not files:
            continue
        said = [text for file in files for text in _texts(file, container.environment)]
        names = ", ".join(file.name for file in files)
        for mount in container.mounts:
            folder = mount.target.rstrip("/") + "/"
            if mount.is_named and not container.workload and not any(f"{text}/".startswith(folder) for text in said):
                what = f"{container.name.text} mounts {mount.source} at {mount.target}, and no path of {names} is there"
                yield self.on(mount.node, what, "take it out, or move the config's paths there")
        read = {name for file in files for name in _variables(file)} | set(_REFERENCE.findall(container.command))
        for variable in container.variables:
            if variable.name not in read and not _READ_BY_PROGRAMS.fullmatch(variable.name):
                what = f"{container.name.text} is given {variable.name}, which {names} does not read"
                fix = f'take it out, or use it: "${{{variable.name}}}"'
                yield self.on(variable.node, what, fix)


def _texts(file: File, environment: Mapping[str, str]) -> Iterator[str]:
    """The texts of a config as they are in a container with these variables."""
    return _expanded(file.values.values(), environment)


def _expanded(values: Iterable[Value], environment: Mapping[str, str]) -> Iterator[str]:
    for value in values:
        if isinstance(value.content, str):
            with suppress(UnsetError):
                yield expand(value.content, environment)


def _variables(file: File) -> set[str]:
    """What a config reads of its environment, also in commands that workers ask for values."""
    return {
        name
        for value in file.values.values()
        if isinstance(value.content, str)
        for name in _REFERENCE.findall(value.content)
    }


@rule(
    "NL-CFG-150",
    Severity.WARNING,
    "a service that starts before what it needs listens",
    "started is not ready: the first calls fail, and logs begin with errors that mean nothing",
    nlx="NLX006",
)
def too_early(self: Rule, scene: Scene) -> Iterator[Finding]:
    """`depends_on` without service_healthy."""
    ours = {one.name.text for one in scene.containers if one.is_ours or scene.run_by(one)}
    for container in scene.containers:
        needs = container.body.get("depends_on") if container.workload is None else None
        if needs is None or container.name.text not in ours:
            continue
        for name in _started_only(needs):
            if name.text in ours:
                what = f"{container.name.text} waits for the start of {name.text} only"
                fix = f"{name.text}: {{ condition: service_healthy }}, and a healthcheck there"
                yield self.on(name, what, fix)


def _started_only(needs: Node) -> Iterator[Node]:
    yield from needs.items
    for name, how in needs.pairs:
        if how.said("condition") in ("", "service_started"):
            yield name


@rule(
    "NL-CFG-153",
    Severity.WARNING,
    "a privileged container",
    "an action that breaks out of its process owns the machine; the sandbox needs a few capabilities, not all",
    nlx="NLX009",
)
def privileged(self: Rule, scene: Scene) -> Iterator[Finding]:
    """`privileged: true`, in either kind of file."""
    for container in scene.containers:
        said = container.body.get("privileged") or container.body.get("securityContext", "privileged")
        if said and said.text.lower() == "true":
            fix = "cap_add: [SYS_ADMIN] where namespaces are used, nothing where they are not"
            yield self.on(said, f"{container.name.text} is privileged", fix)


@rule(
    "NL-CFG-154",
    Severity.WARNING,
    "a pod that keeps the CAS in its own file system",
    "the blobs go with the pod: every restart is a cold cache, and results in the action cache lose their outputs",
    nlx="NLX010",
)
def fleeting(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Directories of a CAS that no volume of the pod, or one that ends with it, holds."""
    for container, _ in _of_pods(scene):
        for file in scene.run_by(container):
            for path in _served_directories(file, scene, container.environment):
                over = [one for one in container.mounts if f"{path}/".startswith(one.target.rstrip("/") + "/")]
                mount = max(over, key=lambda one: len(one.target), default=None)
                volume = container.volume(mount.source) if mount else None
                if mount is not None and not (volume and volume.get("emptyDir")):
                    continue
                node = mount.node if mount else container.name
                where = f"in the emptyDir {mount.source}" if mount else "on no volume"
                what = f"{path}, where {file.name} keeps its CAS, is {where}"
                yield self.on(node, what, "a StatefulSet with volumeClaimTemplates, mounted there")


def _served_directories(file: File, scene: Scene, environment: Mapping[str, str]) -> list[str]:
    served = [item.cas_store for one in scene.listeners if one.file is file for item in one.service("cas") or ()]
    kept = [one for name in served for one in _kept(file, file.store(name))]
    written = [file.says(one, "content_path") for one in kept]
    return sorted(set(_expanded(filter(None, written), environment)))


def _kept(file: File, store: Any, hops: int = 8) -> Iterator[Any]:
    """The stores on disk that a store is made of; references may lead in a circle."""
    if store is None or hops == 0:
        return
    if store.tag == "filesystem":
        yield store
    for value in vars(store).values():
        for item in value if isinstance(value, tuple) else (value,):
            inner = getattr(item, "store", item)
            if isinstance(inner, StoreSpec):
                yield from _kept(file, file.behind(inner), hops - 1)


@rule(
    "NL-CFG-155",
    Severity.WARNING,
    "nobody asks whether a container is well",
    "clients are sent to it before it listens, and one that hangs is never started anew",
    nlx="NLX010",
)
def unprobed(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Containers of pods with listeners and no probes."""
    for container, _ in _of_pods(scene):
        listens = any(one.file in scene.run_by(container) for one in scene.listeners)
        if not listens or any(container.body.get(probe) for probe in _PROBES):
            continue
        fix = "readinessProbe: { httpGet: { path: /status, port: ... } }, and health: {} on that listener"
        yield self.on(container.name, f"{container.name.text} has no probes", fix)


@rule(
    "NL-CFG-156",
    Severity.INFO,
    "workers that may be stopped all at once",
    "draining nodes evicts every pod at a time that no PodDisruptionBudget keeps, and with them what runs there",
    nlx="NLX010",
)
def unguarded(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Workloads of workers without any disruption budget among the files."""
    if any(one.said("kind") == "PodDisruptionBudget" for one in scene.deployments):
        return
    for container, workload in _of_pods(scene):
        if workload.said("kind") in _KEPT_WORKLOADS and any(file.config.workers for file in scene.run_by(container)):
            what = f"there is no PodDisruptionBudget for {container.name.text}"
            yield self.on(container.name, what, "one with maxUnavailable: 1")


@rule(
    "NL-CFG-158",
    Severity.ERROR,
    "a telemetry endpoint that is no URL",
    "NativeLink ends with a panic at start where the scheme or the port is missing",
    nlx="NLX019",
)
def no_url(self: Rule, scene: Scene) -> Iterator[Finding]:
    """NL_OTEL_ENDPOINT without scheme or port."""
    for _, value, node in _given(scene, "NL_OTEL_ENDPOINT"):
        if value and "$" not in value and not _URL.fullmatch(value):
            host = re.sub(r"^\w+://|[:/].*$", "", value) or "collector"
            what = f'NL_OTEL_ENDPOINT "{value}" lacks its {_lacking(value)}'
            yield self.on(node, what, f"http://{host}:4317")


_URL: Final = re.compile(r"https?://[^/:]+:\d+/?.*")


def _lacking(value: str) -> str:
    port = bool(re.search(r":\d+(?:/|$)", value))
    return "port" if "://" in value and not port else "scheme" if port else "scheme and port"


@rule(
    "NL-CFG-159",
    Severity.WARNING,
    "a log level that hides why actions wait",
    "why an action matches no worker is logged at info, and nowhere else on NativeLink",
    nlx="NLX020",
)
def silenced(self: Rule, scene: Scene) -> Iterator[Finding]:
    """RUST_LOG above info, where a scheduler runs or where it is not known what runs."""
    for container, value, node in _given(scene, "RUST_LOG"):
        files = scene.run_by(container)
        schedules = any(file.config.schedulers for file in files) if files else container.is_ours
        if schedules and _hides(value):
            what = f'RUST_LOG "{value}" hides what the scheduler says of waiting actions'
            yield self.on(node, what, "info; or on NativeLink warn,nativelink_scheduler=info")


def _hides(filter_: str) -> bool:
    levels = [part.rpartition("=")[2].strip().lower() for part in filter_.split(",")]
    return levels[0] in ("warn", "error", "off") and not {"info", "debug", "trace"} & set(levels)


def _of_pods(scene: Scene) -> Iterator[tuple[Container, Node]]:
    """The containers of pods, and the objects that make those."""
    for container in scene.containers:
        if container.workload is not None:
            yield container, container.workload


def _given(scene: Scene, name: str) -> Iterator[tuple[Container, str, Node]]:
    """The containers that are given a variable, and its value."""
    for container in scene.containers:
        for variable in container.variables:
            if variable.name == name:
                yield container, variable.value or "", variable.node
