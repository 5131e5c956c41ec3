#!/usr/bin/env python3
"""Check a running platform end to end over HTTP: thirteen named checks, exit code 0 if all pass.

Usage: scripts/verify_mvp.py [URL] [--log FILE] [--flower URL] [--state-dir DIR]

Needs the Python standard library only. What is not given is taken from the `up.json` that
`stock-backtest up` writes into its state directory.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 30
_POLL_SECONDS = 60
_TABS = {
    "stats": ("metrics", "benchmark", "returns", "warnings"),
    "equity": ("equity", "benchmark", "close"),
    "drawdown": ("drawdown", "benchmark_drawdown"),
    "portfolio": ("cash", "position", "exposure"),
    "trades": ("entry_time", "exit_reason", "pnl", "mae", "mfe"),
}
_CHARTS = ("drawdown", "orders", "trade_pnl", "cumulative_return")


class CheckFailed(Exception):
    """A check found something else than it must."""


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        try:
            return json.loads(self.body, parse_constant=refuse_constant)
        except ValueError:
            raise CheckFailed(f"not JSON ({self.status}): {self.body[:120]!r}") from None


@dataclass
class Platform:
    """The platform under test and what the checks learn about it."""

    url: str
    flower_url: str
    log_file: Path | None
    run_id: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, *, base: str = "") -> Answer:
        """Send one request; a refusal is an answer like any other."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  # http only, see main
            (base or self.url) + path, data=data, method=method
        )
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())
        except OSError as error:
            raise CheckFailed(f"{request.full_url} cannot be reached: {error}") from error

    def get(self, path: str, status: int = 200) -> Any:
        """Return the JSON of a GET that must answer `status`."""
        answer = self.call("GET", path)
        expect(answer.status == status, f"GET {path} answered {answer.status}, not {status}")
        return answer.json()

    def submit(self, **fields: Any) -> tuple[Answer, Any]:
        """Post an RSI run on AAPL, changed by `fields`."""
        body = {"dataset": "AAPL", "rule": "rsi", "params": {"window": 14}, **fields}
        answer = self.call("POST", "/api/v1/runs", body)
        return answer, answer.json()

    def wait_for(self, run_id: str) -> Any:
        """Poll a run until it is terminal."""
        deadline = time.monotonic() + _POLL_SECONDS
        while time.monotonic() < deadline:
            state = self.get(f"/api/v1/runs/{run_id}")
            if state["state"] not in ("queued", "running"):
                expect(state["state"] == "succeeded", f"ended {state['state']}: {state['error']}")
                return state
            time.sleep(0.2)
        raise CheckFailed(f"run {run_id} was not done after {_POLL_SECONDS} s")


def refuse_constant(name: str) -> None:
    """Raise ValueError: NaN and infinities are no JSON."""
    raise ValueError(f"{name} is no JSON")


def expect(truth: bool, message: str) -> None:
    """Raise CheckFailed with `message` unless `truth`."""
    if not truth:
        raise CheckFailed(message)


def check_health(platform: Platform) -> str:
    """Check that database, broker and workers are up."""
    health = platform.get("/health")
    for part in ("status", "database", "broker", "workers", "version"):
        expect(part in health, f"/health lacks {part}")
    return f"status {health['status']}, version {health['version']}"


def check_page(platform: Platform) -> str:
    """Check that the page is served and loads nothing from another host."""
    answer = platform.call("GET", "/")
    text = answer.body.decode()
    expect(answer.status == 200 and "<form" in text, f"/ answered {answer.status} without a form")
    for attribute in ('src="http', "src='http", 'src="//', 'rel="stylesheet" href="http'):
        expect(attribute not in text, f"the page loads from another host: {attribute}")
    return f"{len(text):,} characters"


def check_rules(platform: Platform) -> str:
    """Check that the rules that ship are listed with their parameters."""
    listing = platform.get("/api/v1/rules")
    rules = listing["rules"] if isinstance(listing, dict) else listing
    names = {rule["name"] for rule in rules}
    wanted = {"rsi", "macd", "rsi_macd", "sma_cross", "buy_and_hold"}
    expect(wanted <= names, f"missing rules: {sorted(wanted - names)}")
    return ", ".join(sorted(names))


