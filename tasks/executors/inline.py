"""Work is done within the call that hands it over: for tests and scripts without a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.executors.port import ExecutorHealth, WorkKind
from tasks.settings import Settings

if TYPE_CHECKING:
    from storage.store import Store


class InlineExecutor:
    """See `Executor`. The engine is imported with the first work, and not before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check_ready(self) -> None:
        """Return: this process is there."""

    def send_run(self, store: Store, run_id: str) -> bool:
        """Compute a run."""
        from tasks.execute import BarsCache, execute_run

        execute_run(store, self._settings, run_id, "inline", BarsCache())
        return True

    def send_sweep(self, store: Store, sweep_id: str) -> bool:
        """Compute a sweep to its end."""
        from tasks.execute import BarsCache
        from tasks.sweep_execute import EvaluatorCache, execute_chunk
        from tasks.sweep_finish import execute_finish

        cache = EvaluatorCache(BarsCache())
        while True:
            due = store.sweeps.take_messages(sweep_id)
            for idx in due.chunks:
                execute_chunk(store, self._settings, sweep_id, idx, "inline", cache, 1)
            if not due.chunks:
                break
        if due.is_complete:
            execute_finish(store, self._settings, sweep_id, cache)
        return True

    def send_query(self, store: Store, query_id: str) -> bool:
        """Answer a question."""
        from tasks.execute import BarsCache
        from tasks.sweep_finish import execute_query

        execute_query(store, self._settings, query_id, BarsCache())
        return True

    def find_lost_runs(self, store: Store) -> tuple[str, ...]:
        """Return nothing: there is no way on which to get lost."""
        return ()

    def repair_sweeps(self, store: Store) -> None:
        """Do nothing, as above."""

    def forget(self, kind: WorkKind, work_id: str) -> None:
        """Do nothing: nothing is left of it."""

    def clear(self, kind: WorkKind, work_id: str) -> None:
        """Do nothing, as above."""

    def start(self) -> None:
        """Do nothing: there is no background."""

    def check_health(self, *, count_workers: bool) -> ExecutorHealth:
        """Return that nothing is needed."""
        return ExecutorHealth("unused")

    def describe_log(self, kind: WorkKind, work_id: str) -> str:
        """Name this process's own log."""
        return "this process's log"
