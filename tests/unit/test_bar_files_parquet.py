"""Parquet files: the types that are read, and the files that ask for more than they are worth."""

import datetime as dt
import io
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.bars import compute_dataset_hash, format_times
from backtest.errors import InputError
from storage.bar_files import DEFAULT_LIMITS, FileLimits, load_bar_file, load_bar_source

DAYS = ["2020-01-02", "2020-01-03", "2020-01-06"]
DATES = [dt.date.fromisoformat(day) for day in DAYS]
MIDNIGHTS = [dt.datetime.combine(day, dt.time()) for day in DATES]
CLOSE = [1.25, 2.0, 2.5]


def build_columns(**changes):
    columns = {
        "Date": pa.array(MIDNIGHTS, pa.timestamp("us")),
        "Open": pa.array([1.5, 1.25, 2.0]),
        "High": pa.array([2.0, 2.5, 3.0]),
        "Low": pa.array([1.0, 1.0, 1.5]),
        "Close": pa.array(CLOSE),
        "Volume": pa.array([100, 200, 0], pa.int64()),
    }
    return {**columns, **changes}


@pytest.fixture
def load(tmp_path):
    def write_and_load(columns, date_format=None, limits=DEFAULT_LIMITS, **options):
        path = tmp_path / "bars.csv"  # the name decides nothing
        pq.write_table(pa.table(columns), path, **options)
        # In this process: every file here is well-formed. The integration tests have the others.
        return load_bar_source(lambda: path.open("rb"), path.name, date_format, limits)[0]

    return write_and_load


@pytest.fixture
def refuse(load):
    def load_and_catch(columns, **options):
        with pytest.raises(InputError) as caught:
            load(columns, **options)
        return caught.value.errors[0]

    return load_and_catch


@pytest.mark.parametrize(
    "dates",
    [
        pa.array(MIDNIGHTS, pa.timestamp("s")),
        pa.array(MIDNIGHTS, pa.timestamp("ms")),
        pa.array(MIDNIGHTS, pa.timestamp("ns")),
        pa.array(DATES, pa.date32()),
        pa.array(DATES, pa.date64()),
        pa.array(DAYS),
        pa.array(DAYS, pa.large_string()),
        pa.array(DAYS).dictionary_encode(),
        pa.array([1577923200, 1578009600, 1578268800], pa.int64()),
        pa.array([20200102, 20200103, 20200106], pa.int64()).cast(pa.string()),
        # Midnight in New York is five in the morning UTC, and the date is New York's.
        pa.array([m + dt.timedelta(hours=5) for m in MIDNIGHTS], pa.timestamp("s", "US/Eastern")),
        # Midnight in Tokyo lies on the day before in UTC.
        pa.array([m - dt.timedelta(hours=9) for m in MIDNIGHTS], pa.timestamp("us", "Asia/Tokyo")),
        pa.array([m + dt.timedelta(hours=5) for m in MIDNIGHTS], pa.timestamp("us", "-05:00")),
    ],
)  # fmt: skip
def test_every_kind_of_date_column_is_read(load, dates):
    bars = load(build_columns(Date=dates))
    assert format_times(bars.timestamps, bars.spacing) == DAYS
    assert compute_dataset_hash(bars) == compute_dataset_hash(load(build_columns()))


def test_intraday_times_with_a_zone_are_converted_to_utc(load):
    times = [dt.datetime(2020, 1, 2, 14, 30 + minute) for minute in range(3)]
    bars = load(build_columns(Date=pa.array(times, pa.timestamp("ns", "America/New_York"))))
    assert format_times(bars.timestamps, bars.spacing)[0] == "2020-01-02T14:30:00Z"


@pytest.mark.parametrize(
    "close",
    [
        pa.array(CLOSE, pa.float32()),
        pa.array(np.array(CLOSE, dtype=np.float16), pa.float16()),
        pa.array([Decimal("1.25"), Decimal("2"), Decimal("2.5")], pa.decimal128(10, 2)),
        pa.array(CLOSE).dictionary_encode(),
    ],
)
def test_every_kind_of_number_is_read(load, close):
    assert load(build_columns(Close=close)).close.tolist() == CLOSE


