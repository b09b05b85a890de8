"""Directories that stores and workers write: whose they are, and on which disk."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Final

from nlserver.spec import Spec
from nlserver.store import StoreSpec

from nlctl.lint.finding import Finding, Severity
from nlctl.lint.rule import Rule, as_severe, rule
from nlctl.lint.scene import File, Runs, Scene

_FORMS: Final = ("compression", "dedup")
"""Kinds below which values stand in another form than they are asked for."""


@dataclass(frozen=True)
class _Use:
    """A directory, by the key that names it. `form` tells the kinds that change what is kept in it."""

    file: File
    spec: Any
    key: str
    path: str
    form: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """For another finding to point at."""
        place = self.file.config.place(self.spec, self.key)
        return f"{self.file.name}:{place.line}"


def _uses(scene: Scene) -> Iterator[_Use]:
    for file in scene.files:
        for entry in file.config.stores:
            yield from _of_store(file, entry.spec, ())
        for worker in file.config.workers or ():
            yield _Use(file, worker, "work_directory", posixpath.normpath(_text(worker, "work_directory")))


def _of_store(file: File, store: Any, form: tuple[str, ...]) -> Iterator[_Use]:
    if store.tag == "filesystem":
        for key in ("content_path", "temp_path"):
            yield _Use(file, store, key, posixpath.normpath(getattr(store, key)), form)
    below = (*form, store.tag) if store.tag in _FORMS else form
    for value in vars(store).values():
        for item in value if isinstance(value, tuple) else (value,):
            inner = getattr(item, "store", item)
            if isinstance(inner, StoreSpec):
                yield from _of_store(file, inner, below)


def _text(spec: Spec, key: str) -> str:
    return str(getattr(spec, key))


@rule(
    "NL-CFG-108",
    Severity.ERROR,
    "two processes share one content_path",
    "each NativeLink process evicts by its own books, so each deletes the other's blobs; and temp_path is emptied",
    nlx="NLX012",
)
def shared(self: Rule, scene: Scene) -> Iterator[Finding]:
    """A store's directory in several processes: right with nlserver while both keep it alike, wrong on NativeLink."""
    for first, again in _pairs(scene, "content_path"):
        if first.file is again.file or first.form != again.form:
            continue
        what = f'content_path "{again.path}" is used by {first.where} too'
        fix = "give each process a directory of its own, and let workers share the CAS by a grpc store"
        if scene.runs is Runs.NATIVELINK:
            yield self.at(again.file, again.spec, again.key, what, fix)
        elif first.spec.eviction_policy != again.spec.eviction_policy:
            why = "nlserver's processes may share it, but each evicts by the limits that its own config states"
            found = self.at(again.file, again.spec, again.key, what, "state the same eviction_policy in both", why=why)
            yield as_severe(found, Severity.WARNING)
        else:
            why = "nlserver's processes keep one set of books in the directory; NativeLink's would delete each other's"
            found = self.at(again.file, again.spec, again.key, what, f"{fix}, if NativeLink shall run this", why=why)
            yield as_severe(found, Severity.INFO)


@rule(
    "NL-CFG-113",
    Severity.ERROR,
    "a work_directory is not the worker's alone",
    "a worker deletes everything in its work_directory when it starts, the work and blobs of others included",
)
def shared_work(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Work directories that hold, or lie in, another directory of a config."""
    uses = list(_uses(scene))
    for first, again in combinations(uses, 2):
        work, other = (first, again) if first.key == "work_directory" else (again, first)
        if work.key != "work_directory":
            continue
        if _within(other.path, work.path):
            relation = "is also" if other.path == work.path else "holds"
            what = f'work_directory "{work.path}" {relation} the {other.key} of {other.where}'
            yield self.at(work.file, work.spec, work.key, what, 'a directory of its own: "/.../work/${WORKER_NAME}"')
        elif _within(work.path, other.path):
            what = f'work_directory "{work.path}" lies in the {other.key} of {other.where}'
            yield self.at(work.file, work.spec, work.key, what, 'a directory of its own: "/.../work/${WORKER_NAME}"')


@rule(
    "NL-CFG-114",
    Severity.ERROR,
    "one directory has two roles",
    "what one store keeps is foreign to the other: it is taken for its own, counted twice, or deleted",
    nlx="NLX005",
)
def two_roles(self: Rule, scene: Scene) -> Iterator[Finding]:
    """A content_path twice in one process, or a content_path that is somewhere a temp_path."""
    for first, again in _pairs(scene, "content_path"):
        if first.file is again.file:
            what = f'content_path "{again.path}" is that of the store in line {first.where.rpartition(":")[2]}, too'
            yield self.at(again.file, again.spec, again.key, what, "a directory for each store")
    uses = [use for use in _uses(scene) if use.key != "work_directory"]
    for first, again in combinations(uses, 2):
        if first.path == again.path and first.key != again.key and first.spec is not again.spec:
            what = f'{again.key} "{again.path}" is the {first.key} of {first.where}'
            yield self.at(again.file, again.spec, again.key, what, "a directory for each role")


@rule(
    "NL-CFG-134",
    Severity.ERROR,
    "one directory is read in two forms",
    "compressed or cut values have other bytes than their digest says: whoever reads them as they stand gets garbage",
)
def two_forms(self: Rule, scene: Scene) -> Iterator[Finding]:
    """A directory below compression here and without it there."""
    for first, again in _pairs(scene, "content_path"):
        if first.file is not again.file and first.form != again.form:
            forms = [" and ".join(use.form) or "as it is" for use in (first, again)]
            what = f'"{again.path}" is kept {_said(forms[1])} here and {_said(forms[0])} by {first.where}'
            yield self.at(
                again.file, again.spec, again.key, what, "reach it by a grpc store to the process that owns it"
            )


def _said(form: str) -> str:
    return form if form == "as it is" else f"below {form}"


@rule(
    "NL-CFG-127",
    Severity.WARNING,
    "temp_path is on another device than content_path",
    "a finished blob is renamed from one to the other, which fails between devices",
    nlx="NLX013",
)
def other_device(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Directories of one store on two file systems of this machine."""
    for file, store in scene.tagged("filesystem"):
        content, temp = (scene.disk.devices.get(path) for path in (store.content_path, store.temp_path))
        if content is not None and temp is not None and content != temp:
            what = f'temp_path "{store.temp_path}" is on another device than content_path "{store.content_path}"'
            yield self.at(file, store, "temp_path", what, "a directory beside content_path")


@rule(
    "NL-CFG-129",
    Severity.WARNING,
    "work_directory is on another device than the fast tier",
    "inputs are hard links into the fast tier, which cannot cross devices",
)
def links_across(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Workers whose inputs would have to be copied."""
    for file, worker in scene.workers():
        tiers = file.store(worker.cas_fast_slow_store)
        fast = file.behind(getattr(tiers, "fast", None))
        if fast is None or fast.tag != "filesystem":
            continue
        work, content = (scene.disk.devices.get(path) for path in (worker.work_directory, fast.content_path))
        if work is not None and content is not None and work != content:
            what = f'work_directory "{worker.work_directory}" is on another device than "{fast.content_path}"'
            yield self.at(file, worker, "work_directory", what, f"a directory beside {fast.content_path}")


def _pairs(scene: Scene, key: str) -> Iterator[tuple[_Use, _Use]]:
    """Neighbours among the uses of one path under this key."""
    table: dict[str, list[_Use]] = defaultdict(list)
    for use in _uses(scene):
        if use.key == key:
            table[use.path].append(use)
    for uses in table.values():
        yield from pairwise(uses)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
