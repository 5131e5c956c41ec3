"""The date column: every accepted form, one meaning for the whole column, and zones."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.bar_times import compute_spacing
from backtest.bars import format_times
from backtest.errors import InputError
from storage.bar_files import load_bar_file


@pytest.fixture
def load(tmp_path):
    """Load a file with these dates, print the bars' times."""

    def load_dates(*dates, date_format=None):
        path = tmp_path / "dates.csv"
        path.write_text("Date;Open;High;Low;Close\n" + "".join(f"{d};1;2;1;1\n" for d in dates))
        bars, _ = load_bar_file(path, date_format=date_format)
        return format_times(bars.timestamps, bars.spacing)

    return load_dates


@pytest.fixture
def refuse(load):
    def load_and_catch(*dates, date_format=None):
        with pytest.raises(InputError) as caught:
            load(*dates, date_format=date_format)
        return caught.value.errors[0]

    return load_and_catch


DAYS = ["2020-01-02", "2020-01-13", "2020-02-03"]
MINUTES = ["2020-01-02T14:30:00Z", "2020-01-02T14:31:00Z", "2020-01-02T14:32:00Z"]


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (DAYS, DAYS),
        (["20200102", "20200113", "20200203"], DAYS),
        (["2020-01-02T00:00", "2020-01-13 00:00:00", "2020-02-03"], DAYS),
        (["2020-W01-4", "2020-01-13", "20200203"], DAYS),
        (["1/2/2020", "1/13/2020", "2/3/2020"], DAYS),
        (["02/01/2020", "13/01/2020", "03/02/2020"], DAYS),
        (["2020/01/02", "2020/1/13", "2020/02/03"], DAYS),
        (["2.1.2020", "13.1.2020", "3.2.2020"], DAYS),
        (["2020.01.02", "2020.01.13", "2020.02.03"], DAYS),
        (["1/2/20", "1/13/20", "2/3/20"], DAYS),
        (["02.01.20", "13.01.20", "03.02.20"], DAYS),
        (["1577923200", "1578873600", "1580688000"], DAYS),
        (["1577923200000", "1578873600000", "1580688000000"], DAYS),
        (["1577923200.0", "1578873600.0", "1580688000.0"], DAYS),
        (["-86400", "0", "126230400"], ["1969-12-31", "1970-01-01", "1974-01-01"]),
        (["2020-01-02T14:30:00Z", "2020-01-02T14:31:00Z", "2020-01-02T14:32:00Z"], MINUTES),
        (["2020-01-02 14:30", "2020-01-02 14:31", "2020-01-02 14:32"], MINUTES),
        (["20200102T143000Z", "20200102T143100Z", "20200102T143200Z"], MINUTES),
        ([f"2020-01-02T09:3{m}:00-05:00" for m in range(3)], MINUTES),
        ([f"2020-01-02 20:0{m}+05:30" for m in range(3)], MINUTES),
        (["2020-01-02T14:30", "2020-01-02T09:31-05:00", "2020-01-02T14:32Z"], MINUTES),
        ([f"01/02/2020 02:3{m} PM" for m in range(3)], None),
        ([f"02.01.20 14:3{m}" for m in range(3)], None),
        ([f"2020/01/02 14:3{m}" for m in range(3)], MINUTES),
        ([f"2020.1.2 2:3{m}:00 PM" for m in range(3)], MINUTES),
        ([f"2020/1/2 09:3{m}-0500" for m in range(3)], MINUTES),
        ([f"157797540{m}.5" for m in range(3)], [f"2020-01-02T14:30:0{m}.500Z" for m in range(3)]),
        (["2020-01-02T14:30:00.123456789", "2020-01-02T14:30:01", "2020-01-02T14:30:02"],
         ["2020-01-02T14:30:00.123456789Z", "2020-01-02T14:30:01Z", "2020-01-02T14:30:02Z"]),
    ],
)  # fmt: skip
def test_every_accepted_form_is_read(load, refuse, dates, expected):
    if expected is None:
        assert "--date-format" in refuse(*dates).message
    else:
        assert load(*dates) == expected


