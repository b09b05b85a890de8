"""The suite's options, its server, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from tests.conformance.assets import is_fetching
from tests.conformance.catalogue import CATALOGUE
from tests.conformance.origin import Origin
from tests.conformance.own import MEMORY_INSTANCE, OTHER_INSTANCE, Own
from tests.conformance.target import Target, not_applicable
from tests.conformance.verdicts import Ended, Outcome, counts, document, rows, table

_RULES: Final = "conformance rules"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--target", help="the server to judge, grpc://HOST:PORT; without it one of our own is started")
    group.addoption("--instance", default="", help="the instance to use there")
    group.addoption("--other-instance", help="a second instance of it, for the rules that need two")
    group.addoption("--conformance-json", type=Path, help="also write the verdicts to this file, as JSON")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        proved = [rule_id for mark in item.iter_markers("rule") for rule_id in mark.args]
        departed = [rule_id for mark in item.iter_markers("departure") for rule_id in mark.args]
        if not proved and not departed:
            continue
        item.user_properties.append((_RULES, [*proved, *departed]))
        # So that `-k FMB-01` and `-k FMB` choose by rule and section.
        item.extra_keyword_matches.update([*proved, *departed])
        if _is_own(config) and any(mark.kwargs.get("refused") for mark in item.iter_markers("rule")):
            pages = ", ".join(sorted({CATALOGUE.refused[rule_id].page for rule_id in proved}))
            item.add_marker(pytest.mark.xfail(raises=(AssertionError, grpc.RpcError), strict=True, reason=pages))
        if departed and not _is_own(config):
            item.add_marker(pytest.mark.skip(reason="what our own server answers"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Only rules that the catalogue names may not apply to our own server, and only tests may fail as expected."""
    report = yield
    if report.when == "setup" and hasattr(report, "wasxfail"):
        # A server that did not start has refused nothing.
        report.outcome = "failed"
        report.longrepr = call.excinfo.getrepr() if call.excinfo else "no setup"
        del report.wasxfail
    missing = [one for mark in item.iter_markers("rule") for one in mark.args if one not in CATALOGUE.not_offered]
    if report.skipped and not hasattr(report, "wasxfail") and missing and _is_own(item.config):
        report.outcome = "failed"
        report.longrepr = f"{', '.join(missing)}: does our server not offer this? {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    outcomes = list(_outcomes(terminalreporter.stats))
    if not outcomes:
        return
    made = rows(CATALOGUE, outcomes)
    where = config.getoption("target", None) or "our own server"
    terminalreporter.section(f"conformance of {where}")
    for line in (*table(made), "", *counts(CATALOGUE.titles, made)):
        terminalreporter.write_line(line)
    if path := config.getoption("conformance_json", None):
        path.write_text(document(where, made))


def _outcomes(stats: dict[str, list[Any]]) -> Iterator[Outcome]:
    for kind, reports in stats.items():
        for report in reports:
            rules = dict(report.user_properties).get(_RULES) if isinstance(report, pytest.TestReport) else None
            # What a whole session left behind is nothing that its last test did.
            if rules is None or report.when == "teardown" or (report.when == "setup" and report.passed):
                continue
            match kind:
                case "passed":
                    yield Outcome(tuple(rules), Ended.PASSED)
                case "failed" | "error" | "xpassed":
                    yield Outcome(tuple(rules), Ended.FAILED)
                case "xfailed":
                    yield Outcome(tuple(rules), Ended.REFUSED)
                case "skipped":
                    yield Outcome(tuple(rules), Ended.SKIPPED, report.longrepr[2].removeprefix("Skipped: "))


def _is_own(config: pytest.Config) -> bool:
    return config.getoption("target", None) is None


@pytest.fixture(scope="session")
def maybe_own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own | None]:
    """Our own server, unless another one is judged. At its end its log, its files and its memory are looked at."""
    if not _is_own(request.config):
        yield None
        return
    own = Own(tmp_path_factory.mktemp("own"))
    yield own
    own.close()


@pytest.fixture
def own(maybe_own: Own | None) -> Own:
    """Our own server as a process, for rules that show only from inside."""
    return maybe_own or not_applicable("shows only from inside of the server's process")


@pytest.fixture(scope="session")
def session_target(request: pytest.FixtureRequest, maybe_own: Own | None) -> Iterator[Target]:
    """The server that is judged."""
    if maybe_own is not None:
        target = Target(maybe_own.address, "", OTHER_INSTANCE)
    else:
        option = request.config.getoption
        target = Target(option("target").removeprefix("grpc://"), option("instance"), option("other_instance"))
    yield target
    target.close()


@pytest.fixture
def target(session_target: Target) -> Iterator[Target]:
    """The server that is judged, from which no test may learn anything about its Python."""
    session_target.leaks.clear()
    yield session_target
    assert session_target.leaks == []


@pytest.fixture
def roomy(target: Target, maybe_own: Own | None) -> str:
    """The instance for tests with very many blobs: on our own server one that waits for no disk."""
    return target.instance if maybe_own is None else MEMORY_INSTANCE


@pytest.fixture
def worker(target: Target, maybe_own: Own | None) -> None:
    """At least one worker is there, so that actions run."""
    if maybe_own is None:
        if not target.capabilities.execution_capabilities.exec_enabled:
            not_applicable("execution is not offered")
    elif not maybe_own.workers:
        maybe_own.start_worker()


@pytest.fixture
def origin(target: Target) -> Iterator[Origin]:
    """An HTTP server from which the target fetches."""
    made = Origin()
    try:
        if not is_fetching(target, made.has("/probe", b"probe")):
            not_applicable("it fetches nothing from this machine")
        yield made
    finally:
        made.close()
