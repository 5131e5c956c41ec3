"""Month ends: by the exchange's calendar where it is known, else on the first bar of the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backtest.bars import Bars, adjust_bars, build_bars, filter_bars
from rules.paper_rules.month_ends import find_month_ends, load_calendar
from storage.bar_files import load_bar_file

DATA = Path(__file__).parents[2] / "data"


def build_days(days: list[str]) -> Bars:
    """Build bars whose close is their number, on 1."""
    stamps = np.array(days, dtype="datetime64[ns]").astype(np.int64)
    close = 1.0 + np.arange(stamps.size)
    return build_bars(stamps, close, close, close, close)[0]


def read_months(bars: Bars) -> list[tuple[str, float]]:
    """Return the deciding bar's date and the month-end close of every month."""
    months = find_month_ends(bars)
    days = bars.timestamps[months.decided].astype("datetime64[ns]").astype("datetime64[D]")
    return list(zip(days.astype(str).tolist(), months.close.tolist(), strict=True))


def test_the_table_knows_the_holidays_that_move_a_months_last_session():
    ends = set(load_calendar().month_ends.astype(str).tolist())
    assert "2002-03-28" in ends, "Good Friday followed"
    assert "2010-05-28" in ends, "a weekend and Memorial Day followed"
    assert {"1999-12-31", "2024-03-28", "2018-03-29", "2026-12-31"} <= ends
    assert "2001-09-28" in ends


def test_the_table_has_one_end_for_every_month_and_no_session_on_a_weekend():
    calendar = load_calendar()
    months = calendar.month_ends.astype("datetime64[M]")
    expected = np.arange(calendar.first.astype("datetime64[M]"), months[-1] + 1)
    np.testing.assert_array_equal(months, expected)
    assert np.is_busday(calendar.sessions).all()
    closed = {"2001-09-11", "2001-09-14", "2012-10-29", "2018-12-05", "2025-01-09", "1968-06-12"}
    assert not closed & set(calendar.sessions.astype(str).tolist())


def test_every_bar_of_the_shipped_data_is_a_session_and_every_month_ends_on_its_last_bar():
    for symbol in ("AAPL", "IBM", "MSFT"):
        bars = adjust_bars(load_bar_file(DATA / f"{symbol}.csv")[0])
        months = bars.timestamps.astype("datetime64[ns]").astype("datetime64[M]")
        last = np.flatnonzero(months[1:] != months[:-1])
        np.testing.assert_array_equal(find_month_ends(bars).decided[: last.size], last)


def test_apples_march_2002_ends_before_good_friday_and_may_2010_before_memorial_day():
    bars = adjust_bars(load_bar_file(DATA / "AAPL.csv")[0])
    spring = read_months(filter_bars(bars, "2002-03-20", "2002-04-05"))
    assert [day for day, _ in spring] == ["2002-03-28"]
    assert [day for day, _ in read_months(filter_bars(bars, "2010-05-03", "2010-06-02"))] == [
        "2010-05-28"
    ]


def test_a_month_end_is_known_on_its_own_bar_even_if_that_is_the_last_one():
    days = ["2002-03-26", "2002-03-27", "2002-03-28"]
    assert read_months(build_days(days)) == [("2002-03-28", 3.0)]
    assert read_months(build_days(days[:2])) == []


def test_a_month_whose_last_session_has_no_bar_has_no_month_end():
    days = ["2002-03-26", "2002-03-27", "2002-04-01", "2002-04-02", "2002-04-30", "2002-05-01"]
    assert read_months(build_days(days)) == [("2002-04-30", 5.0)]


def test_from_a_bar_on_a_holiday_on_the_calendar_is_unknown():
    # Good Friday 2002-03-29 is no session: these are not New York's bars.
    days = ["2002-02-27", "2002-02-28", "2002-03-01", "2002-03-28", "2002-03-29", "2002-04-01"]
    days += ["2002-04-30", "2002-05-01", "2002-05-02"]
    bars = build_days(days)
    # March was decided on the 28th before the calendar was denied, and is not decided again; April
    # ends with its last bar, which the first bar of May tells.
    assert read_months(bars) == [("2002-02-28", 2.0), ("2002-03-28", 4.0), ("2002-05-01", 7.0)]
    for n_bars in range(2, len(days)):
        cut = read_months(build_days(days[:n_bars]))
        assert cut == read_months(bars)[: len(cut)]


def test_a_weekend_bar_denies_the_calendar_too():
    days = ["2021-01-29", "2021-01-30", "2021-01-31", "2021-02-01", "2021-02-28", "2021-03-01"]
    assert read_months(build_days(days)) == [("2021-01-29", 1.0), ("2021-03-01", 5.0)]


@pytest.mark.parametrize("year", [1950, 2035])
def test_beyond_the_table_the_first_bar_of_a_month_decides_the_one_before(year):
    days = [f"{year}-01-30", f"{year}-01-31", f"{year}-02-01", f"{year}-02-02"]
    assert read_months(build_days(days)) == [(f"{year}-02-01", 2.0)]


def test_the_month_in_which_the_table_begins_loses_no_end():
    days = ["1952-09-29", "1952-09-30", "1952-10-01", "1952-10-30", "1952-10-31", "1952-11-03"]
    assert read_months(build_days(days)) == [("1952-10-01", 2.0), ("1952-10-31", 5.0)]


def test_every_monthly_bar_ends_a_month():
    days = ["2001-01-01", "2001-02-01", "2001-03-01"]
    assert read_months(build_days(days)) == list(zip(days, [1.0, 2.0, 3.0], strict=True))


def test_weekly_and_intraday_bars_decide_on_the_first_bar_of_the_new_month():
    weeks = ["2001-01-22", "2001-01-29", "2001-02-05", "2001-02-12"]
    assert read_months(build_days(weeks)) == [("2001-02-05", 2.0)]
    hours = ["2002-03-28T20:00", "2002-03-28T21:00", "2002-04-01T14:00", "2002-04-01T15:00"]
    assert read_months(build_days(hours)) == [("2002-04-01", 2.0)]
