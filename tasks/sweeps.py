"""Accepting and controlling sweeps: validate, persist, and only then tell the queue.

Imported by the web tier: no engine, no numba.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import orjson

from adapters.adapter import RESULTS_VERSION
from backtest.errors import FieldError, InputError
from backtest.manifest import compute_engine_hash
from rules.base_rule import get_rule
from rules.spec import DatasetRef
from rules.sweep_spec import (
    SweepRequest,
    SweepSpec,
    compute_sweep_fingerprint,
    pin_sweep_request,
)
from storage.errors import UnknownDataset
from storage.sweep_records import NewSweep
from tasks.compute import build_dataset_ref
from tasks.executors import get_executor
from tasks.logs import bind_sweep, get_logger
from tasks.settings import Settings
from tasks.submit import count_bars, name_datasets
from tasks.sweep_queue import dispatch_query, dispatch_sweep, plan_chunks

if TYPE_CHECKING:
    from backtest.bars import Spacing
    from storage.records import DatasetRecord
    from storage.store import Store
    from storage.sweep_records import QueryRecord, SweepRecord

log = get_logger(__name__)

QUERY_KINDS = ("ranking", "heatmap", "marginals", "importance", "parallel", "verdict")
# Until a rule was swept here: a combination costs its preparation and a pass over the bars.
_ASSUMED_SECONDS_PER_BAR = 2e-9  # [s / (bar x combination)], of rules with a hook
_ASSUMED_SECONDS_PER_COMBINATION = 1e-6


@dataclass(frozen=True, slots=True)
class SweepSubmission:
    """What became of a request.

    Parameters
    ----------
    record : SweepRecord
        The sweep that answers it.
    cached : bool
        A finished sweep with the same fingerprint was found; nothing is computed.
    created : bool
        A new sweep was stored; False also if the idempotency key was seen before.
    """

    record: SweepRecord
    cached: bool
    created: bool


@dataclass(frozen=True, slots=True)
class _Pinned:
    """A request with its datasets looked up."""

    spec: SweepSpec
    n_bars: int


def submit_sweep(
    store: Store,
    settings: Settings,
    request: SweepRequest,
    *,
    idempotency_key: str | None = None,
) -> SweepSubmission:
    """Accept one sweep.

    Parameters
    ----------
    request : SweepRequest
        From `rules.sweep_spec.parse_sweep_request`.
    idempotency_key : str, optional
        The same key with the same request answers with the same sweep.

    Raises
    ------
    InputError
        If a dataset is unknown or holds no bars in the date range, if no point meets the
        constraints, or there are more combinations than the configured limit.
    IdempotencyConflict
        If the key was used for another request.
    StorageUnavailable, ExecutorUnavailable
        If the database, or what a new sweep is handed to, cannot be reached; nothing was stored.
    """
    request_hash = _hash_request(request)
    if idempotency_key is not None:
        known = store.sweeps.find_by_idempotency_key(idempotency_key, request_hash)
        if known is not None:
            return SweepSubmission(known, cached=False, created=False)
    pinned = _pin_request(store, settings, request)
    fingerprint = _compute_fingerprint(pinned.spec)
    if not request.force:
        finished = store.sweeps.find_finished(fingerprint)
        if finished is not None:
            if idempotency_key is not None:
                finished = store.sweeps.save_idempotency_key(
                    idempotency_key, request_hash, finished.sweep_id
                )
            with bind_sweep(finished.sweep_id):
                log.info("sweep_found", fingerprint=fingerprint)
            return SweepSubmission(finished, cached=True, created=False)
    get_executor(settings).check_ready()
    new = _build_new(request, pinned, fingerprint, idempotency_key, request_hash)
    try:
        record = store.sweeps.insert(new)
    except UnknownDataset as error:  # removed between reading and writing
        named = ", ".join(request.dataset_names)
        raise InputError.of("dataset", named, name_datasets(store)) from error
    if record.sweep_id != new.sweep_id:  # the same key, sent twice at once; the other one won
        return SweepSubmission(record, cached=False, created=False)
    with bind_sweep(record.sweep_id):
        log.info(
            "sweep_submitted",
            state="queued",
            chunk_state="queued",
            symbol=record.symbol,
            rule=record.rule,
            n_positions=record.n_positions,
            fingerprint=fingerprint,
        )
        dispatch_sweep(store, settings, record.sweep_id)
    return SweepSubmission(record, cached=False, created=True)


def estimate_sweep(store: Store, settings: Settings, request: SweepRequest) -> dict[str, Any]:
    """Return how large a sweep is and how long it may take; nothing is stored.

    Returns
    -------
    dict
        ``n_points``, ``n_positions``, ``n_combinations`` and ``n_excluded`` (None if only the sweep
        itself can tell), ``n_bars``, ``rate`` (positions per second of all processes), ``seconds``,
        ``rate_source`` (``measured`` by this rule's latest sweep, or ``assumed``), ``chunks``,
        ``processes``.

    Raises
    ------
    InputError
        As `submit_sweep` does.
    """
    pinned = _pin_request(store, settings, request)
    spec, n_bars = pinned.spec, pinned.n_bars
    known = store.sweeps.find_rate(spec.rule)
    if known is None:
        each = _ASSUMED_SECONDS_PER_COMBINATION + _ASSUMED_SECONDS_PER_BAR * n_bars
        rate = 1.0 / each
    else:
        rate = known[0] * known[1] / n_bars  # [positions / s] * [bars] / [bars]
    processes = count_processes(settings)
    n_combinations = spec.n_combinations
    return {
        "n_points": spec.build_space().n_points,
        "n_positions": spec.n_positions,
        "n_combinations": n_combinations,
        "n_excluded": None if n_combinations is None else spec.n_positions - n_combinations,
        "n_bars": n_bars,
        "rate": rate * processes,
        "seconds": spec.n_positions / (rate * processes),
        "rate_source": "assumed" if known is None else "measured",
        "chunks": max(1, len(plan_chunks(0, spec.n_positions, rate, processes).stops)),
        "processes": processes,
    }


def count_processes(settings: Settings) -> int:
    """Return how many processes compute: as configured, else one per core of this machine."""
    return settings.worker_processes or len(os.sched_getaffinity(0))


def pause_sweep(store: Store, settings: Settings, sweep_id: str) -> bool:
    """Pause a sweep: from this return on no chunk completes. False if it is not going on."""
    paused = _log_change(store.sweeps.pause(sweep_id), sweep_id, "sweep_paused", "paused")
    if paused:
        get_executor(settings).forget("sweep", sweep_id)
    return paused


def resume_sweep(store: Store, settings: Settings, sweep_id: str) -> bool:
    """Go on with a paused sweep at once; False if it is not paused."""
    before = store.sweeps.get(sweep_id)
    state = "queued" if before is not None and before.started_at is None else "running"
    if not _log_change(store.sweeps.resume(sweep_id), sweep_id, "sweep_resumed", state):
        return False
    dispatch_sweep(store, settings, sweep_id)
    return True


def cancel_sweep(store: Store, settings: Settings, sweep_id: str) -> bool:
    """End a sweep; False if it has ended. What is computed stays."""
    ended = _log_change(store.sweeps.cancel(sweep_id), sweep_id, "sweep_cancelled", "cancelled")
    if ended:
        get_executor(settings).forget("sweep", sweep_id)
    return ended


def retry_sweep(store: Store, settings: Settings, sweep_id: str) -> bool:
    """Compute the failed chunks of a failed sweep again; False if it has not failed.

    Raises
    ------
    ExecutorUnavailable
        If it cannot be executed now; it stays as it is.
    """
    before = store.sweeps.get(sweep_id)
    if before is None or before.state != "failed":
        return False
    get_executor(settings).clear("sweep", sweep_id)
    if not _log_change(store.sweeps.retry(sweep_id), sweep_id, "sweep_retried", "running"):
        return False
    dispatch_sweep(store, settings, sweep_id)
    return True


def request_query(
    store: Store, settings: Settings, sweep_id: str, kind: str, args: dict[str, Any]
) -> QueryRecord:
    """Ask workers a question about a sweep's numbers, or find its answer.

    Parameters
    ----------
    kind : str
        Of `QUERY_KINDS`.
    args : dict
        JSON-safe keyword arguments of the function in `tasks.sweep_finish` that answers it.

    Raises
    ------
    KeyError
        If there is no such sweep, or no such kind.
    TooManyQuestions
        If `max_waiting_questions` wait already; what is answered can be had all the same.
    """
    if kind not in QUERY_KINDS:
        raise KeyError(kind)
    query = store.sweeps.ask(sweep_id, kind, args, settings.max_waiting_questions)
    if query is None:
        raise KeyError(sweep_id)
    if query.state in ("done", "failed"):
        return query
    with bind_sweep(sweep_id):
        dispatch_query(store, settings, query.query_id)
    return store.sweeps.get_query(query.query_id) or query


def _log_change(changed: bool, sweep_id: str, event: str, state: str) -> bool:
    if changed:
        with bind_sweep(sweep_id):
            log.info(event, state=state)
    return changed


def _hash_request(request: SweepRequest) -> str:
    canonical = orjson.dumps(request.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _compute_fingerprint(spec: SweepSpec) -> str:
    rule = get_rule(spec.rule)
    if rule is None:
        raise LookupError(f"rule {spec.rule!r} is not registered")
    return compute_sweep_fingerprint(
        spec,
        engine_hash=compute_engine_hash(),
        rule_version=rule.metadata.version,
        results_version=RESULTS_VERSION,
    )


def _pin_request(store: Store, settings: Settings, request: SweepRequest) -> _Pinned:
    datasets, errors, n_bars = [], [], 0
    for name in request.dataset_names:
        dataset = store.datasets.get(name)
        if dataset is None:
            field = "dataset" if request.dataset is not None else "datasets"
            errors.append(FieldError(field, name, name_datasets(store)))
            continue
        try:
            n_bars = max(n_bars, count_bars(store, dataset, request.start, request.end))
        except InputError as error:
            errors.extend(error.errors)
        datasets.append(_pin_dataset(dataset, adjust=request.adjust))
    if errors:
        raise InputError(errors)
    spec = pin_sweep_request(request, datasets, settings.max_combinations)
    return _Pinned(spec, n_bars)


def _pin_dataset(dataset: DatasetRecord, *, adjust: bool) -> DatasetRef:
    return build_dataset_ref(
        dataset.symbol,
        dataset.sha256,
        dataset.n_bars,
        dataset.first_ns,
        dataset.last_ns,
        cast("Spacing", dataset.spacing),
        adjusted=adjust and dataset.has_adjustment,
    )


def _build_new(
    request: SweepRequest,
    pinned: _Pinned,
    fingerprint: str,
    idempotency_key: str | None,
    request_hash: str,
) -> NewSweep:
    spec = pinned.spec
    method = spec.search.method
    n_positions = spec.n_positions
    first_stop = n_positions
    if method == "adaptive":
        from rules.adaptive_search import ADAPTIVE_BATCH

        first_stop = min(ADAPTIVE_BATCH, n_positions)
    return NewSweep(
        sweep_id=str(uuid.uuid4()),
        fingerprint=fingerprint,
        spec=spec.to_json_dict(),
        datasets=tuple((item.symbol, item.sha256) for item in spec.datasets),
        rule=spec.rule,
        method=method,
        objective=spec.objective,
        min_trades=spec.min_trades,
        n_points=spec.build_space().n_points,
        n_positions=n_positions,
        n_combinations=spec.n_combinations,
        n_bars=pinned.n_bars,
        first_stop=first_stop,
        tags=tuple(request.tags),
        note=request.note,
        idempotency_key=idempotency_key,
        request_hash=request_hash,
    )
