"""The verdict on a sweep's winner: luck on noise, real on planted effects, the same everywhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.sweep_columns import HEADLINE_METRICS, MemoryColumns
from adapters.sweep_trials import find_edges, survey_trials
from backtest.bars import build_bars
from rules.sweep_spec import SweepSpec, parse_sweep_request
from storage.bar_files import load_bar_file
from tasks import sweep_verdict
from tasks.sweep_compute import SweepEvaluator, build_local_sweep_spec
from tasks.sweep_verdict import compute_verdict

ROOT = Path(__file__).parents[2]
N_BARS = 1500
BODIES: dict[str, dict[str, Any]] = {
    "rsi": {"space": {"window": "3:30:3", "oversold": "20:40:4", "overbought": "60:80:4"}},
    "sma_cross": {"space": {"fast": "2:30:3", "slow": "10:90:8"}, "where": "fast < slow"},
}


def build_market(close: np.ndarray) -> tuple[Any, Any]:
    """Daily bars that open where the one before closed."""
    # [days] * [hours / day] * [seconds / hour] * [ns / second] = [ns]
    stamps = np.arange(len(close), dtype=np.int64) * 24 * 3600 * 10**9
    open_ = np.concatenate([close[:1], close[:-1]])
    return build_bars(stamps, open_, np.maximum(open_, close), np.minimum(open_, close), close)


def draw_walk(seed: int) -> tuple[Any, Any]:
    return build_market(
        100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.015, N_BARS)))
    )


def draw_reversion(seed: int) -> tuple[Any, Any]:
    """Prices that are drawn back to where they came from within some days."""
    shocks, level = np.random.default_rng(seed).normal(0, 0.02, N_BARS), np.zeros(N_BARS)
    for i in range(1, N_BARS):
        level[i] = 0.85 * level[i - 1] + shocks[i]
    return build_market(100 * np.exp(level))


def draw_trends(seed: int) -> tuple[Any, Any]:
    """Prices that rise for 60 days, then fall for 60, with little noise around it."""
    noise = np.random.default_rng(seed).normal(0, 0.012, N_BARS)
    drift = 0.005 * np.sign(np.sin(np.arange(N_BARS) * np.pi / 60))
    return build_market(100 * np.exp(np.cumsum(noise + drift)))


def sweep(
    rule: str, *markets: tuple[Any, Any], **changes: Any
) -> tuple[MemoryColumns, SweepSpec, Any]:
    """Compute a sweep; return its columns, its spec, and what loads the bars."""
    names = [f"M{number}" for number in range(len(markets))]
    body = {"datasets": names, "rule": rule, "min_trades": 5, **BODIES[rule], **changes}
    request = parse_sweep_request(body)
    spec = build_local_sweep_spec(
        request, [(name, bars) for name, (bars, _) in zip(names, markets, strict=True)]
    )
    loaded = {ref.sha256: market for ref, market in zip(spec.datasets, markets, strict=True)}
    block = SweepEvaluator(spec, loaded.__getitem__).evaluate(0, spec.build_order().n_positions)
    columns = {name: block.metrics[:, i] for i, name in enumerate(HEADLINE_METRICS)}
    found = MemoryColumns(block.points, block.status, columns, chunk_size=100)
    return found, spec, loaded.__getitem__


def rechunk(columns: MemoryColumns, chunk_size: int) -> MemoryColumns:
    """The same results in other chunks."""
    return MemoryColumns(columns._points, columns._status, columns._metrics, chunk_size)


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_verdict, "MOST_TRIALS", 96)


@pytest.mark.parametrize("rule", ["rsi", "sma_cross"])
def test_on_noise_it_says_luck_nearly_always_and_never_real(rule, small_sample):
    words = [compute_verdict(*sweep(rule, draw_walk(seed)))["word"] for seed in range(8)]
    assert "likely_real" not in words
    assert words.count("likely_luck") >= 7


@pytest.mark.parametrize(
    ("rule", "draw"), [("rsi", draw_reversion), ("sma_cross", draw_trends)], ids=["rsi", "sma"]
)
def test_on_a_strong_planted_effect_it_says_real(rule, draw, small_sample):
    for seed in range(3):
        verdict = compute_verdict(*sweep(rule, draw(seed)))
        assert verdict["word"] == "likely_real", verdict["reasons"]
        assert verdict["best"]["dsr_effective"] >= 0.95
        assert {reason["code"]: reason["sign"] for reason in verdict["reasons"]}[
            "dsr_effective"
        ] == "+"


def test_what_the_market_alone_explains_is_not_called_real(small_sample):
    noise = np.random.default_rng(1).normal(0.002, 0.01, N_BARS)
    verdict = compute_verdict(*sweep("sma_cross", build_market(100 * np.exp(np.cumsum(noise)))))
    best = verdict["best"]
    assert best["dsr_effective"] >= 0.95
    assert best["sharpe"] < best["benchmark_sharpe"]
    assert verdict["word"] == "unproven"
    assert {"code": "held", "sign": "-"}.items() <= verdict["reasons"][-1].items()


@pytest.fixture(scope="module")
def aapl() -> tuple[MemoryColumns, SweepSpec, Any]:
    return sweep("rsi", load_bar_file(ROOT / "data" / "AAPL.csv"), trading={"stop_loss": "off,0.1"})


def test_the_figures_of_winner_and_plateau_are_those_of_the_sweep(aapl):
    columns, spec, _ = aapl
    verdict = compute_verdict(*aapl)
    [chunk] = rechunk(columns, 10**6).read(HEADLINE_METRICS)
    sharpe = np.where(chunk.columns["n_trades"] >= 5, chunk.columns["sharpe"], np.nan)
    best = int(np.nanargmax(sharpe))
    assert verdict["best"]["index"] == int(chunk.points[best])
    assert verdict["best"]["value"] == sharpe[best]
    for name in ("best", "plateau"):
        found = verdict[name]
        assert found["sharpe"] == pytest.approx(chunk.columns["sharpe"][found["index"]], rel=1e-12)
        assert found["n_trades"] == chunk.columns["n_trades"][found["index"]]
        assert found["dsr_raw"] <= found["dsr_effective"] <= found["psr"]
    trials = verdict["trials"]
    assert trials["n_combinations"] == spec.n_combinations
    assert trials["n_raw"] == np.isfinite(sharpe).sum()
    profitable = (chunk.columns["total_return"] > 0) & np.isfinite(sharpe)
    assert trials["share_profitable"] == profitable.sum() / trials["n_raw"]
    assert 1 <= trials["n_clusters"] <= trials["n_effective"] <= trials["n_raw"]
    assert trials["luck_sharpe_effective"] <= trials["luck_sharpe_raw"]
    assert verdict["data"] == {"n_bars": 3270, "years": 3270 / 252, "n_periods": 3270}


def test_it_is_the_same_in_whatever_chunks_the_sweep_was_computed(aapl):
    columns, spec, load = aapl
    other = compute_verdict(rechunk(columns, 37), spec, load)
    assert other == compute_verdict(columns, spec, load)


def test_the_sample_is_drawn_evenly_from_what_competes_on_the_winners_dataset():
    columns, spec, _ = sweep("rsi", draw_walk(1), draw_walk(2), min_trades=0)
    n_each = spec.build_space().n_points // 2
    survey = survey_trials(columns, spec, 60, is_final=True)
    assert survey.best is not None
    own = survey.best.point // n_each
    assert (survey.sample // n_each == own).all()
    assert len(np.unique(survey.sample)) == 60
    assert survey.n_alike <= n_each < survey.n_eligible
    thirds = np.bincount((survey.sample % n_each) * 3 // n_each, minlength=3)
    assert thirds.min() >= 10
    everything = survey_trials(columns, spec, 10_000, is_final=True)
    assert len(everything.sample) == everything.n_alike
    assert set(survey.sample) < set(everything.sample)


def test_several_datasets_count_as_more_trials_and_show_the_winner_elsewhere():
    columns, spec, load = sweep("sma_cross", draw_trends(1), draw_walk(2), draw_walk(3))
    verdict = compute_verdict(columns, spec, load)
    n_each = spec.build_space().n_points // 3
    own, rest = divmod(verdict["best"]["index"], n_each)
    sharpes = np.concatenate([chunk.columns["sharpe"] for chunk in columns.read(["sharpe"])])
    assert verdict["elsewhere"] == {
        f"M{number}": pytest.approx(sharpes[number * n_each + rest], rel=1e-12)
        for number in range(3)
        if number != own
    }
    assert verdict["trials"]["n_effective"] > verdict["trials"]["n_clusters"]


def test_before_the_last_chunk_neighbours_are_not_judged(aapl):
    verdict = compute_verdict(*aapl, is_final=False)
    assert verdict["plateau"] is None
    assert verdict["best"]["score"] is None
    assert "Not all combinations" in verdict["advice"]
    assert not {"spike", "plateau"} & {reason["code"] for reason in verdict["reasons"]}
    assert verdict["trials"]["n_sampled"] == 128


def test_one_combination_and_none_that_competes_are_no_verdict():
    market = draw_walk(1)
    one = compute_verdict(*sweep("rsi", market, space={"window": "14"}, min_trades=0))
    none = compute_verdict(*sweep("rsi", market, min_trades=1000))
    for verdict, text in ((one, "one combination"), (none, "1000 trades or more")):
        assert verdict["word"] == "unknown"
        assert text in verdict["reasons"][0]["text"]
        assert verdict["best"] is verdict["pbo"] is verdict["trials"] is None
        assert verdict["advice"]


def test_a_winner_that_never_trades_is_no_verdict():
    flat = build_market(np.linspace(100, 101, 60))
    verdict = compute_verdict(*sweep("rsi", flat, objective="total_return", min_trades=0))
    assert verdict["word"] == "unknown"


def test_ruin_and_shorts_leave_finite_figures():
    trading = {"direction": ["long_short"], "size": "1", "fee_rate": "0.01,0.02"}
    verdict = compute_verdict(*sweep("rsi", draw_walk(4), trading=trading))
    assert verdict["word"] in ("likely_luck", "unproven")
    assert 0 <= verdict["pbo"]["value"] <= 1


def test_long_data_are_looked_at_in_longer_periods(monkeypatch):
    monkeypatch.setattr(sweep_verdict, "_MOST_PERIODS", 400)
    verdict = compute_verdict(*sweep("sma_cross", draw_walk(1)))
    assert verdict["data"]["n_periods"] == N_BARS // 4
    assert not math.isnan(verdict["pbo"]["value"])


def test_the_edge_of_an_axis_is_its_first_and_last_number():
    _, spec, _ = sweep("rsi", draw_walk(1), trading={"stop_loss": "off,0.05:0.2:0.05"})
    space = spec.build_space()
    names = [axis.name for axis in space.axes]
    point = dict.fromkeys(names, 1)

    def edges(**digits: int) -> tuple[str, ...]:
        found = 0
        for axis in space.axes:
            found = found * axis.n_values + {**point, **digits}[axis.name]
        return find_edges(space, found)

    assert edges(stop_loss=2) == ()
    assert edges(window=0, stop_loss=2) == ("window",)
    assert edges(oversold=5, stop_loss=1) == ("oversold", "stop_loss")
    assert edges(stop_loss=4) == ("stop_loss",)
    assert edges(stop_loss=0) == ()  # off: nothing lies beyond it
