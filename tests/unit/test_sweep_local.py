"""A sweep in one process: on any number of threads the same results, in the memory of a chunk."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.sweep_columns import HEADLINE_METRICS, MemoryColumns
from adapters.sweep_hash import compute_result_sha256
from adapters.sweep_summary import build_sweep_summary
from backtest.bars import Bars
from backtest.errors import InputError
from cli.sweep_document import build_sweep_document
from rules.adaptive_search import ADAPTIVE_BATCH
from rules.search_space import SearchSpace
from rules.sweep_spec import SweepSpec, parse_sweep_request
from storage.bar_files import load_bar_file
from tasks import sweep_local
from tasks.sweep_compute import SweepEvaluator, build_local_sweep_spec
from tasks.sweep_local import LocalSweep, run_local_sweep
from tasks.sweep_spool import ColumnSpool

ROOT = Path(__file__).parents[2]
RSI: dict[str, Any] = {
    "dataset": "AAPL",
    "rule": "rsi",
    "space": {"window": "5:16", "oversold": "20:60:4", "overbought": "40:80:4"},
    "min_trades": 3,
}


@pytest.fixture(scope="module")
def aapl() -> tuple[Bars, Any]:
    return load_bar_file(ROOT / "data" / "AAPL.csv")


def build_spec(aapl: tuple[Bars, Any], **changes: Any) -> SweepSpec:
    request = parse_sweep_request({**RSI, **changes})
    return build_local_sweep_spec(request, [("AAPL", aapl[0])])


def read_all(sweep: LocalSweep) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    chunks = list(sweep.columns.read(HEADLINE_METRICS))
    assert [chunk.first for chunk in chunks] == np.cumsum([0, *map(len, chunks)])[:-1].tolist()
    return (
        np.concatenate([chunk.points for chunk in chunks]),
        np.concatenate([chunk.status for chunk in chunks]),
        {name: np.concatenate([c.columns[name] for c in chunks]) for name in HEADLINE_METRICS},
    )


@pytest.mark.parametrize(
    "search",
    [{"method": "grid"}, {"method": "random", "n": 700, "seed": 3}],
    ids=["grid", "random"],
)
def test_threads_and_chunks_leave_no_trace_in_the_results(aapl, search, monkeypatch):
    spec = build_spec(aapl, search=search)
    n = spec.build_order().n_positions
    block = SweepEvaluator(spec, lambda _: aapl).evaluate(0, n)
    columns = {name: block.metrics[:, i] for i, name in enumerate(HEADLINE_METRICS)}
    wanted = compute_result_sha256(MemoryColumns(block.points, block.status, columns))
    monkeypatch.setattr(sweep_local, "_FIRST_CHUNK", 16)
    monkeypatch.setattr(sweep_local, "_CHUNK_SECONDS", 0.003)
    for n_threads in (1, 3):
        with run_local_sweep(spec, lambda _: aapl, n_threads=n_threads) as sweep:
            points, status, metrics = read_all(sweep)
            np.testing.assert_array_equal(points, block.points)
            np.testing.assert_array_equal(status, block.status)
            assert all(metrics[name].tobytes() == columns[name].tobytes() for name in columns)
            assert sweep.result_sha256 == wanted
            assert sweep.columns.n_positions == n
            assert sweep.n_combinations == block.n_combinations
            assert sweep.n_excluded == block.n_excluded
            assert sweep.n_failed == 0
            assert 0 < sweep.seconds < 60


def test_the_document_says_what_the_finaliser_of_a_platform_says(aapl):
    spec = build_spec(aapl)
    with run_local_sweep(spec, lambda _: aapl) as sweep:
        document = build_sweep_document(sweep, 5)
        summary = build_sweep_summary(sweep.columns, spec)
    assert document["result_sha256"] == summary.result_sha256
    for name in ("n_combinations", "n_excluded", "n_failed"):
        assert document[name] == getattr(summary, name)
    best = summary.documents["best"]
    assert best is not None
    assert document["top"][0] == {name: best[name] for name in document["top"][0]}
    assert document["plateau"] == summary.documents["plateau"]
    assert len(document["top"]) == 5
    assert set(document["top"][0]) == {"index", "params", "trading", "metrics"}
    assert document["spec"] == spec.to_json_dict()
    assert any(item["code"] == "price_jump" for item in document["warnings"])


def test_an_adaptive_search_goes_on_batch_by_batch_and_repeats_itself_exactly(aapl):
    n = ADAPTIVE_BATCH + 20
    spec = build_spec(aapl, search={"method": "adaptive", "n": n, "seed": 1})
    hashes, reports = [], []
    for _ in range(2):
        with run_local_sweep(
            spec, lambda _: aapl, on_progress=lambda done, total: reports.append((done, total))
        ) as sweep:
            points, status, _ = read_all(sweep)
            hashes.append(sweep.result_sha256)
    assert hashes[0] == hashes[1]
    assert points.size == np.unique(points).size == n
    assert not status.any()
    assert reports[:2] == [(ADAPTIVE_BATCH, n), (n, n)]


def test_progress_is_told_from_the_calling_thread_and_ends_complete(aapl):
    spec = build_spec(aapl)
    seen: list[tuple[int, int]] = []
    tellers: set[str] = set()

    def show(n_done: int, n_positions: int) -> None:
        tellers.add(threading.current_thread().name)
        seen.append((n_done, n_positions))

    n = spec.build_order().n_positions
    run_local_sweep(spec, lambda _: aapl, n_threads=2, on_progress=show).close()
    assert tellers == {threading.current_thread().name}
    assert seen[-1] == (n, n)
    assert seen == sorted(seen)


def test_constraints_that_no_point_meets_are_told_at_the_end_where_points_are_too_many(
    aapl, monkeypatch
):
    monkeypatch.setattr(SearchSpace, "count_admitted", lambda *_: None)
    spec = build_spec(aapl, where="window * oversold == 101.5")
    assert spec.n_combinations is None
    with pytest.raises(InputError, match="none of the 1,452 points meets all of it"):
        run_local_sweep(spec, lambda _: aapl)


def test_who_is_told_of_progress_may_stop_the_sweep(aapl, monkeypatch):
    monkeypatch.setattr(sweep_local, "_REPORT_SECONDS", 0.001)

    def interrupt(n_done: int, n_positions: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_local_sweep(build_spec(aapl), lambda _: aapl, n_threads=2, on_progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sweep")]


def test_a_failure_in_one_thread_ends_all_and_is_raised(aapl, monkeypatch):
    def fail(self: ColumnSpool, block: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ColumnSpool, "add", fail)
    with pytest.raises(OSError, match="disk full"):
        run_local_sweep(build_spec(aapl), lambda _: aapl, n_threads=2)


def test_the_file_of_the_results_has_no_name(aapl, tmp_path):
    with run_local_sweep(build_spec(aapl), lambda _: aapl, spool_dir=tmp_path) as sweep:
        assert list(tmp_path.iterdir()) == []
        assert sweep.columns.n_positions > 0
