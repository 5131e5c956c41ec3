"""What the clients ask for, and what the command line computes for each of it in one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from cli.main import group as command_line
from tests.support.kills.platforms import ROOT

N_BIG = 120_000
RULES: list[dict[str, Any]] = [
    {"rule": "rsi", "params": {"window": 9}},
    {"rule": "rsi", "params": {"window": 21, "oversold": 25}},
    {"rule": "macd", "params": {}},
    {"rule": "sma_cross", "params": {}},
    {"rule": "rsi_macd", "params": {}},
    {"rule": "buy_and_hold", "params": {}},
]
SWEEPS: dict[str, dict[str, Any]] = {
    "grid": {
        "dataset": "AAPL",
        "rule": "rsi",
        "space": {"window": "3:22", "oversold": "21:40", "overbought": "60:79"},
        "trading": {"fee_rate": [round(0.0002 * number, 4) for number in range(20)]},
    },
    "random over two datasets": {
        "datasets": ["AAPL", "BIG"],
        "rule": "rsi",
        "space": {"window": "5:30", "oversold": "20:35", "overbought": "62:80"},
        "search": {"method": "random", "n": 700, "seed": 11},
    },
    "adaptive": {
        "dataset": "AAPL",
        "rule": "rsi",
        "space": {"window": "3:40", "oversold": "15:40", "overbought": "55:85"},
        "search": {"method": "adaptive", "n": 400, "seed": 5},
    },
    "grid of many bars": {
        "dataset": "BIG",
        "rule": "rsi",
        "space": {"window": "8:15", "oversold": "22:27", "overbought": "70:74"},
        "trading": {"fee_rate": [0.0, 0.0005]},
    },
}


def write_bars(path: Path, n_bars: int, seed: int) -> None:
    """Write minute bars with gaps, quiet hours and jumps."""
    rng = np.random.default_rng(seed)
    sigma = np.where(rng.random(n_bars) < 0.002, 0.02, 0.0006) * (0.2 + rng.random(n_bars))
    close = 50.0 * np.exp(np.cumsum(rng.standard_t(4, n_bars) * sigma * 0.5))
    open_ = np.concatenate(([50.0], close[:-1])) * (1 + rng.normal(0, 1e-4, n_bars))
    high = np.maximum(open_, close) * (1 + rng.exponential(2e-4, n_bars))
    low = np.minimum(open_, close) * (1 - rng.exponential(2e-4, n_bars) / 2)
    minutes = np.cumsum(1 + (rng.random(n_bars) < 0.001) * rng.integers(1, 900, n_bars))
    times = np.datetime64("2019-03-01T00:00:00") + minutes.astype("timedelta64[m]")
    with path.open("w") as file:
        file.write("Date,Open,High,Low,Close,Volume\n")
        for row in zip(times, open_, high, low, close, strict=True):
            file.write(f"{row[0]}Z,{row[1]:.6f},{row[2]:.6f},{row[3]:.6f},{row[4]:.6f},1000\n")


class Truth:
    """What the command line computes in this process, once for each request."""

    def __init__(self, folder: Path, seed: int) -> None:
        write_bars(folder / "BIG.csv", N_BIG, seed)
        self.files = {"AAPL": ROOT / "data" / "AAPL.csv", "BIG": folder / "BIG.csv"}
        self._runs: dict[str, dict[str, Any]] = {}
        self._sweeps: dict[str, str] = {}

    def _call(self, *arguments: str) -> dict[str, Any]:
        done = CliRunner().invoke(command_line, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    def compute_run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return the whole document of a run."""
        key = json.dumps(job, sort_keys=True)
        if key not in self._runs:
            words = [w for name, value in job["params"].items() for w in ("-p", f"{name}={value}")]
            file = str(self.files[job["dataset"]])
            self._runs[key] = self._call("backtest", file, "--rule", job["rule"], *words)
        return self._runs[key]

    def compute_sweep(self, name: str) -> str:
        """Return the hash of a sweep's whole result."""
        if name not in self._sweeps:
            body = SWEEPS[name]
            names = body.get("datasets") or [body["dataset"]]
            files = ",".join(str(self.files[item]) for item in names)
            words = [w for key, value in body["space"].items() for w in ("-p", f"{key}={value}")]
            if "trading" in body:
                words += ["--fee-rate", ",".join(map(str, body["trading"]["fee_rate"]))]
            if "search" in body:
                search = body["search"]
                words += [f"--{search['method']}", str(search["n"]), "--seed", str(search["seed"])]
            done = self._call("sweep", files, "--rule", body["rule"], *words)
            self._sweeps[name] = str(done["result_sha256"])
        return self._sweeps[name]
