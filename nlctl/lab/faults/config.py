"""Configs that are wrong, or not what runs."""

from __future__ import annotations

from typing import Final

from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Injection
from nlctl.lab.lab import Lab


def _mistake(lab: Lab) -> None:
    lab.edit("worker-2", "fast_slow: {", "fastslow: {")


def _mistake_used(lab: Lab) -> None:
    _mistake(lab)
    lab.apply()


def _changed(lab: Lab) -> None:
    lab.edit("worker-2", "max_retries: 5", "max_retries: 9")


def _zero(lab: Lab) -> None:
    lab.edit("scheduler", "supported_platform_properties: {", "worker_timeout_s: 0, supported_platform_properties: {")
    lab.apply()


FAULTS: Final = (
    Injection(
        "config-mistake",
        "a config file has a mistake",
        "Somebody edited the config of worker-2 and mistyped a key. It runs on with the old text until its next start.",
        _mistake,
        "NLD-CFG-01",
        mended_by=("recorded",),
    ),
    Injection(
        "config-mistake-used",
        "a part was started with a config that is wrong",
        "The same mistake, and worker-2 was started with it: it ended at once.",
        _mistake_used,
        "NLD-CFG-01",
        mended_by=("recorded",),
    ),
    Injection(
        "config-changed",
        "a part runs with an older config",
        "Somebody gave worker-2 more patience in its file, and did not start it anew.",
        _changed,
        "NLD-CFG-02",
        Verdict.WARNING,
        mended_by=("restart_parts",),
    ),
    Injection(
        "config-zero",
        "a zero that means something else",
        "worker_timeout_s is 0, which reads like `never` and means the default.",
        _zero,
        "NLD-CFG-01",
        Verdict.WARNING,
        mended_by=("lint_edits",),
    ),
)