def check_presets(platform: Platform) -> str:
    """Check that a preset can be saved, listed, loaded and deleted."""
    name = f"verify {uuid.uuid4().hex[:8]}"
    body = {"name": name, "rule": "rsi", "params": {"window": 9}, "dataset": "AAPL"}
    saved = platform.call("POST", "/api/strategies", body)
    expect(saved.status in (200, 201), f"save answered {saved.status}: {saved.body[:200]!r}")
    preset_id = saved.json()["id"]
    listing = platform.get("/api/strategies")
    presets = listing["strategies"] if isinstance(listing, dict) else listing
    loaded = next((item for item in presets if item["id"] == preset_id), None)
    expect(loaded is not None, "the saved preset is not listed")
    assert loaded is not None  # noqa: S101  # for the type checker; expect() has raised
    expect(loaded["name"] == name, f"loaded another name: {loaded['name']}")
    expect(loaded["params"]["window"] == 9, f"loaded other parameters: {loaded['params']}")
    deleted = platform.call("DELETE", f"/api/strategies/{preset_id}")
    expect(deleted.status in (200, 204), f"delete answered {deleted.status}")
    listing = platform.get("/api/strategies")
    presets = listing["strategies"] if isinstance(listing, dict) else listing
    expect(all(item["id"] != preset_id for item in presets), "the preset is still listed")
    return "saved, listed, loaded, deleted"


def check_submit(platform: Platform) -> str:
    """Check that a run is accepted with 202, a Location and a UUID4."""
    answer, body = platform.submit(force=True)
    expect(answer.status == 202, f"answered {answer.status}: {body}")
    platform.run_id = body["run_id"]
    expect(uuid.UUID(platform.run_id).version == 4, f"not a UUID4: {platform.run_id}")
    expect(platform.run_id in (answer.headers["Location"] or ""), "Location lacks the run id")
    return platform.run_id


def check_poll(platform: Platform) -> str:
    """Check that the run succeeds."""
    state = platform.wait_for(platform.run_id)
    expect(state["metrics"]["n_trades"] > 0, "the run has no trades")
    return f"attempt {state['attempt']}, {state['metrics']['n_trades']} trades"


def check_tabs(platform: Platform) -> str:
    """Check that each of the five tabs has its data, and the books balance."""
    base = f"/api/v1/runs/{platform.run_id}"
    result, view = platform.get(f"{base}/result"), platform.get(f"{base}/view")
    for name in _TABS["stats"]:
        expect(name in view, f"stats lacks {name}")
    for tab in ("equity", "drawdown", "portfolio"):
        names = _TABS[tab]
        series = platform.get(f"{base}/series?names={','.join(names)}&points=500")
        for name in names:
            expect(len(series[name]) > 1, f"{tab} lacks {name}")
    for name in _TABS["trades"]:
        expect(name in result["trades"][0], f"trades lack {name}")
    final = result["equity"]["equity"][-1]
    initial = result["spec"]["trading"]["initial_cash"]
    pnl = sum(trade["pnl"] for trade in result["trades"]) + result["metrics"]["interest"]
    expect(abs(initial + pnl - final) <= 1e-9 * final, "trades do not add up to the equity")
    return f"stats, equity, drawdown, portfolio, trades; final equity {final:,.2f}"


