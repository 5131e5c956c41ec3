"""Pods played by local processes, on the stand-in as on a real API server without machines.

A pod that nobody has is taken: its container's arguments are run by this machine's `stock-backtest`
with the pod's environment, and what became of it is written to the pod's status. A pod that
disappears is told to end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tasks.process_guard import build_child_guard
from tasks.settings import PREFIX


class PodPlayer:
    """See above.

    Parameters
    ----------
    client : httpx.Client
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
        client: httpx.Client,
        namespace: str,
        secrets: Mapping[str, str],
        log: Path,
        overrides: Mapping[str, str] | None = None,
        concurrency: int = 2,
    ) -> None:
        self._client, self._secrets, self._log = client, secrets, log
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._overrides = dict(overrides or {})
        self._concurrency = concurrency
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

    def kill_one(self) -> bool:
        """Kill a pod's process as a machine that goes down would."""
        for process in list(self.processes.values()):
            if process.poll() is None:
                process.kill()
                return True
        return False

    def _play(self) -> None:
        while not self._stop.wait(0.05):
            try:
                answer = self._client.get(self._pods)
            except httpx.TransportError:
                continue  # the API server is away
            if answer.status_code != 200:
                continue
            pods = {pod["metadata"]["name"]: pod for pod in answer.json()["items"]}
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
                if len(self.processes) >= self._concurrency:
                    break
                if pod["status"].get("phase") == "Pending" and name not in self.processes:
                    self._run(name, pod)

    def _run(self, name: str, pod: dict[str, Any]) -> None:
        [container] = pod["spec"]["containers"]
        # What a machine gives a process of its own; nothing of this test's settings.
        environ = {key: v for key, v in os.environ.items() if not key.startswith((PREFIX, "KUBE"))}
        environ |= self._overrides
        for item in container["env"]:
            reference = (item.get("valueFrom") or {}).get("secretKeyRef")
            value = self._secrets[reference["key"]] if reference else item["value"]
            environ[item["name"]] = value
        index = pod["metadata"]["labels"].get("batch.kubernetes.io/job-completion-index")
        if index is not None:
            environ["JOB_COMPLETION_INDEX"] = index
        with self._log.open("ab") as stream:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", self.module, *container["args"]],
                env=environ,
                stdout=stream,
                stderr=stream,
                preexec_fn=build_child_guard(),
            )
        self._patch(name, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})

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
        headers = {"Content-Type": "application/merge-patch+json"}
        try:
            answer = self._client.patch(
                f"{self._pods}/{name}/status", json={"status": status}, headers=headers
            )
        except httpx.TransportError:
            return False
        return answer.status_code in (200, 404)


@contextmanager
def play_pods(player: PodPlayer) -> Iterator[PodPlayer]:
    player.start()
    try:
        yield player
    finally:
        player.close()
