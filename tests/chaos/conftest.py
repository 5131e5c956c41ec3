"""The suite's report: `--reliability-report FILE` writes what was broken, and what was seen."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.support.chaos_outcome import Outcome
from tests.support.chaos_report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reliability-report",
        metavar="FILE",
        type=Path,
        help="write the table of cases and outcomes to this file, as docs/reliability.md is",
    )


_REPORT = pytest.StashKey[Report]()
_CASE = "case"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = report = Report()
    # Tests run in processes of their own; what they saw comes back with their results.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Collector(report))


class _Collector:
    """Puts results into the report, wherever they come from."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and not report.skipped:
            return
        self._report.add_test(report.nodeid, report)
        for name, value in report.user_properties:
            if name == _CASE and report.passed:
                case, database, outcome = value
                self._report.add_case(case, database, Outcome(**outcome))


@pytest.fixture
def note_case(request: pytest.FixtureRequest) -> Callable[[str, str, Outcome], None]:
    """How a case says what it saw: its name, the database and the outcome."""

    def note(case: str, database: str, outcome: Outcome) -> None:
        request.node.user_properties.append((_CASE, (case, database, asdict(outcome))))

    return note


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    file = session.config.getoption("--reliability-report")
    if file is not None and not hasattr(session.config, "workerinput"):
        machine = f"Python {platform.python_version()}, {platform.machine()}"
        file.write_text(session.config.stash[_REPORT].render(machine))