def check_charts(platform: Platform) -> str:
    """Check that all four charts are pictures."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while True:  # charts follow the result
        answer = platform.call("GET", f"/api/v1/runs/{platform.run_id}/charts")
        if answer.status == 200 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    expect(answer.status == 200, f"charts answered {answer.status}")
    charts = answer.json()
    for name in _CHARTS:
        head, _, data = charts[name].partition(",")
        expect(head == "data:image/png;base64", f"{name} is {head!r}")
        expect(base64.b64decode(data)[:8] == b"\x89PNG\r\n\x1a\n", f"{name} is not a PNG")
    expect(len({charts[name] for name in _CHARTS}) == len(_CHARTS), "two charts are the same")
    smallest = min(len(charts[name]) for name in _CHARTS)
    expect(smallest > 2_000, f"a chart of {smallest} characters shows nothing")
    return ", ".join(_CHARTS)


def check_date_filter(platform: Platform) -> str:
    """Check that start and end are inclusive."""
    answer, body = platform.submit(start="2005-01-03", end="2005-12-30")
    expect(answer.status in (200, 202), f"answered {answer.status}: {body}")
    platform.wait_for(body["run_id"])
    times = platform.get(f"/api/v1/runs/{body['run_id']}/result")["equity"]["time"]
    expect((times[0], times[-1]) == ("2005-01-03", "2005-12-30"), f"{times[0]} to {times[-1]}")
    return f"{len(times)} bars from {times[0]} to {times[-1]}"


def check_bad_input(platform: Platform) -> str:
    """Check that every error of a bad request is named at once, and nothing is stored."""
    before = platform.get("/api/v1/runs?limit=1")
    answer, problem = platform.submit(params={"window": 0}, trading={"size": 50, "fee_rate": -1})
    expect(answer.status == 422, f"answered {answer.status}")
    kind = answer.headers["Content-Type"]
    expect(kind.startswith("application/problem+json"), f"answered as {kind}")
    fields = {item["field"] for item in problem["errors"]}
    wanted = {"params.window", "trading.fee_rate"}
    expect(wanted <= fields, f"names {sorted(fields)}, not {sorted(wanted)}")
    after = platform.get("/api/v1/runs?limit=1")
    expect(before == after, "a refused run was stored")
    return ", ".join(sorted(fields))


def check_unknown_id(platform: Platform) -> str:
    """Check that unknown and malformed ids are refused as problem documents."""
    unknown = platform.call("GET", f"/api/v1/runs/{uuid.uuid4()}")
    expect(unknown.status == 404, f"unknown id answered {unknown.status}")
    malformed = platform.call("GET", "/api/v1/runs/not-a-uuid")
    expect(malformed.status in (400, 404, 422), f"malformed id answered {malformed.status}")
    for answer in (unknown, malformed):
        expect("detail" in answer.json(), "no detail in the problem document")
    return f"{unknown.status} and {malformed.status}"


def check_logs(platform: Platform) -> str:
    """Check that web and worker both logged the run under its id."""
    if platform.log_file is None or not platform.log_file.is_file():
        raise CheckFailed("no log file; name it with --log FILE")
    lines = platform.log_file.read_text(errors="replace").splitlines()
    tagged = [line for line in lines if platform.run_id in line]
    for service in ("web", "worker"):
        named = [line for line in tagged if re.search(rf'service"?[:=]\s*"?{service}\b', line)]
        expect(bool(named), f"no line of the {service} in {platform.log_file} carries the run id")
    return f"{len(tagged)} lines"


def check_flower(platform: Platform) -> str:
    """Check that Flower sees at least one worker that is online."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline:  # Flower learns of workers by their events
        answer = platform.call("GET", "/workers?json=1", base=platform.flower_url)
        expect(answer.status == 200, f"Flower answered {answer.status}")
        online = [item for item in answer.json()["data"] if item.get("status")]
        if online:
            return ", ".join(item["hostname"] for item in online)
        time.sleep(0.5)
    raise CheckFailed("Flower sees no worker online")


CHECKS: tuple[tuple[str, Callable[[Platform], str]], ...] = (
    ("health", check_health),
    ("page", check_page),
    ("rules", check_rules),
    ("presets", check_presets),
    ("submit", check_submit),
    ("poll to success", check_poll),
    ("five tabs", check_tabs),
    ("four charts", check_charts),
    ("date filter", check_date_filter),
    ("bad input", check_bad_input),
    ("unknown id", check_unknown_id),
    ("run_id in the logs", check_logs),
    ("Flower", check_flower),
)


def find_platform(arguments: argparse.Namespace) -> Platform:
    """Combine the arguments with what `up.json` knows."""
    known: dict[str, Any] = {}
    up_file = Path(arguments.state_dir) / "up.json"
    if up_file.is_file():
        known = json.loads(up_file.read_text())
    url = arguments.url or known.get("web_url") or "http://127.0.0.1:5000"
    flower_url = arguments.flower or known.get("flower_url") or "http://127.0.0.1:5555"
    log = arguments.log or known.get("log_file")
    return Platform(url.rstrip("/"), flower_url.rstrip("/"), Path(log) if log else None)


def main() -> int:
    """Run all checks and print one line each."""
    parser = argparse.ArgumentParser(description="Check a running platform end to end.")
    parser.add_argument("url", nargs="?", help="base URL of the platform")
    parser.add_argument("--log", help="log file of web and worker")
    parser.add_argument("--flower", help="base URL of Flower")
    parser.add_argument("--state-dir", default=".stock-backtest", help="where up.json is")
    platform = find_platform(parser.parse_args())
    if not platform.url.startswith(("http://", "https://")):
        parser.error(f"url = {platform.url!r}: write a URL such as http://127.0.0.1:5000")
    n_failed = 0
    for name, check in CHECKS:
        try:
            print(f"ok    {name:<20} {check(platform)}")
        except (CheckFailed, LookupError, TypeError, ValueError) as error:
            n_failed += 1
            print(f"FAIL  {name:<20} {type(error).__name__}: {error}")
    print(f"{len(CHECKS) - n_failed} passed, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
