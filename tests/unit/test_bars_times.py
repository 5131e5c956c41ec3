"""Spacing, periods per year, date ranges and printed times."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.bar_times import compute_periods_per_year, compute_spacing, find_range, format_times
from backtest.errors import InputError

HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS


def to_ns(*texts):
    return np.array(texts, dtype="M8[ns]").astype(np.int64)


def business_days(n_days, first="2020-01-02"):
    days = np.busday_offset(first, np.arange(n_days), roll="forward")
    return days.astype("M8[ns]").astype(np.int64)


def describe(stamps):
    spacing = compute_spacing(stamps)
    return spacing, compute_periods_per_year(stamps, spacing)


@pytest.mark.parametrize(
    ("step_hours", "spacing"),
    [
        (1 / 60, "intraday"),
        (19.99, "intraday"),
        (20, "daily"),
        (95.9, "daily"),
        (96, "weekly"),
        (359, "weekly"),
        (360, "monthly"),
        (24 * 90, "monthly"),
    ],
)
def test_the_median_step_tells_the_spacing(step_hours, spacing):
    steps = np.full(10, int(step_hours * HOUR_NS))
    steps[0] *= 50  # one gap does not matter
    assert compute_spacing(np.cumsum(steps)) == spacing


def test_trading_days_have_252_periods_a_year():
    assert describe(business_days(500)) == ("daily", 252.0)


def test_days_with_weekends_have_365_periods_a_year():
    assert describe(np.arange(100) * DAY_NS) == ("daily", 365.0)


def test_a_few_special_saturdays_do_not_make_a_seven_day_market():
    stamps = np.sort(np.append(business_days(500), to_ns("2020-11-14", "2021-11-06")))
    assert describe(stamps) == ("daily", 252.0)


def test_weeks_and_months_have_52_and_12_periods_a_year():
    assert describe(np.arange(60) * 7 * DAY_NS) == ("weekly", 52.0)
    months = np.arange("2010-01", "2015-01", dtype="M8[M]").astype("M8[ns]").astype(np.int64)
    assert describe(months) == ("monthly", 12.0)


def test_five_minute_bars_of_a_stock_exchange_have_252_times_78_periods_a_year():
    session = 14 * HOUR_NS + HOUR_NS // 2 + np.arange(78) * 5 * 60 * 10**9
    stamps = (business_days(30)[:, None] + session).ravel()
    half_day = np.concatenate([stamps[: 78 * 3], stamps[78 * 3 + 36 :]])
    assert describe(half_day) == ("intraday", 252.0 * 78)


def test_minute_bars_around_the_clock_have_365_times_1440_periods_a_year():
    assert describe(np.arange(10 * 1440) * 60 * 10**9) == ("intraday", 365.0 * 1440)


def test_currencies_that_open_on_sunday_evening_keep_252_days():
    hours = np.arange(0, 60 * 24) * HOUR_NS + to_ns("2020-01-05")[0]  # a Sunday
    weekday, hour = (hours // DAY_NS + 3) % 7, hours // HOUR_NS % 24
    is_open = (weekday < 4) | ((weekday == 4) & (hour < 22)) | ((weekday == 6) & (hour >= 22))
    assert describe(hours[is_open]) == ("intraday", 252.0 * 24)


DAILY = to_ns("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06")
HOURLY = to_ns(*(f"2020-01-0{day}T{hour:02d}:00" for day in (1, 2, 3) for hour in range(24)))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (0, 4)),
        ("", " ", (0, 4)),
        ("2020-01-02", None, (1, 4)),
        (None, "2020-01-03", (0, 3)),
        ("2020-01-02", "2020-01-02", (1, 2)),
        ("2020-01-04", "2020-01-06", (3, 4)),
        ("20200102", "2020-W01-5", (1, 3)),
        # A daily bar has no hour: its date is what counts, in whatever zone it is written.
        ("2020-01-02T23:00:00-05:00", "2020-01-03T00:30:00+09:00", (1, 3)),
        ("2020-01-02T09:30", "2020-01-03T00:00:00Z", (1, 3)),
        ("0001-01-01", "9999-12-31", (0, 4)),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", (0, 4)),
    ],
)
def test_bounds_of_daily_bars_are_inclusive_dates(start, end, expected):
    assert find_range(DAILY, "daily", start, end) == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2020-01-02", "2020-01-02", (24, 48)),  # a bare end date includes its whole day
        ("2020-01-02T01:00", "2020-01-02T02:00:00Z", (25, 27)),  # naive is UTC; both inclusive
        ("2020-01-01T20:00:00-05:00", "2020-01-02T01:00", (25, 26)),
        ("2020-01-02T00:30", "2020-01-02T01:00", (25, 26)),
        (None, "2020-01-01T00:00", (0, 1)),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", (0, 72)),
    ],
)
def test_bounds_of_intraday_bars_are_instants(start, end, expected):
    assert find_range(HOURLY, "intraday", start, end) == expected


def test_a_printed_nanosecond_can_be_used_as_bound():
    stamps = HOURLY[:3] + 123_456_789
    printed = format_times(stamps, "intraday")
    assert printed[1] == "2020-01-01T01:00:00.123456789Z"
    assert find_range(stamps, "intraday", printed[1], printed[1]) == (1, 2)


@pytest.mark.parametrize(
    ("start", "end", "fields"),
    [
        ("yesterday", None, {"start"}),
        ("2020-02-30", "20-1-1", {"start", "end"}),
        ("2020-01-03", "2020-01-02", {"start"}),
        ("2020-01-04", "2020-01-05", {"start"}),
        ("2021-01-01", None, {"start"}),
        (None, "2019-12-31", {"end"}),
        ("2019-01-01", "2019-12-31", {"end"}),
        ("2021-01-01", "2022-01-01", {"start"}),
    ],
)
def test_bounds_without_bars_name_the_field_at_fault(start, end, fields):
    with pytest.raises(InputError) as caught:
        find_range(DAILY, "daily", start, end)
    assert {error.field for error in caught.value.errors} == fields


def test_an_empty_range_says_where_the_data_lies():
    with pytest.raises(InputError, match="the data runs from 2020-01-01 to 2020-01-06"):
        find_range(DAILY, "daily", "2030-01-01", None)


def test_times_are_printed_as_dates_or_with_z():
    assert format_times(DAILY[:2], "daily") == ["2020-01-01", "2020-01-02"]
    assert format_times(HOURLY[1:2], "intraday") == ["2020-01-01T01:00:00Z"]
    mixed = HOURLY[:3] + np.array([0, 5 * 10**8, 1_000])
    assert format_times(mixed, "intraday") == [
        "2020-01-01T00:00:00Z",
        "2020-01-01T01:00:00.500Z",
        "2020-01-01T02:00:00.000001Z",
    ]
    assert format_times(DAILY[:0], "intraday") == []


@given(
    st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),
    st.one_of(st.none(), st.timezones()),
    st.one_of(st.none(), st.timezones()),
    st.timedeltas(timedelta(0), timedelta(days=3)),
    st.sampled_from(["daily", "intraday"]),
)
def test_any_mix_of_naive_and_aware_bounds_is_read_or_refused(moment, zone, other, span, spacing):
    start = moment.replace(tzinfo=zone)
    end = (moment + span).replace(tzinfo=other)
    try:
        first, stop = find_range(HOURLY, spacing, start.isoformat(), end.isoformat())
    except InputError:
        return
    if spacing == "intraday":
        lower, upper = (item if item.tzinfo else item.replace(tzinfo=UTC) for item in (start, end))
        inside = [
            lower <= datetime.fromtimestamp(stamp / 1e9, UTC) <= upper for stamp in HOURLY.tolist()
        ]
        assert inside == [first <= idx < stop for idx in range(HOURLY.size)]
