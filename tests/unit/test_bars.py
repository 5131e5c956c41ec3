"""Bars: what is refused, what is clamped, what is warned about, and their hash."""

import csv
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.bars import (
    COLUMNS,
    Bars,
    adjust_bars,
    build_bars,
    collect_warnings,
    compute_dataset_hash,
    filter_bars,
)
from backtest.errors import InputError

DATA = Path(__file__).resolve().parents[2] / "data"
DAY_NS = 86_400 * 10**9


def build_sample(n_bars=3, **columns):
    """Build flat daily bars around 100 with single columns replaced."""
    defaults = {
        "timestamps": np.arange(n_bars) * DAY_NS,
        "open": np.full(n_bars, 100.0),
        "high": np.full(n_bars, 101.0),
        "low": np.full(n_bars, 99.0),
        "close": np.full(n_bars, 100.0),
        "volume": np.full(n_bars, 10.0),
    }
    return build_bars(**{**defaults, **columns})


def load_aapl():
    with (DATA / "AAPL.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stamps = np.array([row["Date"] for row in rows], dtype="M8[ns]").astype(np.int64)
    names = ("Open", "High", "Low", "Close", "Volume", "Adj Close")
    return build_bars(stamps, *([float(row[name]) for row in rows] for name in names))


def list_errors(**columns):
    with pytest.raises(InputError) as caught:
        build_sample(**columns)
    return caught.value.errors


def test_bars_are_contiguous_read_only_and_of_one_type():
    bars, _ = build_sample(open=[100, 100, 100])
    for name in COLUMNS:
        array = getattr(bars, name)
        assert array.dtype == (np.int64 if name == "timestamps" else np.float64)
        assert array.flags.c_contiguous
        assert array.shape == (bars.n_bars,)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        bars.close = bars.open


def test_columns_of_different_lengths_are_a_programming_error():
    bars, _ = build_sample()
    columns = {name: getattr(bars, name) for name in COLUMNS}
    with pytest.raises(ValueError, match=r"volume has shape \(2,\)"):
        Bars(**{**columns, "volume": np.ones(2)}, spacing="daily", periods_per_year=252.0)


def test_building_leaves_the_callers_arrays_alone():
    high = np.array([101.0, 99.995, 101.0])
    bars, _ = build_sample(high=high)
    assert high[1] == 99.995
    assert bars.high[1] == 100.0
    high[0] = 7.0
    assert bars.high[0] == 101.0


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), -float("inf")])
def test_a_price_must_be_finite_and_above_zero(column, value):
    prices = [100.0, value, 100.0]
    errors = list_errors(**{column: prices})
    named = [error for error in errors if f"column {column}:" in error.message]
    assert any("row 2 (the first bar is row 1)" in error.message for error in named)
    assert {str(error.value) for error in named} >= {str(value)}
    assert {error.field for error in errors} == {"file"}


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_volume_must_be_finite_and_not_negative(value):
    (error,) = list_errors(volume=[1.0, 1.0, value])
    assert "row 3" in error.message
    assert "column volume" in error.message


@pytest.mark.parametrize("value", [0.0, -2.0, float("nan"), 1e-310, 1e305])
def test_an_adjusted_close_must_leave_usable_prices(value):
    (error,) = list_errors(
        adj_close=[100.0, value, 100.0], high=[101.0, 1e7, 101.0], volume=[1, 1e7, 1]
    )
    assert "row 2" in error.message
    assert "column adj close" in error.message


def test_times_must_increase():
    (error,) = list_errors(timestamps=np.array([0, 1, 1]) * DAY_NS)
    assert (error.value, "same time" in error.message) == ("1970-01-02", True)
    (error,) = list_errors(timestamps=np.array([0, 3, 2]) * DAY_NS)
    assert "row 3" in error.message
    assert "oldest first" in error.message


def test_two_times_of_one_day_are_duplicates_in_daily_data():
    stamps = np.array([0, DAY_NS, DAY_NS + 7, 3 * DAY_NS, 4 * DAY_NS])
    (error,) = list_errors(n_bars=5, timestamps=stamps)
    assert error.value == "1970-01-02"


