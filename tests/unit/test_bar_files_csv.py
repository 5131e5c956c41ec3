"""CSV files in every accepted dialect, and the words for every cell that is not accepted."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.bars import COLUMNS, build_bars, compute_dataset_hash, format_times
from backtest.errors import InputError
from storage.bar_files import FileLimits, load_bar_file

DATA = Path(__file__).resolve().parents[2] / "data"
DAY_NS = 86_400 * 10**9
HEADER = "Date,Open,High,Low,Close,Volume\n"
ROWS = "2020-01-02,1.5,2,1,1.25,100\n2020-01-03,1.25,2.5,1,2,200\n2020-01-06,2,3,1.5,2.5,0\n"
PLAIN = HEADER + ROWS


@pytest.fixture
def load(tmp_path):
    def write_and_load(content, name="bars.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_bar_file(path, **options)[0]

    return write_and_load


@pytest.fixture
def refuse(load):
    def load_and_catch(content, **options):
        with pytest.raises(InputError) as caught:
            load(content, **options)
        return caught.value.errors[0]

    return load_and_catch


def assert_is_plain(bars):
    assert format_times(bars.timestamps, bars.spacing) == ["2020-01-02", "2020-01-03", "2020-01-06"]
    assert bars.open.tolist() == [1.5, 1.25, 2.0]
    assert bars.high.tolist() == [2.0, 2.5, 3.0]
    assert bars.low.tolist() == [1.0, 1.0, 1.5]
    assert bars.close.tolist() == [1.25, 2.0, 2.5]
    assert bars.volume.tolist() == [100.0, 200.0, 0.0]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.encode("utf-8-sig"),
        gzip.compress(PLAIN.encode(), mtime=0),
        gzip.compress(PLAIN.encode("utf-8-sig"), mtime=0),
        gzip.compress(HEADER.encode(), mtime=0) + gzip.compress(ROWS.encode(), mtime=0),
        gzip.compress(PLAIN.encode(), mtime=0) + b"\0" * 512,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ";").replace(".", ","),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.rstrip("\n"),
        PLAIN + "\n\n   \n\r\n",
        "\n\n" + PLAIN.replace("\n", "\n\n"),
        PLAIN.upper(),
        PLAIN.replace("Date", ""),
        PLAIN.replace("Date", "datetime").replace("Open", " OPEN "),
        PLAIN.replace("Date", "Timestamp"),
        PLAIN.replace("Date", "Time"),
        PLAIN.replace("1.25", '"1.25"').replace("2020-01-03", '"2020-01-03"'),
        PLAIN.replace("1.25", " 1.25 ").replace("2020-01-03", " 2020-01-03 "),
        PLAIN.replace("1.25", "+125e-2").replace("200", "2.E2").replace("2.5", "25000E-4"),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("Date", "Date,Name").replace("-02,", '-02,"Öl, ""gut""\nund ""teuer""",')
        .replace("-03,", "-03,x,").replace("-06,", "-06,,"),
    ],
)  # fmt: skip
def test_every_accepted_dialect_reads_as_the_same_bars(load, content):
    assert_is_plain(load(content))


@pytest.mark.parametrize("name", ["-rf", "a b\n;$(x).csv", "ü.parquet", "\udcff.gz", "x" * 200])
def test_the_name_of_a_file_means_nothing(load, name):
    assert_is_plain(load(PLAIN, name))


@pytest.mark.parametrize("name", ["Adj Close", "Adj_Close", "adjclose", "ADJ CLOSE"])
def test_an_adjusted_close_becomes_a_factor(load, name):
    rows = [
        line + extra for line, extra in zip(ROWS.splitlines(), (",1", ",1", ",2.5"), strict=True)
    ]
    bars = load(HEADER.strip() + f",{name}\n" + "\n".join(rows))
    assert bars.adj_factor.tolist() == [1 / 1.25, 0.5, 1.0]


