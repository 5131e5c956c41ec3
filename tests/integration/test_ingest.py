"""The ingest child process: same bars, bounded resources, no trace left behind."""

import gzip
import io
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.bars import COLUMNS, compute_dataset_hash
from backtest.errors import InputError
from storage.bar_files import FileLimits, load_bar_file
from storage.ingest import IngestProcess, ingest_bytes, parse_local_file, unpack_bars

DATA = Path(__file__).resolve().parents[2] / "data"
AAPL = DATA / "AAPL.csv"
HEADER = b"Date,Open,High,Low,Close\n"
SMALL = FileLimits(max_bytes=16 << 20, max_bars=200_000)


def list_children():
    """Return the parsers among our children: a server of another test may be one too."""
    found = []
    for child in psutil.Process().children():
        # A zombie has lost its command line, and a parser must not become one.
        is_zombie = child.status() == psutil.STATUS_ZOMBIE
        if is_zombie or "storage.ingest_child" in child.cmdline():
            found.append(child)
    return found


@pytest.fixture(autouse=True)
def no_child_is_left():
    yield
    assert list_children() == []


def refuse(data, date_format=None, limits=SMALL):
    with pytest.raises(InputError) as caught:
        ingest_bytes(data, "upload.csv", date_format, limits)
    return caught.value.errors[0]


def write_parquet(columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def write_small_parquet():
    prices = dict.fromkeys(("Open", "High", "Low", "Close"), np.full(5, 10.0))
    return write_parquet({"Date": np.arange("2020-01-06", "2020-01-11", dtype="M8[D]"), **prices})


def test_a_parsed_file_is_what_reading_it_here_gives():
    bars, warnings = load_bar_file(AAPL)
    parsed = parse_local_file(AAPL)
    assert parsed.sha256 == compute_dataset_hash(bars)
    assert (parsed.n_bars, parsed.spacing, parsed.periods_per_year) == (3270, "daily", 252.0)
    assert (parsed.first_ns, parsed.last_ns) == (bars.timestamps[0], bars.timestamps[-1])
    assert parsed.has_adjustment
    assert [item["code"] for item in parsed.warnings] == ["price_jump"]
    unpacked, unpacked_warnings = unpack_bars(parsed)
    assert unpacked_warnings == warnings
    for name in COLUMNS:
        assert np.array_equal(getattr(unpacked, name), getattr(bars, name))


def test_bytes_may_arrive_in_any_pieces():
    data = AAPL.read_bytes()
    with IngestProcess("AAPL.csv", None, SMALL) as process:
        for start in range(0, len(data), 777):
            process.write(data[start : start + 777])
        assert process.finish().n_bars == 3270


def test_a_large_file_and_its_large_answer_pass_without_waiting_for_each_other():
    n_bars = 150_000
    random = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(random.normal(0, 1e-3, n_bars)))
    stamps = 10**9 + 60 * np.arange(n_bars)
    lines = (f"{t},{c!r},{c!r},{c!r},{c!r}" for t, c in zip(stamps, close.tolist(), strict=True))
    parsed = ingest_bytes(
        ("time,open,high,low,close\n" + "\n".join(lines)).encode(), "walk", limits=SMALL
    )
    bars, _ = unpack_bars(parsed)
    assert np.array_equal(bars.close, close)
    assert sum(map(len, parsed.columns.values())) > 1 << 20