def test_one_bar_is_not_enough_and_none_neither():
    for n_bars in (0, 1):
        (error,) = list_errors(n_bars=n_bars)
        assert (error.value, "at least 2" in error.message) == (n_bars, True)


def test_rows_are_named_as_the_file_numbers_them_and_counted():
    with pytest.raises(InputError) as caught:
        build_sample(open=[1, -1, -1], low=[1, 1, 1], row_numbers=[2, 5, 9], row_note="in the file")
    (error,) = caught.value.errors
    assert "row 5 (in the file), column open" in error.message
    assert "2 rows are like this" in error.message


@pytest.mark.parametrize(
    ("price", "miss", "is_refused"),
    [
        (100.0, 0.01, False),  # exactly 0.01, although 100.01 - 100.00 is a little more in binary
        (100.0, 0.0101, True),
        (1_000_000.0, 1.0, False),  # 1e-6 of the price
        (1_000_000.0, 1.01, True),
        (0.5, 0.005, False),  # the cap of 1e-2 of the price
        (0.5, 0.0051, True),
    ],
)
def test_a_high_or_low_may_miss_by_a_rounding_error_only(price, miss, is_refused):
    flat = [price] * 2
    for column, value in (("high", price - miss), ("low", price + miss)):
        columns = {"open": flat, "high": flat, "low": flat, "close": flat, column: [price, value]}
        if is_refused:
            (error,) = list_errors(n_bars=2, **columns)
            assert f"row 2 (the first bar is row 1), column {column}" in error.message
            continue
        bars, warnings = build_sample(n_bars=2, **columns)
        assert getattr(bars, column)[1] == price
        assert [(item.code, item.count, item.first) for item in warnings] == [
            ("clamped_bar", 1, "1970-01-02")
        ]


def test_without_volume_it_is_zero_and_said_so():
    bars, warnings = build_sample(volume=None)
    assert bars.volume.tolist() == [0.0, 0.0, 0.0]
    assert [(item.code, item.count) for item in warnings] == [("zero_volume", 3)]
    assert "no bar has any volume" in warnings[0].message


def test_single_bars_without_volume_are_counted():
    _, warnings = build_sample(volume=[1, 0, 0])
    assert [(item.code, item.count, item.first) for item in warnings] == [
        ("zero_volume", 2, "1970-01-02")
    ]


def test_a_week_without_data_is_no_gap_but_eight_days_are():
    assert build_sample(timestamps=np.array([0, 7, 8]) * DAY_NS)[1] == ()
    stamps = np.array([0, 1, 9, 10]) * DAY_NS
    _, (warning,) = build_sample(n_bars=4, timestamps=stamps)
    assert (warning.code, warning.count, warning.first) == ("date_gap", 1, "1970-01-10")


def test_a_gap_of_more_nanoseconds_than_int64_counts_is_one():
    stamps = np.array([-89_000, 18_000, 18_001, 18_002]) * DAY_NS  # 1726, then 2019
    _, (warning,) = build_sample(n_bars=4, timestamps=stamps)
    assert (warning.code, warning.count, warning.first) == ("date_gap", 1, "2019-04-14")


def test_gaps_are_looked_for_in_daily_data_only():
    assert build_sample(timestamps=np.array([0, 7, 35]) * DAY_NS)[1] == ()


def test_a_jump_is_more_than_forty_percent_either_way():
    close = np.array([100.0, 140.0, 84.0, 84.0 * 1.41, 84.0 * 1.41 * 0.59])
    _, (warning,) = build_sample(
        n_bars=5, open=close, high=close, low=close, close=close, timestamps=np.arange(5) * DAY_NS
    )
    assert (warning.code, warning.count, warning.first) == ("price_jump", 2, "1970-01-04")


def test_aapl_jumps_three_times_raw_and_once_adjusted():
    bars, warnings = load_aapl()
    assert [(item.code, item.count, item.first) for item in warnings] == [
        ("price_jump", 3, "2000-06-21")
    ]
    adjusted = collect_warnings(adjust_bars(bars))
    assert [(item.code, item.count, item.first) for item in adjusted] == [
        ("price_jump", 1, "2000-09-29")
    ]


