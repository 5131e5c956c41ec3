"""The suite's report: `--reliability-report FILE` writes what was broken, and what was seen."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chaos_report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reliability-report",
        metavar="FILE",
        type=Path,
        help="write the table of cases and outcomes to this file, as docs/reliability.md is",
    )


_REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = Report()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Where a case puts what it saw."""
    return request.config.stash[_REPORT]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    result = yield
    if result.when == "call" or result.skipped:
        item.config.stash[_REPORT].add_test(item.nodeid, result)
    return result


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    file = session.config.getoption("--reliability-report")
    if file is not None:
        machine = f"Python {platform.python_version()}, {platform.machine()}"
        file.write_text(session.config.stash[_REPORT].render(machine))
