"""The API server: four operations on Jobs, repeated with patience, and errors turned into ours.

Nothing is watched and no pod is looked at, as the rights to do so are not asked for.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import urllib3

from backtest.errors import InputError
from tasks.executors.kubernetes.answers import (
    ClusterDenied,
    ClusterRefused,
    ClusterUnavailable,
    ListExpired,
    read_retry_after,
    read_warnings,
    translate,
)
from tasks.executors.kubernetes.lean_client import load_client
from tasks.settings import PREFIX, Settings

if TYPE_CHECKING:
    from tasks.executors.kubernetes.lean_client import LeanClient

_TOKEN_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CONNECT_SECONDS, _READ_SECONDS = 1.0, 5.0
_PAGE = 500
_MAX_RELISTS = 3
_FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.1, 5.0
# After its restart an API server may deny what it allows: rights are not loaded yet.
_DENIALS, _DENIAL_SECONDS = 2, 0.5
# Of a request for a person, who waits; and of whatever goes on in the background.
IMPATIENT, PATIENT = 2.0, 15.0


@dataclass(frozen=True, slots=True)
class Creation:
    """What became of a Job that was to be created.

    Parameters
    ----------
    created : bool
        False if one of its name is there already, perhaps about to be deleted.
    warnings : tuple of str
        What the API server thinks of it, such as that it will never get a pod.
    """

    created: bool
    warnings: tuple[str, ...] = ()


def check_access(environ: dict[str, str] | os._Environ[str]) -> None:
    """Refuse to start where no API server is named.

    Raises
    ------
    InputError
        If this is neither a pod with a service account nor told of a kubeconfig.
    """
    if environ.get("KUBECONFIG"):
        return
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        raise InputError.of(
            f"{PREFIX}EXECUTOR",
            "kubernetes",
            "needs a cluster: run it in a pod, or let KUBECONFIG name a kubeconfig",
        )
    if not (_TOKEN_DIR / "token").is_file():
        raise InputError.of(
            f"{PREFIX}EXECUTOR",
            "kubernetes",
            "needs the token of a service account: set automountServiceAccountToken of this pod",
        )


def has_access(environ: dict[str, str] | os._Environ[str]) -> bool:
    """Return whether this process was given a way to the API server; workers are not."""
    try:
        check_access(environ)
    except InputError:
        return False
    return True


class Cluster:
    """Jobs in one namespace; every method may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: LeanClient | None = None
        self._api: Any = None
        self._namespace = settings.kubernetes_namespace
        self.last_answer = 0.0  # [seconds of time.monotonic]

    @property
    def namespace(self) -> str:
        """Where Jobs are."""
        self._connect()
        return self._namespace

    def check_configured(self) -> None:
        """Return if an address, an identity and a namespace are known; nobody is asked.

        Raises
        ------
        ClusterError
        """
        self._connect()
        self.close()

    def create(self, manifest: dict[str, Any], *, patience: float = PATIENT) -> Creation:
        """Create a Job, or find that its name is taken."""
        operation = self._connect().create_namespaced_job
        arguments = {"body": manifest, "field_validation": "Strict"}
        answer = self._call("create", operation, self._namespace, patience=patience, **arguments)
        if answer is None:
            return Creation(created=False)
        return Creation(created=True, warnings=read_warnings(answer.headers))

    def get(self, name: str, *, patience: float = PATIENT) -> dict[str, Any] | None:
        """Return a Job, or None."""
        operation = self._connect().read_namespaced_job
        answer = self._call("get", operation, name, self._namespace, patience=patience)
        return None if answer is None else orjson.loads(answer.data)

    def list_jobs(self, selector: str, *, patience: float = PATIENT) -> list[dict[str, Any]]:
        """Return all Jobs of a selector, page by page; from the start if a page came too late."""
        for _ in range(_MAX_RELISTS):
            try:
                return self._list_pages(selector, patience)
            except ListExpired:
                continue
        raise ClusterUnavailable("the list of Jobs changes faster than it can be read")

    def _list_pages(self, selector: str, patience: float) -> list[dict[str, Any]]:
        operation = self._connect().list_namespaced_job
        found: list[dict[str, Any]] = []
        token = None
        while True:
            more: dict[str, Any] = {} if token is None else {"_continue": token}
            answer = self._call(
                "list",
                operation,
                self._namespace,
                patience=patience,
                label_selector=selector,
                limit=_PAGE,
                **more,
            )
            if answer is None:
                raise ClusterRefused("the API server has no Jobs: batch/v1 is not served")
            page = orjson.loads(answer.data)
            found += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found

    def probe(self, *, patience: float = IMPATIENT) -> None:
        """Return if the API server answers and lets us list."""
        operation = self._connect().list_namespaced_job
        self._call("list", operation, self._namespace, patience=patience, limit=1)

    def delete(self, name: str, uid: str | None = None, *, patience: float = PATIENT) -> bool:
        """Delete a Job with its pods; False if it, or the one of that `uid`, is gone already."""
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",  # without it the pods would be left behind
        }
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        operation = self._connect().delete_namespaced_job
        answer = self._call(
            "delete", operation, name, self._namespace, patience=patience, body=body
        )
        return answer is not None

    def ask_identity(self) -> str:
        """Return the user that the API server takes us for."""
        api = self._connect().api_client
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}

        def ask(**options: Any) -> Any:
            path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            return api.call_api(
                path,
                "POST",
                header_params=headers,
                body=review,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                **options,
            )

        answer = self._call("review", ask, patience=IMPATIENT)
        if answer is None:
            return "a user that this API server does not name"  # before Kubernetes 1.28
        user = (orjson.loads(answer.data).get("status") or {}).get("userInfo") or {}
        return str(user.get("username") or "system:anonymous")

    def close(self) -> None:
        """Close what is connected; the next call connects anew."""
        with self._lock:
            api, self._api = self._api, None
        if api is not None:
            api.api_client.rest_client.pool_manager.clear()

    def _connect(self) -> Any:
        if self._api is not None:
            return self._api
        with self._lock:
            if self._api is None:
                client = load_client()
                configuration = client.configuration()
                configuration.retries = False  # ours know what may be repeated
                self._configure(client, configuration)
                self._client = client
                self._api = client.batch_api(client.api_client(configuration))
        return self._api

    def _configure(self, client: LeanClient, configuration: Any) -> None:
        path = os.environ.get("KUBECONFIG")
        try:
            if path:
                client.load_kubeconfig(path, client_configuration=configuration)
                namespace = client.list_contexts(path)[1]["context"].get("namespace", "")
            else:
                client.load_incluster(client_configuration=configuration)
                namespace = (_TOKEN_DIR / "namespace").read_text().strip()
        except client.config_errors as error:
            first = " ".join(str(error).split())
            raise ClusterDenied(f"no way to the API server is configured: {first}") from error
        # A client that found a token and does not send it would ask as nobody, and be told that
        # nothing is allowed.
        has_identity = (
            configuration.get_api_key_with_prefix("BearerToken") or configuration.cert_file
        )
        if not has_identity and not configuration.get_basic_auth_token():
            raise ClusterDenied("no token was found to show to the API server")
        self._namespace = self._namespace or namespace
        if not self._namespace:
            raise ClusterRefused(
                f"no namespace is known; set {PREFIX}KUBERNETES_NAMESPACE, or that of the context"
            )

    def _call(self, verb: str, operation: Callable[..., Any], *names: str, **options: Any) -> Any:
        """Call until it is done, for `patience` seconds; None if it is not there, or there already.

        Raises
        ------
        ClusterError, ListExpired
        """
        patience = options.pop("patience")
        deadline = time.monotonic() + patience
        timeout = _CONNECT_SECONDS, min(_READ_SECONDS, 2 * patience)
        assert self._client is not None  # noqa: S101  # connected by whoever has an operation
        # The latter of a token or certificate that is read anew.
        lost: tuple[type[Exception], ...]
        lost = (urllib3.exceptions.HTTPError, *self._client.config_errors)
        wait, n_denied = _FIRST_WAIT_SECONDS, 0
        while True:
            least = 0.0
            try:
                answer = operation(
                    *names, _preload_content=False, _request_timeout=timeout, **options
                )
                answer.read(cache_content=True)  # else its connection could not be used again
                self.last_answer = time.monotonic()
                return answer
            except self._client.api_exception as error:
                trouble = translate(verb, error, self._namespace)
                if trouble is None:
                    self.last_answer = time.monotonic()
                    return None
                if isinstance(trouble, ClusterDenied):
                    n_denied += 1
                    if n_denied >= _DENIALS:
                        raise trouble from error
                    least = _DENIAL_SECONDS
                elif not isinstance(trouble, ClusterUnavailable):
                    raise trouble from error
                least = max(least, read_retry_after(error))
            except lost as error:
                trouble = ClusterUnavailable(f"the API server cannot be reached: {_name(error)}")
            pause = max(least, wait * random.uniform(0.5, 1.5))  # noqa: S311  # jitter
            if time.monotonic() + pause > deadline:
                raise trouble
            time.sleep(pause)
            wait = min(2 * wait, _MAX_WAIT_SECONDS)


def _name(error: BaseException) -> str:
    """Return an error without the addresses of objects that urllib3 puts into its messages."""
    text = re.sub(r"<[^>]*>:?\s*", "", str(error))
    return f"{type(error).__name__}: {' '.join(text.split())}"[:200]