def test_a_daily_bar_is_its_local_date_through_a_change_of_clocks(load):
    dates = ["2020-03-06 00:00:00-05:00", "2020-03-09 00:00:00-04:00", "2020-03-10 00:00:00-04:00"]
    assert load(*dates) == ["2020-03-06", "2020-03-09", "2020-03-10"]
    east = ["2020-03-06T00:00:00+09:00", "2020-03-09T00:00:00+09:00", "2020-03-10T00:00:00+09:00"]
    assert load(*east) == ["2020-03-06", "2020-03-09", "2020-03-10"]


def test_daily_bars_with_mixed_zones_keep_their_dates(load):
    dates = ["2020-03-06T00:00:00+09:00", "2020-03-09", "2020-03-10T16:00:00-05:00"]
    assert load(*dates) == ["2020-03-06", "2020-03-09", "2020-03-10"]


def test_an_hour_that_happens_twice_is_told_apart_by_its_zone(load):
    dates = ["2020-11-01T01:30:00-04:00", "2020-11-01T01:30:00-05:00", "2020-11-01T02:30:00-05:00"]
    assert load(*dates)[:2] == ["2020-11-01T05:30:00Z", "2020-11-01T06:30:00Z"]


@pytest.mark.parametrize("separator", "/.")
def test_two_formats_that_fit_are_refused_by_name(refuse, load, separator):
    dates = [f"{month}{separator}2{separator}2020" for month in (1, 3, 6)]
    error = refuse(*dates)
    assert f"%m{separator}%d{separator}%Y and %d{separator}%m{separator}%Y" in error.message
    assert "--date-format" in error.message
    expected = ["2020-01-02", "2020-03-02", "2020-06-02"]
    assert load(*dates, date_format=f"%m{separator}%d{separator}%Y") == expected


def test_only_one_of_two_formats_increases(load):
    assert load("1/2/2020", "5/2/2020", "2/3/2020") == ["2020-02-01", "2020-02-05", "2020-03-02"]
    assert load("1/2/2020", "2/1/2020", "2/5/2020") == ["2020-01-02", "2020-02-01", "2020-02-05"]


def test_formats_that_agree_on_every_row_do_not_contradict(load):
    assert load("01/01/2020", "02/02/2020") == ["2020-01-01", "2020-02-02"]


def test_unsorted_dates_that_fit_two_formats_are_refused_with_both_remedies(refuse):
    error = refuse("3/4/2020", "2/3/2020", "1/2/2020")
    assert "--date-format" in error.message
    assert "oldest first" in error.message


def test_unsorted_dates_of_one_format_name_the_row(refuse):
    error = refuse("15/1/2020", "14/1/2020", "13/1/2020")
    assert error.value == "2020-01-14"
    assert error.message.startswith("row 3 (the header is row 1), column date: earlier than")


@pytest.mark.parametrize(
    ("dates", "value", "words"),
    [
        (["13/01/2020", "14/01/2020", "01/15/2020"], "01/15/2020", "row 4"),
        (["13/01/2020", "31/02/2020", "01/03/2020"], "31/02/2020", "row 3"),
        (["13/01/2020", "14.01.2020", "15/01/2020"], "14.01.2020", "row 3"),
        (["13/01/2020", "14/01/2020 10:00", "15/01/2020"], "14/01/2020 10:00", "row 3"),
        (["2020-01-02", "13/01/2020", "2020-02-03"], "13/01/2020", "row 3"),
        (["2020-01-02", "2020-01-32", "2020-02-03"], "2020-01-32", "row 3"),
        (["2020-01-02", "2020-01-03x10:00", "2020-02-03"], "2020-01-03x10:00", "row 3"),
        (["20200102", "20200132", "20200203"], "20200132", "row 3"),
        (["02-Jan-2020", "03-Jan-2020"], "02-Jan-2020", "--date-format"),
        (["1577923200", "tomorrow"], "tomorrow", "row 3"),
        (["1577923200", "1577923200123456"], 1577923200123456, "too large"),
        (["0", "1", "2"], 0, "too small"),
        (["43831", "43832"], 43831, "too small"),
        (["2020-01-02T10:00:00+25:00", "2020-01-02T10:01:00+01:00"], None, "row 2"),
        (["1500-01-01", "1500-01-02"], "1500-01-01", "outside the years"),
        (["9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"], None, "outside the years"),
        (["٢٠٢٠-٠١-٠٢", "2020-01-03"], "٢٠٢٠-٠١-٠٢", "row 2"),
    ],
)
def test_a_date_that_does_not_fit_is_named(refuse, dates, value, words):
    error = refuse(*dates)
    assert error.field == "file"
    assert words in error.message
    assert error.value == (dates[0] if value is None else value)


