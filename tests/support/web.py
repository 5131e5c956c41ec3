"""A real application on a real SQLite file, and bars to put into it."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from storage.access import Scope
from storage.database import create_database
from storage.schema import upgrade_schema
from storage.store import Store
from tasks.settings import Settings
from webapp.app import create_app

DAY_NS = 86_400_000_000_000
FIRST_NS = int(np.datetime64("2020-01-01", "ns").astype(np.int64))
COLUMNS = ("open", "high", "low", "close")


@dataclass(frozen=True)
class ParsedBars:
    """What the ingest child hands over, made by hand."""

    sha256: str
    n_bars: int
    first_ns: int
    last_ns: int
    spacing: str
    periods_per_year: float
    has_adjustment: bool
    warnings: list[dict[str, Any]]
    columns: dict[str, bytes]


@dataclass
class Web:
    """One application under test."""

    app: Flask
    client: FlaskClient
    store: Store
    settings: Settings


def build_parsed(n_bars: int = 300, seed: int = 1) -> ParsedBars:
    """Return a seeded walk of daily bars, one every calendar day from 2020-01-01."""
    generator = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(generator.normal(0.0, 0.02, n_bars)))
    arrays = {
        "timestamps": FIRST_NS + DAY_NS * np.arange(n_bars, dtype="<i8"),
        "open": close * 1.001,
        "high": close * 1.02,
        "low": close * 0.98,
        "close": close,
        "volume": np.full(n_bars, 1000.0),
        "adj_factor": np.ones(n_bars),
    }
    compress = zstandard.ZstdCompressor(level=1).compress
    return ParsedBars(
        sha256=hashlib.sha256(b"".join(item.tobytes() for item in arrays.values())).hexdigest(),
        n_bars=n_bars,
        first_ns=int(arrays["timestamps"][0]),
        last_ns=int(arrays["timestamps"][-1]),
        spacing="daily",
        periods_per_year=365.25,
        has_adjustment=False,
        warnings=[],
        columns={name: compress(item.tobytes()) for name, item in arrays.items()},
    )


def build_csv(n_bars: int = 50) -> bytes:
    """Return a small valid CSV file of bars."""
    lines = ["Date,Open,High,Low,Close,Volume"]
    for i in range(n_bars):
        day = np.datetime64("2021-01-01") + i
        lines.append(f"{day},{100 + i},{102 + i},{99 + i},{101 + i},1000")
    return ("\n".join(lines) + "\n").encode()


def _prepare_store(url: str) -> Store:
    engine = create_database(url)
    upgrade_schema(engine)
    store = Store(engine)
    store.datasets.add(build_parsed(), "WALK", "walk.csv")
    return store


def _compile_rules_once() -> None:
    """Let every application after the first one take over what is compiled of its addresses.

    Werkzeug compiles two functions for each address of each application, which takes longer than
    all else of making one, and a thousand tests make one each. The functions depend on the address
    alone: none of ours has a converter or a default that an application could have changed.
    """
    compiled: dict[tuple[Any, ...], Any] = {}
    compile_builder = Rule._compile_builder

    def compile_once(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, rule.host, rule.subdomain, repr(rule.defaults), append_unknown)
        if key not in compiled:
            compiled[key] = compile_builder(rule, append_unknown)
        return compiled[key]

    Rule._compile_builder = compile_once  # type: ignore[method-assign]


_compile_rules_once()


@cache
def _build_prepared_file() -> bytes:
    # All migrations take a quarter of a second, and a thousand tests want a file of their own.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.db"
        _prepare_store(f"sqlite:///{path}").engine.dispose()
        assert [item.name for item in path.parent.iterdir()] == [path.name], "all is in one file"
        return path.read_bytes()


def build_web(folder: Path, *, url: str = "", **changes: Any) -> Web:
    """Return an application on a fresh database that holds the dataset WALK (300 daily bars).

    The database is an SQLite file in `folder` unless `url` names an empty one. The broker is a
    closed port unless `changes` name another: what is submitted stays queued.
    """
    if url:
        store = _prepare_store(url)
    else:
        (folder / "test.db").write_bytes(_build_prepared_file())
        url = f"sqlite:///{folder / 'test.db'}"
        store = Store(create_database(url))
    settings = Settings(**{"database_url": url, "broker_url": "redis://127.0.0.1:1/0", **changes})
    app = create_app(settings)
    return Web(app, app.test_client(), store, settings)


@pytest.fixture
def web(tmp_path: Path) -> Web:
    """An application whose runs stay queued."""
    return build_web(tmp_path)


@pytest.fixture
def inline_web(tmp_path: Path) -> Web:
    """An application that computes within the request."""
    return build_web(tmp_path, executor="inline")


# As an operator would make it; 32 characters are the least.
SECRET_KEY = "a-key-that-only-the-tests-sign-with"


def make_token(web: Web, scope: Scope = "admin") -> str:
    """Make a token, which closes the platform, and return its secret."""
    return web.store.tokens.create(f"{scope} of a test", scope)[1]


def bearer(secret: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {secret}"}


RUN = {"dataset": "WALK", "rule": "rsi", "params": {"window": 5}}


def submit(web: Web, **changes: Any) -> str:
    """Submit a run and return its id."""
    answer = web.client.post("/api/v1/runs", json={**RUN, **changes})
    assert answer.status_code in (200, 202), answer.json
    return str(answer.json["run_id"])


def count_rows(web: Web) -> tuple[int, int, int]:
    """Return how many runs, datasets and presets are stored."""
    return (
        sum(web.store.runs.counts().values()),
        len(web.store.datasets.list()),
        len(web.store.presets.list()),
    )
