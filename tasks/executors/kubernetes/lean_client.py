"""The official client without its models, which would cost a web process 45 MiB and a second.

`import kubernetes` loads some 800 classes of Kubernetes' objects, a watcher, a websocket client
and more. We send and read plain documents, so the client's own transport, authentication and
operations on Jobs are all that is loaded: packages are entered by hand, so that their `__init__`
modules, which import everything, do not run. Where somebody has imported the whole client before,
that one is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import types
from pathlib import Path
from typing import Any, NamedTuple

from backtest.errors import InputError

_LOCK = threading.Lock()
_PACKAGES = ("kubernetes", "kubernetes.client", "kubernetes.client.api", "kubernetes.client.models")


class LeanClient(NamedTuple):
    """What we use of the client."""

    api_client: Any
    batch_api: Any
    configuration: Any
    api_exception: type[Exception]
    config_errors: tuple[type[Exception], ...]
    load_incluster: Any
    load_kubeconfig: Any
    list_contexts: Any


def check_client() -> None:
    """Refuse to start without the client; nothing is loaded.

    Raises
    ------
    InputError
        If it is not installed.
    """
    if "kubernetes" not in sys.modules and importlib.util.find_spec("kubernetes") is None:
        raise InputError.of(
            "STOCK_BACKTEST_EXECUTOR",
            "kubernetes",
            "needs the Kubernetes client; install stock-backtest[kubernetes]",
        )


def load_client() -> LeanClient:
    """Import the client, whose presence `check_client` has seen."""
    with _LOCK:
        if "kubernetes" not in sys.modules:
            _enter_packages()
        configuration = importlib.import_module("kubernetes.client.configuration")
        api_client = importlib.import_module("kubernetes.client.api_client")
        package = sys.modules["kubernetes.client"]
        # What the modules below expect to find in the package.
        for name, module in (("Configuration", configuration), ("ApiClient", api_client)):
            setattr(package, name, getattr(module, name))
        exceptions = importlib.import_module("kubernetes.client.exceptions")
        batch = importlib.import_module("kubernetes.client.api.batch_v1_api")
        config = importlib.import_module("kubernetes.config")
        return LeanClient(
            api_client=api_client.ApiClient,
            batch_api=batch.BatchV1Api,
            configuration=configuration.Configuration,
            api_exception=exceptions.ApiException,
            # A kubeconfig that cannot be read, or is no YAML, is a bad kubeconfig, too.
            config_errors=(
                *(config.ConfigException, OSError),
                importlib.import_module("yaml").YAMLError,
            ),
            load_incluster=config.load_incluster_config,
            load_kubeconfig=config.load_kube_config,
            list_contexts=config.list_kube_config_contexts,
        )


def _enter_packages() -> None:
    spec = importlib.util.find_spec("kubernetes")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("kubernetes", name="kubernetes")
    root = Path(next(iter(spec.submodule_search_locations)))
    for name in _PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
