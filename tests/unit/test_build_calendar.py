"""The calendar table that ships is what its script writes."""

from __future__ import annotations

import json
from datetime import date
from types import ModuleType

import pytest

from tests.support.scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("build_calendar")


def test_the_table_is_written_as_it_ships(script):
    text = script.TABLE.read_text()
    assert script.render_table(json.loads(text)) == text


def test_the_table_runs_from_the_five_day_week_to_the_end_of_a_year(script):
    table = json.loads(script.TABLE.read_text())
    assert table["first"] == script.FIRST_DAY.isoformat()
    assert table["last"].endswith("-12-31")
    for year, days in table["closed_weekdays"].items():
        dates = [date.fromisoformat(f"{year}-{day}") for day in days]
        assert dates == sorted(set(dates))
        assert all(day.weekday() < 5 for day in dates)
    years = [int(year) for year in table["closed_weekdays"]]
    assert years == list(range(1952, int(table["last"][:4]) + 1))
