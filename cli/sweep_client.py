"""A sweep on a platform: submitted, followed, and brought home as the object of `sweep --json`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

import click

from backtest.errors import FieldError, InputError
from cli.client import PlatformClient, RunFailed
from cli.sweep_document import drop_extras
from cli.sweep_report import Progress

_API = "/api/v1/sweeps"
_WAIT_SECONDS = 1.0  # of the submission; what takes longer is worth a progress bar
_LONGEST_PAUSE_SECONDS = 2.0


def submit_sweep(client: PlatformClient, payload: Mapping[str, Any]) -> str:
    """Submit a sweep and return its id."""
    answer = client.call("POST", _API, json=dict(payload), params={"wait": _WAIT_SECONDS})
    return str(answer["sweep_id"])


def follow_sweep(client: PlatformClient, sweep_id: str, on_progress: Progress) -> dict[str, Any]:
    """Return the state of a sweep once it has succeeded.

    Raises
    ------
    InputError
        If it fails because of what was asked, for example where no point meets the constraints.
    RunFailed
        If it fails otherwise or is cancelled, with the platform's reason and what to do.
    """
    pause = 0.2
    was_paused = False
    while True:
        state = dict(client.call("GET", f"{_API}/{quote(sweep_id, safe='')}"))
        on_progress(state["n_positions_done"], state["n_positions"])
        if state["state"] == "paused" and not was_paused:
            resume = f"stock-backtest sweep-run resume {sweep_id} --server {client.shown}"
            click.echo(f"the sweep is paused; `{resume}` goes on with it", err=True)
        was_paused = state["state"] == "paused"
        if state["state"] == "succeeded":
            return state
        if state["state"] in ("failed", "cancelled"):
            _raise_refusal(state.get("error") or {})
            raise RunFailed(_explain(client, state))
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)


def _raise_refusal(error: Mapping[str, Any]) -> None:
    """Raise InputError for what the platform could only find wrong with a sweep in computing it."""
    if error.get("code") == "invalid_input" and error.get("errors"):
        raise InputError(
            FieldError(item["field"], item["value"], item["message"]) for item in error["errors"]
        )


def _explain(client: PlatformClient, state: Mapping[str, Any]) -> str:
    sweep_id = state["sweep_id"]
    reason = (state.get("error") or {}).get("message")
    text = f"sweep {sweep_id} {state['state']}"
    if reason:
        text += f": {reason}"
    if state["state"] == "failed" and state["chunks"]["failed"]:
        retry = f"stock-backtest sweep-run retry {sweep_id} --server {client.shown}"
        text += f"; `{retry}` computes what is missing"
    return text


def load_document(client: PlatformClient, state: Mapping[str, Any], top: int) -> dict[str, Any]:
    """Return the object of `sweep --json` for a sweep that has succeeded."""
    ranking = _ask(client, state["sweep_id"], "ranking", {"limit": top})
    return {
        "sweep_id": state["sweep_id"],
        "n_combinations": state["n_combinations"],
        "n_excluded": state["n_excluded"],
        "n_failed": state["n_failed"],
        "seconds": state["seconds"],
        "result_sha256": state["result_sha256"],
        "objective": state["objective"],
        "top": [drop_extras(row) for row in ranking["rows"]],
        "plateau": state["plateau"],
        "spec": state["spec"],
        "warnings": state["warnings"],
    }


def load_verdict(client: PlatformClient, sweep_id: str) -> dict[str, Any]:
    """Return the verdict on the winner of a sweep that has succeeded, as a local sweep has it."""
    answer = _ask(client, sweep_id, "verdict", {})
    return {name: value for name, value in answer.items() if name not in ("sweep_id", "complete")}


def _ask(
    client: PlatformClient, sweep_id: str, kind: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return an answer about a sweep's numbers; a worker may need longer than one request."""
    path = f"{_API}/{quote(str(sweep_id), safe='')}/{kind}"
    while True:
        answer: Mapping[str, Any] = client.call("GET", path, params=dict(params))
        if answer.get("state") != "computing":
            return answer
        time.sleep(1.0)


def download_export(client: PlatformClient, sweep_id: str, ending: str, stream: BinaryIO) -> None:
    """Stream all combinations of a sweep into a file."""
    client.download(f"{_API}/{quote(sweep_id, safe='')}/export.{ending}", stream)