def test_what_pandas_writes_with_an_index_is_read(load, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {"Open": CLOSE, "High": CLOSE, "Low": CLOSE, "Close": CLOSE, "Adj Close": [1.0, 1.0, 1.0]},
        index=pd.DatetimeIndex(DAYS, tz="Europe/Berlin"),
    )
    frame.to_parquet(tmp_path / "frame")
    bars, _ = load_bar_file(tmp_path / "frame")
    assert format_times(bars.timestamps, bars.spacing) == DAYS
    assert bars.adj_factor.tolist() == [1 / 1.25, 0.5, 0.4]


def test_a_date_format_applies_to_text_and_whole_numbers(load):
    texts = pa.array(["02/01/2020", "03/01/2020", "06/01/2020"])
    bars = load(build_columns(Date=texts), date_format="%d/%m/%Y")
    assert format_times(bars.timestamps, bars.spacing) == DAYS
    whole = pa.array([20200102, 20200103, 20200106], pa.int32())
    bars = load(build_columns(Date=whole), date_format="%Y%m%d")
    assert format_times(bars.timestamps, bars.spacing) == DAYS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Close": pa.array([1.25, None, 2.5])}, "row 2 (the first bar is row 1), column close: "),
        ({"Close": pa.array([1.25, float("nan"), 2.5])}, "row 2 (the first bar is row 1), column "),
        ({"Close": pa.array(["1", "2", "3"])}, "column close holds string; numbers are read"),
        ({"Close": pa.array([True] * 3)}, "column close holds bool"),
        ({"Close": pa.array([[1.0]] * 3)}, "column close holds list"),
        ({"Close": pa.array([{"a": 1.0}] * 3)}, "column close holds struct"),
        ({"Date": pa.array([[d] for d in DATES])}, "column date holds list"),
        ({"Date": pa.array([1.5, 2.5, 3.5])}, "column date holds double"),
        ({"Date": pa.array([DATES[0], None, DATES[2]])}, "row 2 (the first bar is row 1), column "),
        (
            {"Date": pa.array(["x", "y", "z"])},
            "row 1 (the first bar is row 1), column date: is not",
        ),
        (
            {"Date": pa.array(MIDNIGHTS, pa.timestamp("us", "Mars/Olympus"))},
            "no time zone this mach",
        ),
        ({"Date": pa.array([dt.datetime(9999, 1, d) for d in (1, 2, 3)])}, "beyond the years"),
        ({"Date": pa.array(DATES[::-1])}, "row 2 (the first bar is row 1), column date: earlier"),
        ({"close": pa.array(CLOSE)}, "the columns 'Close' and 'close' mean the same"),
    ],
)
def test_what_cannot_be_bars_is_refused_by_column(refuse, changes, words):
    assert words in refuse(build_columns(**changes)).message


def test_missing_columns_and_rows_are_refused(refuse):
    columns = build_columns()
    del columns["Low"]
    assert "has no column low" in refuse(columns).message
    empty = {name: column.slice(0, 0) for name, column in build_columns().items()}
    assert refuse(empty).message == "has no rows"


def test_a_tiny_file_of_very_many_rows_is_refused_by_its_metadata(refuse):
    n_bars = 3_000_000
    constant = pa.array(np.ones(n_bars))
    columns = dict.fromkeys(["Open", "High", "Low", "Close"], constant)
    columns["Date"] = pa.array(np.zeros(n_bars, dtype=np.int64))
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    assert buffer.tell() < 100_000
    limits = FileLimits(max_bytes=1 << 20, max_bars=1_000_000)
    assert "3,000,000 rows" in refuse(columns, compression="zstd", limits=limits).message


def test_a_tiny_file_of_huge_texts_is_refused_by_its_metadata(refuse):
    texts = pa.array(["0" * (64 << 20)] * 3)
    columns = build_columns(Date=texts)
    error = refuse(columns, compression="zstd", use_dictionary=False)
    assert "far more bytes than bars have" in error.message
