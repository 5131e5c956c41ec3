"""The web tier on a cluster: the stand-in, or the one that KUBECONFIG names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage.store import Store
from tasks.executors.kubernetes import KubernetesExecutor
from tasks.executors.kubernetes.jobs import build_manifest, build_spec
from tests.support.kube_api import NAMESPACE, KubeApi, run_kube_api
from tests.support.kube_pods import KubeAdmin, PodPlayer, play_pods
from tests.support.processes import wait_until
from tests.support.web import Web, build_web

# Of whoever runs the tests, before a test names a stand-in.
REAL_CLUSTER = os.environ.get("KUBECONFIG")
SETTINGS = {
    "executor": "kubernetes",
    "broker_url": "",
    "kubernetes_image": "registry.example/stock-backtest:1.2.3",
    "kubernetes_interval_seconds": 0.2,
    "maintenance_interval_seconds": 0.2,
    "lease_seconds": 3.0,
}


@dataclass
class KubePlatform:
    """An application whose runs are Jobs.

    Parameters
    ----------
    api : KubeApi or None
        The stand-in; None on a real cluster.
    """

    web: Web
    executor: KubernetesExecutor
    api: KubeApi | None
    player: PodPlayer
    admin: KubeAdmin

    @property
    def store(self) -> Store:
        return self.web.store

    def list_jobs(self) -> dict[str, Any]:
        namespace = self.executor.cluster.namespace
        _, found = self.admin.ask("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs")
        mine = self.executor.build_selector().split("=")[-1]
        return {
            job["metadata"]["name"]: job
            for job in found["items"]
            if job["metadata"].get("labels", {}).get("stock-backtest/instance") == mine
        }

    def settle(self, run_ids: list[str], seconds: float = 60.0) -> None:
        """Reconcile until these runs have ended and no Job that succeeded is left."""

        def is_settled() -> bool:
            self.executor.reconcile(self.store)
            standings = self.store.runs.find_standings(run_ids)
            states = {item.state for item in standings.values()}
            left = [
                name
                for name, job in self.list_jobs().items()
                if not any(c["type"] == "Failed" for c in job["status"].get("conditions", ()))
            ]
            return not states & {"queued", "running"} and not left

        wait_until(is_settled, seconds, "runs end and their Jobs go")


def get_api(platform: KubePlatform) -> KubeApi:
    """Return the stand-in."""
    assert platform.api is not None
    return platform.api


def build_job(platform: KubePlatform, run_id: str) -> dict[str, Any]:
    """Return the manifest of a run's Job, of a run that need not be there."""
    settings = platform.web.settings
    spec = build_spec(settings, NAMESPACE, "run", run_id, fingerprint="f" * 64, n_bars=300)
    return build_manifest(spec)


@contextmanager
def run_kube_platform(
    folder: Path, patch: pytest.MonkeyPatch, *, url: str = "", **changes: Any
) -> Iterator[KubePlatform]:
    """Run an application, a cluster and its pods; the application's loop is the test's to turn."""
    if REAL_CLUSTER:
        path = Path(REAL_CLUSTER)
        with _assemble(folder, path, None, url, changes) as platform:
            yield platform
        return
    with run_kube_api() as api:
        path = api.write_kubeconfig(folder / "kubeconfig")
        patch.setenv("KUBECONFIG", str(path))
        admin = api.write_kubeconfig(folder / "admin", "admin-token")
        with _assemble(folder, admin, api, url, changes) as platform:
            yield platform


@contextmanager
def _assemble(
    folder: Path,
    admin: Path,
    api: KubeApi | None,
    url: str,
    changes: dict[str, Any],
) -> Iterator[KubePlatform]:
    web = build_web(folder, url=url, **{**SETTINGS, **changes})
    executor = KubernetesExecutor(web.settings)
    namespace = NAMESPACE if api else executor.cluster.namespace
    secrets = {"database-url": web.settings.database_url}
    limits = {"STOCK_BACKTEST_LEASE_SECONDS": str(web.settings.lease_seconds)}
    whole = KubeAdmin(admin)
    player = PodPlayer(whole, namespace, secrets, folder / "pods.log", limits)
    with play_pods(player):
        yield KubePlatform(web, executor, api, player, whole)
    executor.cluster.close()
    web.store.engine.dispose()
