"""What parts run with, by what is left of it: a fingerprint for each part, the files, and the shape of the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nlctl.launch.backend import Report
from nlctl.launch.ledger import Ledger
from nlctl.launch.reconcile import Asked, Config, plan
from nlctl.launch.templates import template
from nlctl.launch.wish import rendered


def texts(ledger: Ledger, reports: Sequence[Report]) -> Mapping[str, tuple[str | None, str]]:
    """For each part that runs, the text it runs with and that of its file.

    The first is None for a file that was edited both before the part was started and since.
    """
    running = {one.name: one.fingerprint for one in reports}
    configs = plan(ledger, Asked(), reports).configs
    return {
        config.member.name: (_running(config, running[config.member.name]), config.text)
        for config in configs
        if config.member.name in running
    }


def _running(config: Config, fingerprint: str) -> str | None:
    ours = rendered(template(config.member.template), config.member.values)
    for text in (config.text, ours):
        if Config(config.member, text, config.generated).fingerprint == fingerprint:
            return text
    return None
