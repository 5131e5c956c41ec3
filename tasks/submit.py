"""Accepting a run: validate against the dataset, persist, and only then tell the queue.

Imported by the web tier: no engine, no numba. Whatever happens between the commit and the broker,
the row stays and maintenance sends it again.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import orjson

from backtest.bars import find_range
from backtest.errors import InputError
from rules.spec import RunRequest, RunSpec
from storage.errors import UnknownDataset
from storage.records import NewRun
from tasks.compute import build_run_spec, fingerprint_of
from tasks.executors import get_executor
from tasks.logs import bind_run, get_logger
from tasks.settings import Settings

if TYPE_CHECKING:
    from backtest.bars import Spacing
    from storage.records import DatasetRecord, RunRecord
    from storage.store import Store

log = get_logger(__name__)

_CACHED_TIMESTAMP_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a request.

    Parameters
    ----------
    record : RunRecord
        The run that answers it.
    cached : bool
        A finished run with the same fingerprint was found; nothing is computed.
    created : bool
        A new run was stored; False also if the idempotency key was seen before.
    """

    record: RunRecord
    cached: bool
    created: bool


def submit_run(
    store: Store,
    settings: Settings,
    request: RunRequest,
    *,
    idempotency_key: str | None = None,
) -> Submission:
    """Accept one run.

    Parameters
    ----------
    request : RunRequest
        From `rules.spec.parse_run_request`.
    idempotency_key : str, optional
        The same key with the same request answers with the same run.

    Raises
    ------
    InputError
        If the dataset is unknown or holds no bars in the date range.
    IdempotencyConflict
        If the key was used for another request.
    StorageUnavailable, ExecutorUnavailable
        If the database, or what a new run is handed to, cannot be reached; nothing was stored.
    """
    # Only a key needs it, and most requests have none.
    request_hash = "" if idempotency_key is None else hash_request(request)
    if idempotency_key is not None:
        known = store.runs.find_by_idempotency_key(idempotency_key, request_hash)
        if known is not None:
            return Submission(known, cached=False, created=False)
    spec = _pin_request(store, request)
    fingerprint = fingerprint_of(spec)
    if not request.force:
        finished = store.runs.find_finished(fingerprint)
        if finished is not None:
            if idempotency_key is not None:
                finished = store.runs.save_idempotency_key(
                    idempotency_key, request_hash, finished.run_id
                )
            with bind_run(finished.run_id):
                log.info("run_found", fingerprint=fingerprint)
            return Submission(finished, cached=True, created=False)
    get_executor(settings).check_ready()
    run_id = str(uuid.uuid4())
    new = NewRun(
        run_id=run_id,
        fingerprint=fingerprint,
        spec=spec.to_json_dict(),
        symbol=spec.dataset.symbol,
        rule=spec.rule,
        tags=tuple(request.tags),
        note=request.note,
        idempotency_key=idempotency_key,
        request_hash=request_hash,
    )
    try:
        record = store.runs.insert(new)
    except UnknownDataset as error:  # removed between reading and writing
        raise InputError.of("dataset", request.dataset, name_datasets(store)) from error
    if record.run_id != run_id:  # the same key, sent twice at once; the other request won
        return Submission(record, cached=False, created=False)
    with bind_run(run_id):
        log.info(
            "run_submitted",
            state="queued",
            symbol=record.symbol,
            rule=record.rule,
            fingerprint=fingerprint,
        )
        dispatch_run(store, settings, run_id)
    return Submission(record, cached=False, created=True)


def dispatch_run(store: Store, settings: Settings, run_id: str) -> bool:
    """Hand a queued run to whatever executes runs; return whether that worked.

    It is no error of the sender if not: it is logged, and maintenance tries again.
    """
    return get_executor(settings).send_run(store, run_id)


def hash_request(request: RunRequest) -> str:
    """Return the SHA-256 by which two requests under one idempotency key are compared."""
    canonical = orjson.dumps(request.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _pin_request(store: Store, request: RunRequest) -> RunSpec:
    dataset = store.datasets.get(request.dataset)
    if dataset is None:
        raise InputError.of("dataset", request.dataset, name_datasets(store))
    spacing = cast("Spacing", dataset.spacing)
    count_bars(store, dataset, request.start, request.end)
    return build_run_spec(
        request,
        dataset.symbol,
        dataset.sha256,
        dataset.n_bars,
        dataset.first_ns,
        dataset.last_ns,
        spacing,
        dataset.has_adjustment,
    )


def count_bars(store: Store, dataset: DatasetRecord, start: str | None, end: str | None) -> int:
    """Return how many bars a date range holds, from the stored time stamps.

    Raises
    ------
    InputError
        If it holds none.
    """
    if start is None and end is None:
        return dataset.n_bars
    timestamps = _TIMESTAMPS.load(store, dataset)
    first, stop = find_range(timestamps, cast("Spacing", dataset.spacing), start, end)
    return stop - first


def name_datasets(store: Store) -> str:
    """Return the remedy for a dataset that is not there: those that are."""
    symbols = sorted({record.symbol for record in store.datasets.list()})
    if not symbols:
        return "no such dataset, and none is stored yet; upload a file first"
    shown = ", ".join(symbols[:10]) + (", ..." if len(symbols) > 10 else "")
    return f"no such dataset; upload a file, or choose one of {shown}"


class _TimestampCache:
    """Time stamps of the datasets last asked for, by content hash, so immutable and never stale."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: OrderedDict[str, Any] = OrderedDict()

    def load(self, store: Store, dataset: DatasetRecord) -> Any:
        with self._lock:
            found = self._items.get(dataset.sha256)
            if found is not None:
                self._items.move_to_end(dataset.sha256)
                return found
        loaded = store.datasets.load_columns(dataset.sha256, ["timestamps"])["timestamps"]
        timestamps = np.asarray(loaded)
        with self._lock:
            self._items[dataset.sha256] = timestamps
            while sum(item.nbytes for item in self._items.values()) > _CACHED_TIMESTAMP_BYTES:
                self._items.popitem(last=False)
        return timestamps


_TIMESTAMPS = _TimestampCache()
