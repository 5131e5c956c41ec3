"""Datasets and presets: content once, symbols as pointers, blobs bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, func, select

from backtest.errors import InputError
from storage.blobs import BLOCK_BYTES, pack_array, unpack_array
from storage.datasets import DATASET_COLUMNS
from storage.errors import DatasetInUse, SymbolTaken, UnknownDataset
from storage.models import dataset_blocks, dataset_contents
from storage.store import Store
from tests.support.storage_samples import add_dataset, build_content, build_run, run_at_once
from tests.support.sweep_samples import start_sweep


def _count_contents(store: Store) -> int:
    with store.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(dataset_contents)) or 0


def test_the_first_upload_of_a_symbol_is_its_version_1_with_all_its_facts(store: Store) -> None:
    content = build_content(20)
    record = store.datasets.add(content, "AAPL", "apple.csv")
    assert (record.symbol, record.version, record.sha256) == ("AAPL", 1, content.sha256)
    assert (record.n_bars, record.first_ns, record.last_ns) == (20, 0, content.last_ns)
    assert (record.spacing, record.periods_per_year) == ("daily", 252.0)
    assert record.has_adjustment is False
    assert record.warnings == content.warnings
    assert record.file_name == "apple.csv"
    assert record.created_at.utcoffset() is not None
    assert store.datasets.get("AAPL") == record


def test_the_same_content_twice_is_stored_once_and_is_no_new_version(store: Store) -> None:
    first = store.datasets.add(build_content(), "AAPL", "a.csv")
    assert store.datasets.add(build_content(), "AAPL", "b.csv") == first
    other = store.datasets.add(build_content(), "MSFT", "c.csv")
    assert (other.version, other.sha256) == (1, first.sha256)
    assert _count_contents(store) == 1


def test_a_new_upload_is_a_new_version_and_the_symbol_points_to_it(store: Store) -> None:
    old = store.datasets.add(build_content(seed=1), "AAPL", "a.csv")
    new = store.datasets.add(build_content(seed=2), "AAPL", "a.csv")
    assert (old.version, new.version) == (1, 2)
    assert store.datasets.get("AAPL") == new
    assert store.datasets.get(old.id) == old
    assert store.datasets.get(old.sha256) == old
    assert store.datasets.list() == (new,)
    back = store.datasets.add(build_content(seed=1), "AAPL", "a.csv")
    assert (back.version, back.sha256) == (3, old.sha256)


def test_a_symbol_is_found_in_capitals_but_kept_as_it_was_written(store: Store) -> None:
    upper = store.datasets.add(build_content(seed=1), "AAPL", "")
    assert store.datasets.get("aapl") == upper
    lower = store.datasets.add(build_content(seed=2), "aapl", "")
    assert (lower.symbol, lower.version) == ("aapl", 1)
    assert store.datasets.get("aapl") == lower
    assert store.datasets.get("AAPL") == upper


def test_what_is_not_stored_is_not_found(store: Store) -> None:
    assert store.datasets.get("NONE") is None
    assert store.datasets.get("0" * 64) is None
    assert store.datasets.get("00000000-0000-4000-8000-000000000000") is None
    assert store.datasets.list() == ()
    assert store.datasets.remove("NONE") is False
    with pytest.raises(UnknownDataset):
        store.datasets.load_columns("0" * 64, ["close"])


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        "  ",
        "a b",
        "a/b",
        "é",
        "A" * 65,
        "0" * 64,
        "../x",
        "%00",
        "a\nb",
        ".",
        "..",
        " .. ",
        "...",
    ],
)
def test_a_symbol_that_cannot_stand_in_an_address_is_refused(store: Store, symbol: str) -> None:
    with pytest.raises(InputError) as caught:
        store.datasets.add(build_content(), symbol, "")
    assert caught.value.errors[0].field == "symbol"
    assert _count_contents(store) == 0


@pytest.mark.parametrize("symbol", ["BRK.B", "^GSPC", "EURUSD=X", "BTC-USD", "600519.SS", "my_1"])
def test_the_symbols_of_the_usual_sources_are_accepted(store: Store, symbol: str) -> None:
    assert store.datasets.add(build_content(), symbol, "").symbol == symbol


def test_columns_come_back_bit_by_bit_and_read_only(store: Store) -> None:
    content = build_content(500)
    store.datasets.add(content, "AAPL", "")
    columns = store.datasets.load_columns(content.sha256, list(DATASET_COLUMNS))
    for name, values in content.arrays.items():
        assert columns[name].tobytes() == values.tobytes()
        assert columns[name].dtype == values.dtype
        assert not columns[name].flags.writeable


def test_bars_come_back_with_their_warnings(store: Store) -> None:
    content = build_content(50)
    store.datasets.add(content, "AAPL", "")
    bars, warnings = store.datasets.load_bars(content.sha256)
    assert bars.n_bars == 50
    assert (bars.spacing, bars.periods_per_year) == ("daily", 252.0)
    assert bars.close.tobytes() == content.arrays["close"].tobytes()
    assert bars.timestamps.dtype == np.int64
    assert [item.code for item in warnings] == ["date_gap"]


def test_removing_a_symbol_removes_its_versions_and_the_bars_nobody_needs(store: Store) -> None:
    store.datasets.add(build_content(seed=1), "AAPL", "")
    shared = store.datasets.add(build_content(seed=2), "AAPL", "")
    store.datasets.add(build_content(seed=2), "COPY", "")
    assert store.datasets.remove("aapl") is True
    assert store.datasets.get("AAPL") is None
    assert store.datasets.get(shared.sha256) is not None  # through COPY
    assert _count_contents(store) == 1
    with store.engine.connect() as connection:
        owners = set(connection.scalars(select(dataset_blocks.c.sha256)))
    assert owners == {shared.sha256}


def test_removing_one_version_lets_the_symbol_fall_back_to_the_one_before(store: Store) -> None:
    old = store.datasets.add(build_content(seed=1), "AAPL", "")
    new = store.datasets.add(build_content(seed=2), "AAPL", "")
    assert store.datasets.remove(new.id) is True
    assert store.datasets.get("AAPL") == old


def test_a_dataset_that_a_run_stands_on_is_not_removed_and_the_run_is_named(store: Store) -> None:
    sha256 = add_dataset(store)
    ids = [store.runs.insert(build_run(sha256)).run_id for _ in range(2)]
    for ref in ("AAPL", sha256, store.datasets.list()[0].id):
        with pytest.raises(DatasetInUse, match="2 runs stand on it") as caught:
            store.datasets.remove(ref)
        assert caught.value.uses.runs == (ids[1], ids[0])
    assert store.datasets.get("AAPL") is not None
    for run_id in ids:
        assert store.runs.delete(run_id) is True
    assert store.datasets.remove("AAPL") is True
    assert _count_contents(store) == 0


def test_a_dataset_that_a_sweep_stands_on_is_not_removed_and_the_sweep_is_named(
    store: Store,
) -> None:
    sweep_id = start_sweep(store)
    with pytest.raises(DatasetInUse, match="1 sweep stands on it") as caught:
        store.datasets.remove("AAPL")
    assert caught.value.uses.sweeps == (sweep_id,)
    assert store.sweeps.delete(sweep_id)
    assert store.datasets.remove("AAPL") is True


def test_a_copy_and_a_version_that_no_run_stands_on_can_be_removed(store: Store) -> None:
    old = store.datasets.add(build_content(seed=1), "AAPL", "")
    new = store.datasets.add(build_content(seed=2), "AAPL", "")
    store.datasets.add(build_content(seed=1), "COPY", "")
    store.runs.insert(build_run(old.sha256))
    assert store.datasets.remove("COPY") is True
    assert store.datasets.remove(new.id) is True
    with pytest.raises(DatasetInUse):
        store.datasets.remove(old.id)


def test_a_run_stands_on_its_bars_whatever_their_symbol_is_called_now(store: Store) -> None:
    sha256 = add_dataset(store)
    run = store.runs.insert(build_run(sha256))
    assert store.datasets.patch("AAPL", symbol="APPLE") is not None
    with pytest.raises(DatasetInUse) as caught:
        store.datasets.remove("APPLE")
    assert caught.value.uses.runs == (run.run_id,)


def test_a_symbol_is_renamed_with_its_versions_and_keeps_its_tags(store: Store) -> None:
    store.datasets.add(build_content(seed=1), "AAPL", "")
    store.datasets.add(build_content(seed=2), "AAPL", "")
    changed = store.datasets.patch("aapl", symbol=" APPLE ", tags=["big", " tech ", "big"])
    assert changed is not None
    assert (changed.symbol, changed.version, changed.tags) == ("APPLE", 2, ("big", "tech"))
    assert store.datasets.get("AAPL") is None
    assert [item.version for item in store.datasets.list_versions("APPLE")] == [2, 1]
    assert {item.tags for item in store.datasets.list_versions("APPLE")} == {("big", "tech")}
    assert store.datasets.add(build_content(seed=3), "APPLE", "").tags == ("big", "tech")
    assert store.datasets.patch("APPLE", tags=[]).tags == ()  # type: ignore[union-attr]
    assert store.datasets.patch("NONE", tags=[]) is None


def test_no_two_datasets_get_one_name(store: Store) -> None:
    add_dataset(store, "AAPL", seed=1)
    add_dataset(store, "MSFT", seed=2)
    with pytest.raises(SymbolTaken):
        store.datasets.patch("MSFT", symbol="AAPL", tags=["x"])
    assert [item.tags for item in store.datasets.list()] == [(), ()]
    with pytest.raises(InputError):
        store.datasets.patch("MSFT", symbol="..")
    assert store.datasets.patch("MSFT", symbol="MSFT").symbol == "MSFT"  # type: ignore[union-attr]


def test_a_dataset_says_how_much_its_bars_take(store: Store) -> None:
    content = build_content(500)
    record = store.datasets.add(content, "AAPL", "")
    assert record.n_bytes == sum(map(len, content.columns.values()))


def test_a_run_on_bars_that_are_not_stored_is_refused(store: Store) -> None:
    run = build_run("0" * 64)
    with pytest.raises(UnknownDataset):
        store.runs.insert(run)
    assert store.runs.get(run.run_id) is None


def test_a_million_bars_fit_through_a_packet_of_one_mebibyte(store: Store) -> None:
    content = build_content(1_000_000)
    assert len(content.columns["close"]) > 4 * BLOCK_BYTES
    store.datasets.add(content, "WALK", "walk.csv")
    columns = store.datasets.load_columns(content.sha256, ["timestamps", "close"])
    for name, values in columns.items():
        assert values.tobytes() == content.arrays[name].tobytes()
    with store.engine.connect() as connection:
        longest = connection.scalar(select(func.max(func.length(dataset_blocks.c.data))))
    assert longest == BLOCK_BYTES


def test_threads_that_upload_at_once_make_versions_without_gaps(store: Store) -> None:
    def upload(number: int) -> None:
        store.datasets.add(build_content(seed=number // 2), "AAPL", f"{number}.csv")

    run_at_once(upload, range(4))
    newest = store.datasets.get("AAPL")
    assert newest is not None
    assert 2 <= newest.version <= 4
    assert _count_contents(store) == 2


@pytest.mark.parametrize(
    "values",
    [
        np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e308]),
        np.frombuffer(np.uint64(0x7FF8DEADBEEF0001).tobytes(), dtype=np.float64),
        np.array([2**63 - 1, -(2**63)], dtype=np.int64),
        np.array([True, False]),
        np.array([], dtype=np.float64),
        np.arange(6.0)[::2],
    ],
)
def test_an_array_comes_back_bit_by_bit(values: np.ndarray) -> None:
    back = unpack_array(pack_array(values), values.dtype.str)
    assert back.dtype == values.dtype
    assert back.tobytes() == values.tobytes()


def test_a_preset_is_saved_listed_loaded_overwritten_and_deleted(store: Store) -> None:
    body = {"rule": "rsi", "params": {"window": 14, "z": 1, "a": 2.5}, "note": "größer 📈"}
    saved = store.presets.save("  my preset ", body)
    assert (saved.name, saved.body) == ("my preset", body)
    assert list(saved.body["params"]) == ["window", "z", "a"]
    assert store.presets.get(saved.id) == saved
    other = store.presets.save("MY PRESET", {})
    assert [item.name for item in store.presets.list()] == ["MY PRESET", "my preset"]
    again = store.presets.save("my preset", {"rule": "macd"})
    assert (again.id, again.body, again.created_at) == (
        saved.id,
        {"rule": "macd"},
        saved.created_at,
    )
    assert again.updated_at >= saved.updated_at
    assert store.presets.delete(saved.id) is True
    assert store.presets.delete(saved.id) is False
    assert store.presets.get(saved.id) is None
    assert store.presets.list() == (other,)


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_a_preset_needs_a_name_of_bounded_length(store: Store, name: str) -> None:
    with pytest.raises(InputError) as caught:
        store.presets.save(name, {})
    assert caught.value.errors[0].field == "name"


def test_a_preset_saved_by_threads_at_once_exists_once(store: Store) -> None:
    run_at_once(lambda number: store.presets.save("shared", {"number": number}), range(4))
    assert len(store.presets.list()) == 1


def test_the_database_is_the_one_the_test_says(database: Engine, database_url: str) -> None:
    assert database.dialect.name == database_url.partition(":")[0].partition("+")[0]
