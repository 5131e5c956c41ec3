"""What is refused before anything is served, each in one line with its remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backtest.errors import InputError
from tasks.executors import check_executor, get_executor
from tasks.settings import Settings, load_settings

IMAGE = "registry.example/stock-backtest:1.2.3"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a pod nor told of a cluster."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


def test_an_unknown_executor_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match="must be one of celery, kubernetes, inline"):
        load_settings({"STOCK_BACKTEST_EXECUTOR": "slurm"})


@pytest.mark.parametrize("image", ["", "x:latest", "x"])
def test_jobs_of_an_image_that_may_move_are_refused(image: str) -> None:
    settings = Settings(executor="kubernetes", kubernetes_image=image)
    with pytest.raises(InputError, match="STOCK_BACKTEST_KUBERNETES_IMAGE"):
        check_executor(settings)


def test_a_process_without_a_cluster_or_a_token_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(executor="kubernetes", kubernetes_image=IMAGE)
    with pytest.raises(InputError, match="let KUBECONFIG name a kubeconfig"):
        check_executor(settings)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(InputError, match="automountServiceAccountToken"):
        check_executor(settings)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(InputError, match="no way to the API server is configured"):
        check_executor(settings)
    (tmp_path / "torn").write_text("clusters: [")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "torn"))
    with pytest.raises(InputError, match="no way to the API server is configured"):
        check_executor(settings)
    path = write_kubeconfig(tmp_path / "without", {"cluster": "c", "user": "u"})
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(InputError, match="no namespace is known"):
        check_executor(settings)
    path = write_kubeconfig(tmp_path / "with", {"cluster": "c", "user": "u", "namespace": "n"})
    monkeypatch.setenv("KUBECONFIG", str(path))
    check_executor(settings)
    for other in ("celery", "inline"):
        check_executor(Settings(executor=other))  # type: ignore[arg-type]


def write_kubeconfig(path: Path, context: dict[str, str]) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": context}],
        "current-context": "x",
    }
    path.write_text(json.dumps(document))
    return path


def test_a_worker_of_a_platform_of_jobs_hands_nothing_over_itself() -> None:
    executor = get_executor(Settings(executor="kubernetes", kubernetes_image=IMAGE))
    assert not executor.send_run(None, "id")  # type: ignore[arg-type]  # it asks nobody


def test_variables_of_services_are_no_settings_but_a_slip_is_one() -> None:
    linked = {
        "STOCK_BACKTEST_WEB_SERVICE_HOST": "10.0.0.2",
        "STOCK_BACKTEST_WEB_SERVICE_PORT": "80",
        "STOCK_BACKTEST_WEB_SERVICE_PORT_HTTP": "80",
        "STOCK_BACKTEST_WEB_PORT": "tcp://10.0.0.2:80",
        "STOCK_BACKTEST_WEB_PORT_80_TCP": "tcp://10.0.0.2:80",
        "STOCK_BACKTEST_WEB_PORT_80_TCP_PROTO": "tcp",
        "STOCK_BACKTEST_WEB_PORT_80_TCP_ADDR": "10.0.0.2",
    }
    assert load_settings(linked) == Settings()
    with pytest.raises(InputError, match="unknown setting"):
        load_settings({"STOCK_BACKTEST_PORT": "5000"})
