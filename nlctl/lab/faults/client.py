"""A Bazel workspace that does not go with the cluster: the doctor is asked from inside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab


def _with(line: str) -> Callable[[Lab], Clue]:
    """A workspace with this line in its .bazelrc, in which `{executor}` is the lab's own."""

    def workspace(lab: Lab) -> Clue:
        folder = lab.ledger.run / "workspace"
        folder.mkdir(exist_ok=True)
        lab.write(folder / "MODULE.bazel", "")
        lab.write(folder / ".bazelrc", f"{line.format(executor=lab.target.executor)}\n")
        return Clue(folder=str(folder))

    return workspace


FAULTS: Final = (
    Injection(
        "unused-cluster",
        "the workspace does not use the cluster",
        "A workspace of Bazel was cloned anew, and its .bazelrc says nothing of the cluster.",
        _with("build --keep_going"),
        "NLD-CLI-01",
        Verdict.INFO,
    ),
    Injection(
        "other-server",
        "the .bazelrc names another server",
        "The workspace sends its builds to a server that was given up.",
        _with("build --remote_executor=grpc://build.invalid:8980"),
        "NLD-CLI-01",
        Verdict.WARNING,
    ),
    Injection(
        "other-function",
        "the .bazelrc names a digest function that nobody serves",
        "The workspace names blobs by SHA-1, as an old server wanted it: every upload is refused.",
        _with("startup --digest_function=sha1"),
        "NLD-CLI-02",
        Verdict.WARNING,
    ),
    Injection(
        "hidden-results",
        "the .bazelrc hides the cache",
        "Somebody measured without the cache and left --noremote_accept_cached behind: no result is ever used.",
        _with("build --noremote_accept_cached"),
        "NLD-CLI-03",
        Verdict.WARNING,
    ),
    Injection(
        "missing-options",
        "the .bazelrc leaves out what would help",
        "The workspace builds on the cluster with --remote_executor alone: it downloads more than it needs, and a blob "
        "that was evicted ends the build.",
        _with("build --remote_executor={executor}"),
        "NLD-CLI-03",
        Verdict.INFO,
    ),
)