def test_aapl_gains_what_the_definitions_say():
    bars, _ = load_aapl()
    adjusted = adjust_bars(bars)
    assert round(adjusted.close[-1] / adjusted.close[0] - 1, 3) == 12.409
    assert round(bars.close[-1] / bars.close[0] - 1, 3) == 2.303


def test_adjusting_multiplies_prices_divides_volume_and_happens_once():
    bars, _ = build_sample(adj_close=[50.0, 50.0, 100.0])
    assert bars.has_adjustment
    assert bars.adj_factor.tolist() == [0.5, 0.5, 1.0]
    adjusted = adjust_bars(bars)
    assert adjusted.open.tolist() == [50.0, 50.0, 100.0]
    assert adjusted.high.tolist() == [50.5, 50.5, 101.0]
    assert adjusted.low.tolist() == [49.5, 49.5, 99.0]
    assert adjusted.close.tolist() == [50.0, 50.0, 100.0]
    assert adjusted.volume.tolist() == [20.0, 20.0, 10.0]
    assert not adjusted.has_adjustment
    assert adjust_bars(adjusted) is adjusted


def test_a_part_keeps_spacing_and_periods_of_the_whole():
    bars, _ = build_sample(n_bars=14, timestamps=np.arange(14) * DAY_NS)
    part = filter_bars(bars, "1970-01-05", "1970-01-06")
    assert (part.n_bars, part.spacing, part.periods_per_year) == (2, "daily", 365.0)
    assert filter_bars(bars, None, None) is bars


def hash_slowly(bars):
    """The hash as its docstring words it, one number at a time."""
    digest = hashlib.sha256(b"stock-backtest bars 1\n")
    digest.update(struct.pack("<Q", bars.n_bars))
    for name in ("timestamps", "open", "high", "low", "close", "volume", "adj_factor"):
        for value in getattr(bars, name).tolist():
            digest.update(struct.pack("<q" if name == "timestamps" else "<d", value))
    return digest.hexdigest()


@given(
    st.lists(st.floats(0.01, 1e9), min_size=2, max_size=20),
    st.floats(0.1, 2.0),
    st.integers(-(10**9), 10**9),
)
def test_the_hash_is_the_one_its_docstring_describes(closes, factor, first_day):
    stamps = (first_day % 50_000 + np.arange(len(closes))) * DAY_NS
    bars, _ = build_bars(stamps, closes, closes, closes, closes, None, np.array(closes) * factor)
    assert compute_dataset_hash(bars) == hash_slowly(bars)


def test_the_hash_of_aapl_never_changes():
    bars, _ = load_aapl()
    expected = "2b04488126d156f77fd5df0e2c2115adcc344717c833022a13ec834768fa3b2e"
    assert compute_dataset_hash(bars) == expected


def test_the_hash_sees_every_column_and_forgives_what_is_equal():
    base, _ = build_sample()
    changes = {
        "timestamps": np.array([0, 1, 3]) * DAY_NS,
        "open": [100.5, 100.0, 100.0],
        "high": [101.0, 101.0, 102.0],
        "low": [98.0, 99.0, 99.0],
        "close": [100.0, 100.0, 100.5],
        "volume": [10.0, 11.0, 10.0],
        "adj_close": [50.0, 100.0, 100.0],
    }
    hashes = {compute_dataset_hash(build_sample(**{name: new})[0]) for name, new in changes.items()}
    assert len(hashes | {compute_dataset_hash(base)}) == len(changes) + 1
    # A clamped bar is the bar it is clamped to, and minus zero is zero.
    clamped, _ = build_sample(high=[101.0, 99.995, 101.0], volume=[0.0, 1.0, 1.0])
    plain, _ = build_sample(high=[101.0, 100.0, 101.0], volume=[-0.0, 1.0, 1.0])
    assert compute_dataset_hash(clamped) == compute_dataset_hash(plain)
