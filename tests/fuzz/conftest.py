"""Counts what is tried: each test tells its number, and a run of this directory alone ends with their sum."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.fuzz import executions
from tests.server.worker.conftest import cas, cas_spec, runner, shop, site, workspace

__all__ = ["cas", "cas_spec", "runner", "shop", "site", "workspace"]

_NAME = "fuzz executions"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    before = executions.count
    try:
        return (yield)
    finally:
        item.user_properties.append((_NAME, executions.count - before))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = {
        report.nodeid: number
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, number in report.user_properties
        if name == _NAME and isinstance(number, int) and number
    }
    if counts:
        terminalreporter.section("fuzz executions")
        for test, number in sorted(counts.items(), key=lambda item: -item[1]):
            terminalreporter.write_line(f"{number:>9,}  {test}")
        terminalreporter.write_line(f"{sum(counts.values()):>9,}  in all")