@pytest.mark.parametrize(
    ("date_format", "dates", "expected"),
    [
        ("%d/%m/%Y", ["02/01/2020", "03/01/2020"], ["2020-01-02", "2020-01-03"]),
        ("%d-%b-%Y", ["02-Jan-2020", "03-Jan-2020"], ["2020-01-02", "2020-01-03"]),
        ("%y%m%d", ["200102", "200103"], ["2020-01-02", "2020-01-03"]),
        ("%Y%m%d", ["20200102", "20200103"], ["2020-01-02", "2020-01-03"]),
        ("%Y-%j", ["2020-002", "2020-003"], ["2020-01-02", "2020-01-03"]),
        ("%Y-%m", ["2020-01", "2020-02"], ["2020-01-01", "2020-02-01"]),
        ("%m/%d/%y %I%p", ["1/2/20 12AM", "1/2/20 12PM"],
         ["2020-01-02T00:00:00Z", "2020-01-02T12:00:00Z"]),
        ("%d.%m.%Y %H:%M:%S.%f %z", ["02.01.2020 10:00:00.5 +0100", "02.01.2020 10:01:00.25 Z"],
         ["2020-01-02T09:00:00.500Z", "2020-01-02T10:01:00.250Z"]),
        ("%%%Y|%m|%d", ["%2020|1|2", "%2020|1|3"], ["2020-01-02", "2020-01-03"]),
    ],
)  # fmt: skip
def test_a_given_format_is_that_of_strptime(load, date_format, dates, expected):
    assert load(*dates, date_format=date_format) == expected


@pytest.mark.parametrize("date_format", ["%Q", "%", "%Y-%", "%d.%m.", "%Y%Y%m%d", "plain", ""])
def test_a_format_that_cannot_be_one_is_refused_on_its_own_field(refuse, date_format):
    error = refuse(*DAYS, date_format=date_format)
    assert (error.field, error.value) == ("date_format", date_format)


def test_a_row_that_does_not_fit_the_given_format_is_named(refuse):
    error = refuse("2020-01-02", "2020-13-01", date_format="%Y-%m-%d")
    assert error.value == "2020-13-01"
    assert error.message.endswith("column date: does not fit the date format %Y-%m-%d")


PARTS = st.lists(
    st.sampled_from(["%H", "%M", "%S", "%f", "%I %p"]), min_size=0, max_size=4, unique=True
).filter(lambda parts: not {"%H", "%I %p"} <= set(parts))


@given(
    st.permutations(["%d", "%m"]), st.sampled_from(["%Y", "%y"]), PARTS, st.sampled_from("/.-| "),
    st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2060, 1, 1)), min_size=2, max_size=9),
    st.booleans(),
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_columns_read_by_format_equal_strptime(
    tmp_path, day_month, year, clock, separator, moments, is_unpadded
):
    date_format = separator.join([*day_month, year, *clock])
    texts = [moment.strftime(date_format) for moment in moments]
    if is_unpadded:
        texts = [text.removeprefix("0") for text in texts]
    expected = [datetime.strptime(text, date_format).replace(tzinfo=UTC) for text in texts]
    if sorted(set(expected)) != expected:
        return
    stamps = np.array([moment.replace(tzinfo=None) for moment in expected], "datetime64[ns]")
    is_daily = compute_spacing(stamps.astype(np.int64)) != "intraday"
    if is_daily and len({moment.date() for moment in expected}) < len(expected):
        return  # two bars of one day are refused, rightly
    path = tmp_path / "dates.csv"
    path.write_text("Date;Open;High;Low;Close\n" + "".join(f"{t};1;2;1;1\n" for t in texts))
    bars, _ = load_bar_file(path, date_format=date_format)
    printed = format_times(bars.timestamps, "intraday")
    if bars.spacing == "intraday":
        read = [np.datetime64(text.removesuffix("Z"), "us") for text in printed]
        assert read == [np.datetime64(moment.replace(tzinfo=None)) for moment in expected]
    else:
        assert [text[:10] for text in printed] == [str(moment.date()) for moment in expected]
