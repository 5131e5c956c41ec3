"""A stand-in for an API server: stateful, with rights by token, over real HTTP.

It refuses what a real one (1.36) refuses, in its words: names, labels, unknown fields, rights,
conflicts, expired lists. Its controllers create pods; `tests.support.kube_pods` plays them, as it
does on a real server that has no machines.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.kube_schema import find_invalid, find_unknown, find_violations
from tests.support.kube_store import KubeStore

NAMESPACE = "backtests"
WEB_USER = f"system:serviceaccount:{NAMESPACE}:stock-backtest-web"
ALL_VERBS = frozenset({"create", "get", "list", "delete"})
_BATCH, _PODS = "/apis/batch/v1/namespaces", "/api/v1/namespaces"
_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass
class Fault:
    """An answer that is given instead of the right one, so many times."""

    verb: str
    status: int
    reason: str
    times: int
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, reason: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.headers = status, reason, headers


class KubeApi:
    """The server; `url` stays the same when it is stopped and started again."""

    def __init__(self) -> None:
        self.store = KubeStore(NAMESPACE)
        self.users = {"web-token": WEB_USER, "admin-token": "admin"}
        self.rights = {WEB_USER: set(ALL_VERBS)}  # on jobs in the namespace; the admin may do all
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []  # about Jobs: verb, query or name
        self.page_limit = 500
        self.n_expired = 0  # pages that are answered with 410
        self._stop = threading.Event()
        self._server: _Server | None = None
        self._port = 0
        self.start()
        self._controller = threading.Thread(target=self._control, daemon=True)
        self._controller.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        api = self

        class Handler(_Handler):
            kube = api

        server = _Server(("127.0.0.1", self._port), Handler)
        self._port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Be away: connections are refused, objects stay."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()
        self._server = None

    def close(self) -> None:
        self._stop.set()
        self._controller.join()
        if self._server is not None:
            self.stop()

    def fail_next(
        self, verb: str, status: int, reason: str, times: int = 1, **headers: str
    ) -> None:
        self.faults.append(Fault(verb, status, reason, times, headers))

    def write_kubeconfig(self, path: Path, token: str = "web-token") -> Path:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "web", "user": {"token": token}}],
            "contexts": [
                {"name": "t", "context": {"cluster": "test", "user": "web", "namespace": NAMESPACE}}
            ],
            "current-context": "t",
        }
        path.write_text(json.dumps(document))  # JSON is YAML
        return path

    def _control(self) -> None:
        while not self._stop.wait(0.03):
            self.store.control()

    # -- requests -------------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, token: str | None, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if token is None:
            user = "system:anonymous"
        elif token in self.users:
            user = self.users[token]
        else:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if parts.path == _REVIEWS and method == "POST":
            if user == "system:anonymous":
                raise _forbid(user, "create", "selfsubjectreviews", "authentication.k8s.io", "")
            return 201, {**body, "status": {"userInfo": {"username": user}}}, []
        pieces = parts.path.strip("/").split("/")
        is_job = parts.path.startswith(_BATCH)
        namespace, resource, *rest = pieces[4:] if is_job else pieces[3:]
        name = rest[0] if rest else None
        verb = _name_verb(method, name)
        if is_job:
            self.requests.append((verb, name or parts.query))
        group = "batch" if is_job else ""
        if user != "admin" and (
            resource != "jobs" or namespace != NAMESPACE or verb not in self.rights.get(user, ())
        ):
            raise _forbid(user, verb, resource, group, namespace)
        for fault in self.faults:
            if is_job and fault.verb == verb and fault.times > 0:
                fault.times -= 1
                raise Refusal(fault.status, fault.reason, "told to fail", **fault.headers)
        with self.store.lock:
            if not is_job:
                return self._answer_pods(verb, name, body)
            return self._answer_jobs(verb, namespace, name, query, body)

    def _answer_pods(
        self, verb: str, name: str | None, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        pods = self.store.pods
        if verb == "list":
            items = [copy.deepcopy(pod) for pod in pods.values()]
            return 200, {"kind": "PodList", "metadata": {}, "items": items}, []
        if name not in pods:
            raise _miss("pods", name)
        if verb == "patch":
            pods[name]["status"] |= body["status"]
            self.store.stamp(pods[name])
        return 200, copy.deepcopy(pods[name]), []

    def _answer_jobs(
        self,
        verb: str,
        namespace: str,
        name: str | None,
        query: dict[str, str],
        body: dict[str, Any],
    ) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        jobs = self.store.jobs
        if verb == "create":
            if namespace != NAMESPACE:
                raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
            return self._create(query, body)
        if verb == "list":
            return 200, self._list(query), []
        if name not in jobs:
            raise _miss("jobs.batch", name)
        if verb == "get":
            return 200, copy.deepcopy(jobs[name]), []
        uid = (body.get("preconditions") or {}).get("uid")
        found = jobs[name]["metadata"]["uid"]
        if uid is not None and uid != found:
            raise Refusal(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on jobs.batch "{name}": the UID in the '
                f"precondition ({uid}) does not match the UID in record ({found})",
            )
        policy = body.get("propagationPolicy") or query.get("propagationPolicy") or "Orphan"
        return 200, copy.deepcopy(self.store.delete_job(name, policy)), []

    def _create(
        self, query: dict[str, str], job: dict[str, Any]
    ) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        unknown = list(find_unknown(job))
        if unknown and query.get("fieldValidation") == "Strict":
            said = ", ".join(f'unknown field "{path}"' for path in unknown)
            raise Refusal(
                400,
                "BadRequest",
                'Job in version "v1" cannot be handled as a Job: strict decoding error: ' + said,
            )
        invalid = list(find_invalid(job))
        name = job["metadata"]["name"]
        if invalid:
            raise Refusal(422, "Invalid", f'Job.batch "{name}" is invalid: {"; ".join(invalid)}')
        if name in self.store.jobs:
            gone = self.store.jobs[name]["metadata"].get("deletionTimestamp")
            message = f'jobs.batch "{name}" already exists'
            if gone:
                message = f'object is being deleted: jobs.batch "{name}" already exists'
            raise Refusal(409, "AlreadyExists", message)
        violations = find_violations(job["spec"]["template"]["spec"])
        headers = []
        if violations:
            said = ", ".join(violations).replace('"', '\\"')
            text = f'299 - "would violate PodSecurity \\"restricted:latest\\": {said}"'
            headers.append(("Warning", text))
        return 201, copy.deepcopy(self.store.add_job(copy.deepcopy(job))), headers

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        wanted = dict(
            part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part
        )
        found = [
            job
            for _, job in sorted(self.store.jobs.items())
            if all(job["metadata"].get("labels", {}).get(key) == v for key, v in wanted.items())
        ]
        token = query.get("continue")
        if token and self.n_expired > 0:
            self.n_expired -= 1
            raise Refusal(410, "Expired", "The provided continue parameter is too old")
        start = int(base64.urlsafe_b64decode(token).decode()) if token else 0
        size = min(int(query.get("limit") or self.page_limit), self.page_limit)
        page = found[start : start + size]
        metadata = {"resourceVersion": "1"}
        if start + size < len(found):
            metadata["continue"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
        return {"kind": "JobList", "metadata": metadata, "items": copy.deepcopy(page)}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """End connections that are kept alive, as a process that ends does."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *args: object) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    kube: KubeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_PATCH = do_GET  # noqa: N815  # names of http.server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        shown = token if scheme.lower() == "bearer" else None
        try:
            status, document, headers = self.kube.answer(self.command, self.path, shown, body)
        except Refusal as refusal:
            status, headers = refusal.status, list(refusal.headers.items())
            document = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": str(refusal),
                "reason": refusal.reason,
                "code": refusal.status,
            }
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _name_verb(method: str, name: str | None) -> str:
    if method == "GET":
        return "list" if name is None else "get"
    return {"POST": "create", "DELETE": "delete", "PATCH": "patch"}[method]


def _forbid(user: str, verb: str, resource: str, group: str, namespace: str) -> Refusal:
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    full = f"{resource}.{group}" if group else resource
    return Refusal(
        403,
        "Forbidden",
        f'{full} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group '
        f'"{group}"{where}',
    )


def _miss(resource: str, name: str | None) -> Refusal:
    return Refusal(404, "NotFound", f'{resource} "{name}" not found')


@contextmanager
def run_kube_api() -> Iterator[KubeApi]:
    api = KubeApi()
    try:
        yield api
    finally:
        api.close()
