"""PublishBuildEvent: keeping what Bazel tells of a build."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.spec import Text, Unavailable


@dataclass(frozen=True, kw_only=True)
class BepSpec(Unavailable):
    """Takes the build event stream of Bazel and keeps it. Not available yet."""

    ignores_unknown = True
    called = "the service experimental_bep"
    instead = "Let Bazel write it to a file: --build_event_json_file."

    store: Text
    """The store, by its name in `stores`."""