def test_parquet_is_read_in_the_child_even_for_this_process(tmp_path):
    path = tmp_path / "bars.parquet"
    path.write_bytes(write_small_parquet())
    code = (
        "import sys; from storage.bar_files import load_bar_file;"
        "bars, _ = load_bar_file(sys.argv[1]); assert bars.n_bars == 5;"
        "assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_the_parent_never_loads_pyarrow():
    code = (
        "import sys; from storage.ingest import parse_local_file;"
        f"assert parse_local_file({str(AAPL)!r}).n_bars == 3270;"
        "assert not {'pyarrow', 'pandas', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_refusals_come_back_with_field_value_and_words():
    error = refuse(b"Date,Open,High,Low,Close\n2020-01-02,1,1,1,-1\n2020-01-03,1,1,1,1\n")
    assert (error.field, error.value) == ("file", -1.0)
    assert error.message.startswith("row 2 (the header is row 1), column close: must be above 0")
    error = refuse(AAPL.read_bytes(), date_format="%Q")
    assert (error.field, error.value) == ("date_format", "%Q")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\0" * 100, "NUL byte"),
        (np.random.default_rng(3).integers(1, 256, 1 << 16, dtype=np.uint8).tobytes(), "UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, "UTF-8"),
        ("Datum;Öffnung\n".encode("latin-1"), "is not UTF-8 text: row 1 has the byte 0xd6"),
        ("Date,Open,High,Low,Close\n".encode("utf-16"), "is UTF-16 text"),
        ("Date,Open,High,Low,Close\n".encode("utf-16-be"), "NUL byte"),
        (lambda: gzip.compress(b"\0" * (1 << 26)), "NUL byte"),
        (lambda: gzip.compress(HEADER + b"1" * (1 << 26)), "longer than 1 MiB"),
        (lambda: gzip.compress(HEADER + b"\n" * (1 << 26)), "nothing but blank"),
        (lambda: gzip.compress(b"," + HEADER + (b"x" * 1_000 + b",2,1,1,1,1\n") * 70_000),
         "MiB of text"),
        (lambda: gzip.compress(gzip.compress(AAPL.read_bytes())), "UTF-8"),
        (lambda: gzip.compress(AAPL.read_bytes())[:-9], "ends early"),
        (lambda: gzip.compress(AAPL.read_bytes())[:-8] + b"12345678", "damaged gzip"),
        (lambda: gzip.compress(b"") * 60_000, "too many gzip members"),
        (b"," * (1 << 20), "too long to name columns"),
        (b",".join(b"%d" % i for i in range(5_000)) + b"\n", "5,000 columns"),
        (b'Date,Open,High,Low,Close\n2020-01-02,"' + b"1\n" * 200_000, "field larger than"),
        (b"PK\x03\x04" + bytes(100), "Excel workbook"),
        (b"PAR1" + bytes(100), "is damaged Parquet"),
        (b"PAR1" + b"\xff\xff\xff\x7fPAR1", "is damaged Parquet"),
        (write_small_parquet()[:-1], "is damaged Parquet"),
        (b"x" * (17 << 20), "is larger than 16 MiB"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused_in_words(data, words):
    # A function packs only where its test runs; every process of the test run reads this list.
    error = refuse(data() if callable(data) else data)
    assert words in error.message
    assert error.field == "file"


def test_a_gigabyte_of_zeros_in_gzip_is_refused_at_once_and_in_little_memory():
    bomb = gzip.compress(bytes(1 << 26), 1) * 16
    started = time.monotonic()
    with IngestProcess("zeros.csv.gz", None, FileLimits(max_bytes=64 << 20)) as process:
        process.write(bomb)
        with pytest.raises(InputError, match="NUL byte"):
            process.finish()
    assert time.monotonic() - started < 20


def test_damaged_parquet_ends_in_bars_or_a_refusal_and_never_in_a_crash_here():
    content = write_small_parquet()
    random = np.random.default_rng(7)
    n_refused = 0
    for _ in range(25):
        damaged = bytearray(content)
        for position in random.integers(len(content) // 2, len(content), 4):
            damaged[position] = random.integers(0, 256)
        try:
            ingest_bytes(bytes(damaged), "damaged", limits=SMALL)
        except InputError:
            n_refused += 1
    assert n_refused > 5


def test_a_child_that_crashes_is_a_refusal_for_the_sender_and_a_log_line_for_us(caplog):
    with IngestProcess("crash.csv", None, SMALL) as process:
        list_children()[0].kill()
        for _ in range(100):
            process.write(b"x" * 65_536)  # into a pipe that nobody reads any more
        with (
            caplog.at_level(logging.ERROR),
            pytest.raises(InputError, match="crashed its reader") as caught,
        ):
            process.finish()
    assert caught.value.errors[0].value == "crash.csv"
    assert "'crash.csv' ended with code -9" in caplog.text


def test_a_file_that_needs_more_memory_than_its_limits_allow_is_refused(monkeypatch):
    monkeypatch.setattr("storage.ingest._compute_address_space", lambda _: 400 << 20)
    n_bars = 2_000_000
    ones = pa.array(np.ones(n_bars))
    columns = {
        "Date": np.arange(n_bars) + 10**9,
        **dict.fromkeys(("Open", "High", "Low", "Close"), ones),
    }
    error = refuse(write_parquet(columns), limits=FileLimits())
    assert "takes more memory to read" in error.message


def test_a_file_that_takes_too_much_computing_is_ended_by_the_kernel(monkeypatch):
    monkeypatch.setattr("storage.ingest._compute_cpu_seconds", lambda _: 1)
    rows = b"".join(b"1 Jan %d,1,1,1,1\n" % (1_970 + idx % 200) for idx in range(400_000))
    with IngestProcess("slow.csv", "%d %b %Y", FileLimits(), wall_seconds=60) as process:
        process.write(HEADER + rows * 4)
        with pytest.raises(InputError, match="takes too long"):
            process.finish()


def test_a_file_that_takes_too_long_is_ended_by_the_clock():
    with IngestProcess("slow.csv", None, SMALL, wall_seconds=0.02) as process:
        process.write(AAPL.read_bytes())
        with pytest.raises(InputError, match=r"could not be read within 0\.02 s"):
            process.finish()


def test_leaving_before_the_end_ends_the_child():
    with IngestProcess("AAPL.csv", None, SMALL) as process:
        process.write(b"Date,")
        (child,) = list_children()
    assert not child.is_running()


def test_a_child_whose_parent_is_gone_ends_too():
    code = (
        "import os; from storage.ingest import IngestProcess;"
        "process = IngestProcess('x').__enter__(); print(process._process.pid, flush=True);"
        "os._exit(0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(finished.stdout)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(finished.stdout))


def test_the_child_sees_neither_our_secrets_nor_the_modules_of_the_directory(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('read from the wrong directory')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOCK_BACKTEST_DATABASE_URL", "mysql+pymysql://user:secret@db/x")
    with IngestProcess("AAPL.csv", None, SMALL) as process:
        (child,) = list_children()
        assert not [name for name in child.environ() if name.startswith("STOCK_BACKTEST")]
        assert "AAPL" not in " ".join(child.cmdline())
        process.write(AAPL.read_bytes())
        assert process.finish().n_bars == 3270


@pytest.mark.parametrize(
    "name", ["--help", "a\nb;$(touch x)", "\udcff\0\x1b[31m", "../../etc/passwd"]
)
def test_the_name_of_an_upload_means_nothing(name):
    assert ingest_bytes(AAPL.read_bytes(), name, limits=SMALL).n_bars == 3270
    with pytest.raises(InputError) as caught:
        ingest_bytes(b"", name, limits=SMALL)
    assert caught.value.errors[0].value == name


@pytest.mark.parametrize("read", [parse_local_file, load_bar_file])
def test_paths_that_are_no_readable_files_are_refused(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    for path, words in (
        (tmp_path / "none.csv", "No such file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "fifo", "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        ("nul\0byte", "cannot be read"),
        ("x" * 5_000, "cannot be read"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            read(path)
        assert caught.value.errors[0].field == "file"


def test_a_local_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "sparse.csv"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="is larger than 1,024 MiB"):
        load_bar_file(path)
