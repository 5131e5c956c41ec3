"""A platform on a stand-in for an API server on which no pod starts by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import delete

from storage.models import metadata
from tasks.executors.kubernetes import KubernetesExecutor
from tests.support import kube_platform
from tests.support.kube_api import ALL_VERBS, WEB_USER
from tests.support.kube_platform import KubePlatform, run_kube_platform
from tests.support.model_base import write


@pytest.fixture(scope="module")
def quiet_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubePlatform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kube_platform, "REAL_CLUSTER", None)
        with run_kube_platform(tmp_path_factory.mktemp("kube"), patch) as platform:
            platform.player.concurrency = 0
            yield platform


@pytest.fixture
def platform(quiet_platform: KubePlatform) -> Iterator[KubePlatform]:
    """No runs, no Jobs, every right, a fresh executor; the application uses the same one."""
    api = quiet_platform.api
    assert api is not None
    for table in ("runs", "sweeps"):
        write(quiet_platform.store, delete(metadata.tables[table]))
    api.store.jobs.clear()
    api.store.pods.clear()
    api.store.start_pods, api.store.linger_seconds = False, 0.0
    api.faults.clear()
    api.requests.clear()
    api.rights = {WEB_USER: set(ALL_VERBS)}
    api.page_limit, api.n_expired = 500, 0
    executor = KubernetesExecutor(quiet_platform.web.settings)
    fresh = replace(quiet_platform, executor=executor)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("tasks.submit", "tasks.sweeps", "tasks.sweep_queue", "webapp.api.runs"):
            patch.setattr(f"{module}.get_executor", lambda settings: executor)
        yield fresh
    executor.cluster.close()
