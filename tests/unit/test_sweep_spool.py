"""Results of a sweep in memory and in a file, added by threads in any order."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from adapters.sweep_columns import HEADLINE_METRICS
from tasks import sweep_spool
from tasks.sweep_compute import SweepBlock
from tasks.sweep_spool import ColumnSpool


def build_block(first: int, n: int) -> SweepBlock:
    positions = np.arange(first, first + n)
    metrics = np.empty((n, len(HEADLINE_METRICS)), order="F")
    metrics[:] = positions[:, np.newaxis] + np.arange(len(HEADLINE_METRICS)) / 16.0
    return SweepBlock(first, 2 * positions, metrics, (positions % 3).astype(np.uint8))


def test_blocks_of_many_threads_come_back_whole_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep_spool, "_MAX_WAITING", 20)
    n, n_threads, n_blocks = 7, 8, 60
    spool = ColumnSpool()

    def add(thread: int) -> None:
        for block in range(thread, n_threads * n_blocks, n_threads):
            spool.add(build_block(n * block, n))

    threads = [threading.Thread(target=add, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    total = n * n_threads * n_blocks
    assert spool.n_positions == total
    expected = build_block(0, total)
    chunks = list(spool.read(["sharpe", "n_trades"]))
    assert [chunk.first for chunk in chunks] == list(range(0, total, n))
    np.testing.assert_array_equal(np.concatenate([c.points for c in chunks]), expected.points)
    np.testing.assert_array_equal(np.concatenate([c.status for c in chunks]), expected.status)
    for name in ("sharpe", "n_trades"):
        column = expected.metrics[:, HEADLINE_METRICS.index(name)]
        np.testing.assert_array_equal(np.concatenate([c.columns[name] for c in chunks]), column)
    spool.close()