def test_aapl_reads_as_the_csv_module_and_float_read_it():
    bars, warnings = load_bar_file(DATA / "AAPL.csv")
    with (DATA / "AAPL.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert format_times(bars.timestamps, bars.spacing) == [row["Date"] for row in rows]
    for name in ("open", "high", "low", "close", "volume"):
        assert getattr(bars, name).tolist() == [float(row[name.title()]) for row in rows]
    assert [item.code for item in warnings] == ["price_jump"]


def test_a_named_date_column_goes_before_an_unnamed_first_one(load):
    lines = PLAIN.splitlines()
    numbered = [f"{idx - 1 if idx else ''},{line}" for idx, line in enumerate(lines)]
    assert_is_plain(load("\n".join(numbered)))


def place(row, column):
    return f"row {row} (the header is row 1), column {column}: "


@pytest.mark.parametrize(
    ("old", "new", "value", "message"),
    [
        ("1.25,100", ",100", "", place(2, "close") + "the cell is empty"),
        ("1.25,100", "nan,100", "nan", place(2, "close") + "must be a finite number"),
        ("1.25,100", "-Infinity,100", "-inf", place(2, "close") + "must be a finite number"),
        ("1.25,100", "1e999,100", "inf", place(2, "close") + "must be a finite number"),
        ("1.25,100", "-1.25,100", -1.25, place(2, "close") + "must be above 0"),
        ("1.25,100", "0,100", 0.0, place(2, "close") + "must be above 0"),
        ("1.25,100", "−1.25,100", "−1.25", place(2, "close") + "is not a number"),
        ("1.25,100", "1_0,100", "1_0", place(2, "close") + "is not a number"),
        ("1.25,100", "0x1,100", "0x1", place(2, "close") + "is not a number"),
        ("1.25,100", "１,100", "１", place(2, "close") + "is not a number"),
        ("1.25,100", "null,100", "null", place(2, "close") + "is not a number"),
        ("1.25,100", "$1.25,100", "$1.25", place(2, "close") + "is not a number"),
        ("1.25,100", '"1,250.5",100', "1,250.5", place(2, "close") + "write numbers without thou"),
        ("1.25,100", "1 250.5,100", "1 250.5", place(2, "close") + "write numbers without thou"),
        ("1.25,100", '"1,2",100', "1,2", place(2, "close") + "a decimal comma is read only where"),
        ("1.25,100", "1.25,-1", -1.0, place(2, "volume") + "must not be negative"),
        ("1.25,100", "1.25,many", "many", place(2, "volume") + "is not a number"),
        ("2.5,1,2,200", "1.9,1,2,200", 1.9, place(3, "high") + "lies below the open or close"),
        ("2020-01-03", "2020-01-02", "2020-01-02", place(3, "date") + "the same time"),
        ("2020-01-03", "2019-12-31", "2019-12-31", place(3, "date") + "earlier than the bar"),
        ("2020-01-03", "2020-02-30", "2020-02-30", place(3, "date") + "is not a date"),
        ("2020-01-03", "", "", place(3, "date") + "is not a date"),
        ("2020-01-03", "9999-01-03", "9999-01-03", place(3, "date") + "lies outside the years"),
    ],
)
def test_a_refusal_names_row_column_and_value(refuse, old, new, value, message):
    error = refuse(PLAIN.replace(old, new, 1))
    assert error.field == "file"
    assert (error.value, error.message[: len(message)]) == (value, message)


def test_blank_lines_and_line_breaks_in_cells_count_as_rows(refuse):
    assert (
        place(4, "close")
        in refuse(PLAIN.replace("\n", "\n\n", 1).replace("2,200", "-2,200")).message
    )
    with_notes = PLAIN.replace("Volume", "Volume,Note").replace("100\n", '100,"a\nb\nc"\n')
    with_notes = with_notes.replace("200\n", "200,\n").replace(",0\n", ",-1,\n")
    assert place(6, "volume") in refuse(with_notes).message
    shifted = refuse("\n" + PLAIN.replace("2,200", "x,200"))
    assert shifted.message.startswith("row 4 (the header is row 2), column close")


@pytest.mark.parametrize(
    ("cells", "n_cells"), [("2020-01-07,1,2", 3), ("2020-01-07,1,2,1,1,1,1", 7)]
)
def test_a_ragged_row_is_refused(refuse, cells, n_cells):
    error = refuse(PLAIN + cells + "\n")
    assert error.message.startswith(f"row 5 (the header is row 1) has {n_cells} cells, the header ")


def test_a_file_that_mixes_decimal_signs_is_refused(refuse):
    german = PLAIN.replace(",", ";")
    error = refuse(german.replace("2;200", "2,5;200"))
    assert error.value == "2,5"
    assert "rows above have '.' as decimal sign" in error.message
    error = refuse(german.replace("1.25;100", "1.000,25;100"))
    assert "thousands" in error.message or "one throughout" in error.message


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Date,Open,High,Close,Volume,X\n", "has no column low; "),
        ("Day,Open,High,Low,Close,Volume\n", "has no column date; "),
        ("Date,Open,High,Low,Close,close\n", "the columns 'Close' and 'close' mean the same"),
        ("Date,Open,High,Low,Close,date\n", "the columns 'Date' and 'date' mean the same"),
        ("", "has no column date, open, high, low, close; the first row must name the columns"),
    ],
)
def test_missing_and_ambiguous_columns_are_named(refuse, header, message):
    assert message in refuse(header + ROWS).message


def test_a_header_alone_and_a_single_bar_are_refused(refuse):
    assert refuse(HEADER).message == "has no rows below its header"
    assert "at least 2" in refuse(PLAIN[: len(HEADER) + 28]).message


def test_more_bars_than_allowed_are_refused(refuse, load):
    assert "more than 2 bars" in refuse(PLAIN, limits=FileLimits(max_bars=2)).message
    assert load(PLAIN, limits=FileLimits(max_bars=3)).n_bars == 3
    slow = PLAIN.replace("1.25,100", "+1_0,100")
    assert refuse(slow, limits=FileLimits(max_bars=2)).value == "+1_0"


