"""What is counted of a sweep for a page, held against the rows of its chunks."""

from __future__ import annotations

from collections import Counter
from typing import Any

from storage.store import Store


def check_counters(store: Store, sweep_id: str, chunks: list[Any]) -> None:
    """Fail unless progress and pulse say what these rows, all of the sweep's, say."""
    states = Counter(chunk.state for chunk in chunks)
    progress = store.sweeps.progress(sweep_id)
    pulse = store.sweeps.load_pulse(sweep_id)
    assert progress is not None
    assert pulse is not None
    assert (progress.n_done, progress.n_running, progress.n_queued, progress.n_failed) == (
        (pulse.n_done, pulse.n_running, pulse.n_queued, pulse.n_failed)
    )
    counted = {
        "done": progress.n_done,
        "running": progress.n_running,
        "queued": progress.n_queued,
        "failed": progress.n_failed,
        "cancelled": progress.n_cancelled,
    }
    assert counted == {state: states[state] for state in counted}
    assert progress.n_chunks == len(chunks)
    done = [chunk for chunk in chunks if chunk.state == "done"]
    assert progress.n_positions_done == sum(chunk.stop - chunk.first for chunk in done)
    assert progress.n_excluded_done == sum(chunk.n_excluded for chunk in done)
