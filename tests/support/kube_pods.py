"""Pods played by local processes, on the stand-in as on a real API server without machines.

A pod that nobody has is taken: its container's arguments are run by this machine's `stock-backtest`
with the pod's environment, and what became of it is written to the pod's status. A pod that
disappears is told to end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import urllib3

from tasks.executors.kubernetes.lean_client import load_client
from tasks.process_guard import build_child_guard
from tasks.settings import PREFIX

_COMPONENT = "app.kubernetes.io/component"


class KubeAdmin:
    """Whom a kubeconfig names, who may look at pods and say what became of them."""

    def __init__(self, kubeconfig: Path) -> None:
        client = load_client()
        configuration = client.configuration()
        configuration.retries = False
        client.load_kubeconfig(str(kubeconfig), client_configuration=configuration)
        self._api, self._error = client.api_client(configuration), client.api_exception

    def ask(self, method: str, path: str, body: Any = None, kind: str = "") -> tuple[int, Any]:
        """Return status and document; status 0 if nobody answers."""
        headers = {"Content-Type": kind or "application/json", "Accept": "application/json"}
        try:
            answer = self._api.call_api(
                path,
                method,
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
            )
        except self._error as error:
            return int(error.status), None
        except urllib3.exceptions.HTTPError:
            return 0, None
        return answer.status, orjson.loads(answer.read(cache_content=True))

    def close(self) -> None:
        self._api.rest_client.pool_manager.clear()


class PodPlayer:
    """See above.

    Parameters
    ----------
    admin : KubeAdmin
        Of somebody who may list pods and patch their status.
    secrets : mapping of str to str
        What the key of a `secretKeyRef` holds.
    overrides : mapping of str to str
        Variables of every pod, as a config map's.
    concurrency : int
        Pods at a time: a machine has only so many cores.
    """

    def __init__(
        self,
        admin: KubeAdmin,
        namespace: str,
        secrets: Mapping[str, str],
        log: Path,
        overrides: Mapping[str, str] | None = None,
        concurrency: int = 2,
    ) -> None:
        self._admin, self._secrets, self._log = admin, secrets, log
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._overrides = dict(overrides or {})
        self.concurrency = concurrency
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.module = "cli.main"
        self.exit_codes: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for process in self.processes.values():
            process.kill()
            process.wait()
        self._admin.close()

    def kill_one(self) -> bool:
        """Kill a pod's process as a machine that goes down would."""
        for process in list(self.processes.values()):
            if process.poll() is None:
                process.kill()
                return True
        return False

    def _play(self) -> None:
        while not self._stop.wait(0.05):
            status, found = self._admin.ask("GET", self._pods)
            if status != 200:
                continue  # the API server is away
            pods = {
                pod["metadata"]["name"]: pod
                for pod in found["items"]
                if pod["metadata"].get("labels", {}).get(_COMPONENT) == "job"
            }
            for name, process in list(self.processes.items()):
                code = process.poll()
                if name not in pods or pods[name]["metadata"].get("deletionTimestamp"):
                    if code is None:
                        process.send_signal(signal.SIGTERM)
                    else:
                        del self.processes[name]
                elif code is not None and self._report(name, code):
                    self.exit_codes.append(code)
                    del self.processes[name]
            for name, pod in pods.items():
                if len(self.processes) >= self.concurrency:
                    break
                if pod["status"].get("phase") == "Pending" and name not in self.processes:
                    self._run(name, pod)

    def _run(self, name: str, pod: dict[str, Any]) -> None:
        [container] = pod["spec"]["containers"]
        # What a machine gives a process of its own; nothing of this test's settings.
        environ = {key: v for key, v in os.environ.items() if not key.startswith((PREFIX, "KUBE"))}
        environ |= self._overrides
        environ |= {item["name"]: self._resolve(item, pod) for item in container["env"]}
        with self._log.open("ab") as stream:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", self.module, *container["args"]],
                env=environ,
                stdout=stream,
                stderr=stream,
                preexec_fn=build_child_guard(),
            )
        self._patch(name, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})

    def _resolve(self, item: dict[str, Any], pod: dict[str, Any]) -> str:
        """Return what a variable holds; the Job controller adds one that refers to a label."""
        source = item.get("valueFrom") or {}
        if "secretKeyRef" in source:
            return self._secrets[source["secretKeyRef"]["key"]]
        if "fieldRef" in source:
            path = source["fieldRef"]["fieldPath"]
            found = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
            assert found is not None, path
            return str(pod["metadata"][found[1]][found[2]])
        return str(item["value"])

    def _report(self, name: str, code: int) -> bool:
        status = {
            "phase": "Succeeded" if code == 0 else "Failed",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [
                {
                    "name": "job",
                    "image": "played",
                    "imageID": "played",
                    "ready": False,
                    "restartCount": 0,
                    # A process that a signal ended, as a container's runtime reports it.
                    "state": {"terminated": {"exitCode": code if code >= 0 else 128 - code}},
                }
            ],
        }
        return self._patch(name, status)

    def _patch(self, name: str, status: dict[str, Any]) -> bool:
        kind = "application/merge-patch+json"
        path = f"{self._pods}/{name}/status"
        return self._admin.ask("PATCH", path, {"status": status}, kind)[0] in (200, 404)


@contextmanager
def play_pods(player: PodPlayer) -> Iterator[PodPlayer]:
    player.start()
    try:
        yield player
    finally:
        player.close()