NUMBERS = st.one_of(
    st.floats(1e-3, 1e15).map(repr),
    st.decimals("0.0001", "1e12", places=6).map(str),
    st.from_regex(r"[1-9][0-9]{0,25}\.[0-9]{1,30}", fullmatch=True),
    st.from_regex(r"[1-9]\.[0-9]{0,30}[eE][+-]?[0-9]{1,2}", fullmatch=True),
)


@given(st.lists(NUMBERS, min_size=2, max_size=30), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_numbers_are_exactly_those_of_float(tmp_path, numbers, is_precise):
    rows = [
        f"{np.datetime64('2020-01-01') + idx},{text},{text},{text},{text},{text}"
        for idx, text in enumerate(numbers)
    ]
    path = tmp_path / "numbers.csv"
    # A line of blanks is beyond the fast reading, so the precise one reads all of the file.
    blank_line = "  \n" if is_precise else ""
    path.write_text("Date,Open,High,Low,Close,Volume\n" + "\n".join(rows) + "\n" + blank_line)
    bars, _ = load_bar_file(path)
    assert bars.close.tolist() == [float(text) for text in numbers]
    assert bars.volume.tolist() == [float(text) for text in numbers]


@st.composite
def tables(draw):
    n_bars = draw(st.integers(2, 25))
    prices = st.floats(0.5, 1e6).map(lambda value: float(f"{value:.7g}"))
    open_, close = (
        np.array(draw(st.lists(prices, min_size=n_bars, max_size=n_bars))) for _ in range(2)
    )
    steps = draw(st.lists(st.integers(1, 9), min_size=n_bars, max_size=n_bars))
    is_daily = draw(st.booleans())
    unit = DAY_NS if is_daily else 60 * 10**9
    columns = {
        "timestamps": 1_500_000_000 // 86_400 * DAY_NS + np.cumsum(steps) * unit,
        "open": open_,
        "high": np.maximum(open_, close) * 1.5,
        "low": np.minimum(open_, close) * 0.5,
        "close": close,
    }
    if draw(st.booleans()):
        columns["volume"] = np.array(
            draw(st.lists(st.integers(0, 10**12), min_size=n_bars, max_size=n_bars)), dtype=float
        )
    if draw(st.booleans()):
        columns["adj_close"] = close * draw(st.floats(0.1, 1.0))
    return is_daily, columns


@st.composite
def dialects(draw):
    delimiter = draw(st.sampled_from(",;\t"))
    return {
        "delimiter": delimiter,
        "decimal": draw(st.sampled_from(".,")) if delimiter == ";" else ".",
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig"])),
        "is_gzip": draw(st.booleans()),
        "order": draw(st.randoms(use_true_random=False)),
        "times": draw(st.sampled_from(["iso", "offset", "seconds", "milliseconds", "slash"])),
        "blank": draw(st.sampled_from(["", "\n", "  \n"])),
    }


def write_times(stamps, is_daily, how):
    instants = stamps.astype("M8[ns]")
    if how in ("seconds", "milliseconds"):
        return [str(stamp // (10**9 if how == "seconds" else 10**6)) for stamp in stamps.tolist()]
    if how == "offset":
        local = np.datetime_as_string(instants + (0 if is_daily else -5 * 3_600 * 10**9), unit="s")
        return [f"{text}-05:00" for text in local]
    texts = np.datetime_as_string(instants, unit="D" if is_daily else "m").tolist()
    return [text.replace("-", "/").replace("T", " ") for text in texts] if how == "slash" else texts


@given(tables(), dialects())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_bars_survive_any_dialect(tmp_path, table, dialect):
    is_daily, columns = table
    expected, expected_warnings = build_bars(**columns)
    times = write_times(columns["timestamps"], is_daily, dialect["times"])
    cells = {"Date": times} | {
        name.replace("_", " "): [repr(x).replace(".", dialect["decimal"]) for x in values.tolist()]
        for name, values in columns.items()
        if name != "timestamps"
    }
    cells["ignored"] = [f'{dialect["delimiter"]} "é" 1{idx}' for idx in range(len(times))]
    names = list(cells)
    dialect["order"].shuffle(names)
    text = io.StringIO()
    writer = csv.writer(
        text, **{key: dialect[key] for key in ("delimiter", "quoting", "lineterminator")}
    )
    writer.writerow(names)
    writer.writerows(zip(*(cells[name] for name in names), strict=True))
    content = (text.getvalue() + dialect["blank"]).encode(dialect["encoding"])
    path = tmp_path / "bars"
    path.write_bytes(gzip.compress(content, mtime=0) if dialect["is_gzip"] else content)
    bars, warnings = load_bar_file(path)
    assert {name: getattr(bars, name).tolist() for name in COLUMNS} == {
        name: getattr(expected, name).tolist() for name in COLUMNS
    }
    assert warnings == expected_warnings
    assert compute_dataset_hash(bars) == compute_dataset_hash(expected)
