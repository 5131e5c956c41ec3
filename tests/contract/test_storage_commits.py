"""COMMITs that happened and whose answer was lost (error 2013): done once, and answered."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from storage.database import create_database
from storage.errors import StorageUnavailable
from storage.models import run_artifacts, runs
from storage.schema import upgrade_schema
from storage.store import Store
from storage.sweep_tables import SWEEP_METRICS, sweep_blocks
from tests.support.cutting_proxy import CuttingProxy, run_proxy
from tests.support.mariadb import MariaDbServer
from tests.support.storage_samples import SUMMARY, add_dataset, build_run, claim
from tests.support.sweep_samples import build_result, claim_chunk, submit_sweep


@pytest.fixture
def proxied(mariadb_server: MariaDbServer) -> Iterator[tuple[Store, Store, CuttingProxy]]:
    """A store whose every third COMMIT goes unanswered, and one that is not disturbed."""
    url = mariadb_server.create_database()
    direct = create_database(url)
    upgrade_schema(direct)
    with run_proxy(mariadb_server.port, cut_every=3) as proxy:
        cut = create_database(url.replace(f":{mariadb_server.port}/", f":{proxy.port}/"))
        yield Store(cut), Store(direct), proxy
        cut.dispose()
    direct.dispose()
    mariadb_server.drop_database(url)


def test_a_run_is_inserted_once(proxied: tuple[Store, Store, CuttingProxy]) -> None:
    cut, direct, proxy = proxied
    sha256 = add_dataset(direct)
    for number in range(6):
        new = build_run(sha256, idempotency_key=f"key-{number}", request_hash="a" * 64)
        assert cut.runs.insert(new).run_id == new.run_id
    assert proxy.n_cut >= 2
    assert direct.runs.counts()["queued"] == 6


def test_a_result_is_stored_once_and_its_worker_is_told(
    proxied: tuple[Store, Store, CuttingProxy],
) -> None:
    cut, direct, proxy = proxied
    sha256 = add_dataset(direct)
    for number in range(6):
        held = claim(direct, direct.runs.insert(build_run(sha256)).run_id)
        if number % 2:
            assert cut.runs.finish(held.run_id, held.attempt, SUMMARY, [], {})
        else:
            assert cut.runs.fail(held.run_id, held.attempt, {"code": "x"})
    assert proxy.n_cut >= 2
    with direct.engine.connect() as connection:
        states = Counter(connection.scalars(select(runs.c.state)))
        copies = connection.execute(
            select(func.count())
            .select_from(run_artifacts)
            .group_by(run_artifacts.c.run_id, run_artifacts.c.kind)
        ).scalars()
        assert set(copies) == {1}
    assert states == {"succeeded": 3, "failed": 3}


def test_a_chunk_is_stored_once_and_its_worker_is_told(
    proxied: tuple[Store, Store, CuttingProxy],
) -> None:
    cut, direct, proxy = proxied
    for _ in range(4):
        sweep = submit_sweep(direct)
        held = claim_chunk(direct, sweep.sweep_id)
        assert cut.sweeps.finish_chunk(held, build_result(held.first, held.stop))
    assert proxy.n_cut >= 2
    with direct.engine.connect() as connection:
        n_blocks = connection.scalar(select(func.count()).select_from(sweep_blocks))
    assert n_blocks == 4 * len(SWEEP_METRICS)


def test_what_cannot_be_told_apart_from_a_second_time_is_not_repeated(
    proxied: tuple[Store, Store, CuttingProxy],
) -> None:
    cut, direct, proxy = proxied
    run_id = direct.runs.insert(build_run(add_dataset(direct), run_id=str(uuid.uuid4()))).run_id
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(cut.runs.claim(run_id, "w", 60.0, 3))
        except StorageUnavailable:
            outcomes.append("unknown")
    # Claimed once at most; an attempt whose answer was lost ends with its lease.
    record = direct.runs.get(run_id)
    assert record is not None
    assert (record.state, record.attempt) == ("running", 1)
    assert proxy.n_commits >= 1
    assert len(outcomes) == 2
