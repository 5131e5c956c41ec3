"""A small client of the platform's HTTP API, for `--server URL`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from backtest.errors import FieldError, InputError
from tasks.settings import PREFIX, load_settings, redact_url

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 60.0
_WAIT_SECONDS = 25  # below the API's own limit of 30, so that the answer always comes from it


class ServerUnavailable(Exception):
    """The platform cannot be reached or says that a service behind it is down."""


class RunFailed(Exception):
    """The platform accepted a run that then failed or was cancelled."""


def _build_headers() -> dict[str, str]:
    token = load_settings().token.strip()
    if not token:
        return {}
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError.of(f"{PREFIX}TOKEN", "(hidden)", "is no token; paste it without blanks")
    return {"Authorization": f"Bearer {token}"}


class PlatformClient:
    """Calls the API of one platform.

    Parameters
    ----------
    server : str
        Base URL, for example ``http://127.0.0.1:5000``. A token comes from the environment, never
        from the command line, which everybody on this machine can read.

    Attributes
    ----------
    shown : str
        The URL as it may be printed, without its password.
    """

    def __init__(self, server: str) -> None:
        if not server.startswith(("http://", "https://")):
            raise InputError.of("--server", server, "write a URL such as http://127.0.0.1:5000")
        self._server = server.rstrip("/")
        self.shown = redact_url(self._server)
        timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
        # No proxy of the environment: the platform is on this machine or this network.
        self._http = httpx.Client(
            base_url=self._server, timeout=timeout, trust_env=False, headers=_build_headers()
        )

    def __enter__(self) -> PlatformClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send one request and return the decoded JSON body, None for an empty one.

        Raises
        ------
        InputError
            For a refusal (4xx), with the platform's own field errors.
        ServerUnavailable
            When nothing answers, or 5xx.
        """
        response = self._send(method, path, **options)
        if response.status_code >= 400:
            raise self._refusal(response)
        return response.json() if response.content else None

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> ServerUnavailable:
        return ServerUnavailable(
            f"{self.shown} cannot be reached ({type(error).__name__}); "
            "start it with `stock-backtest up` or correct --server"
        )

    def has_dataset(self, sha256: str) -> bool:
        """Return whether the platform has bars with this content hash, under whatever symbol."""
        response = self._send("GET", f"/api/v1/datasets/{quote(sha256, safe='')}")
        if response.status_code in (404, 405):  # 405: a platform that cannot be asked yet
            return False
        if response.status_code >= 400:
            raise self._refusal(response)
        return True

    def upload_dataset(
        self, path: Path, symbol: str, date_format: str | None = None
    ) -> dict[str, Any]:
        """Upload a bar file under a symbol and return the dataset's record."""
        fields = {"symbol": symbol}
        if date_format is not None:
            fields["date_format"] = date_format
        with path.open("rb") as stream:
            answer = self.call(
                "POST", "/api/v1/datasets", data=fields, files={"file": (path.name, stream)}
            )
        return dict(answer)

    def download(self, path: str, stream: BinaryIO) -> None:
        """Stream an answer into a file, piece by piece.

        Raises
        ------
        InputError, ServerUnavailable
            See `call`; also if the answer breaks off.
        """
        try:
            with self._http.stream("GET", path) as response:
                if response.status_code >= 400:
                    response.read()
                    raise self._refusal(response)
                for chunk in response.iter_bytes():
                    stream.write(chunk)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def run(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a run, wait for it and return its result document.

        Raises
        ------
        RunFailed
            With the platform's reason.
        """
        state = self.call(
            "POST", "/api/v1/runs", json=dict(payload), params={"wait": _WAIT_SECONDS}
        )
        run_id = quote(str(state["run_id"]))
        delay = 0.2
        while state["state"] in ("queued", "running"):
            time.sleep(delay)
            delay = min(2.0, delay * 1.5)
            state = self.call("GET", f"/api/v1/runs/{run_id}")
        if state["state"] != "succeeded":
            detail = (state.get("error") or {}).get("message") or state["state"]
            raise RunFailed(f"run {run_id} {state['state']}: {detail}")
        return dict(self.call("GET", f"/api/v1/runs/{run_id}/result"))

    def _refusal(self, response: httpx.Response) -> Exception:
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        detail = problem.get("detail") or problem.get("title") or response.reason_phrase
        if response.status_code in (401, 403):
            given = "(hidden)" if load_settings().token else None
            return InputError.of(f"{PREFIX}TOKEN", given, f"{self.shown} refuses: {detail}")
        if response.status_code >= 500:
            return ServerUnavailable(f"{self.shown} answered {response.status_code}: {detail}")
        errors = [
            FieldError(item["field"], item.get("value"), item["message"])
            for item in problem.get("errors", [])
        ]
        return InputError(errors or [FieldError("request", response.status_code, str(detail))])
