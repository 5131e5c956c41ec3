"""Every combination of a sweep equals its single run, wherever its chunk begins."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from adapters.sweep_columns import HEADLINE_METRICS
from backtest import sweep
from backtest.bars import Bars, DataWarning, build_bars
from backtest.errors import InputError
from rules import base_rule
from rules.base_rule import BaseRule, Parameter, RuleMetadata, RuleOutput, SignalPart, list_rules
from rules.sweep_spec import SweepSpec, parse_sweep_request
from storage.bar_files import load_bar_file
from tasks import sweep_market, sweep_signals
from tasks.compute import compute_run
from tasks.sweep_compute import (
    SweepBlock,
    SweepEvaluator,
    build_local_sweep_spec,
    read_objective,
    warm_sweep_kernels,
)

DATA = Path(__file__).parents[2] / "data"
RULES = {rule.metadata.name: rule for rule in list_rules()}
Loaded = tuple[Bars, Sequence[DataWarning]]


@pytest.fixture(scope="module")
def aapl() -> Loaded:
    return load_bar_file(DATA / "AAPL.csv")


def build_short_bars(n_bars: int = 400, seed: int = 2) -> Loaded:
    rng = np.random.default_rng(seed)
    close = 30.0 * np.exp(np.cumsum(rng.normal(0, 0.02, n_bars)))
    opening = close * np.exp(rng.normal(0, 0.005, n_bars))
    high, low = np.maximum(opening, close) * 1.01, np.minimum(opening, close) * 0.99
    stamps = 1_600_041_600_000_000_000 + 86_400_000_000_000 * np.arange(n_bars)
    return build_bars(stamps, opening, high, low, close, rng.uniform(1, 9, n_bars))


def build_evaluator(payload: dict[str, Any], *loaded: Loaded) -> tuple[SweepSpec, SweepEvaluator]:
    symbols = [f"S{i}" for i in range(len(loaded))]
    named = {"dataset": symbols[0]} if len(loaded) == 1 else {"datasets": symbols}
    datasets = [(symbol, bars) for symbol, (bars, _) in zip(symbols, loaded, strict=True)]
    spec = build_local_sweep_spec(parse_sweep_request({**named, **payload}), datasets)
    contents = dict(zip([ref.sha256 for ref in spec.datasets], loaded, strict=True))
    return spec, SweepEvaluator(spec, contents.__getitem__)


def compute_single(spec: SweepSpec, point: int, *loaded: Loaded) -> list[float]:
    run_spec = spec.run_spec(point)
    hashes = [ref.sha256 for ref in spec.datasets]
    bars, noticed = loaded[hashes.index(run_spec.dataset.sha256)]
    metrics = compute_run(run_spec, bars, noticed).summary["metrics"]
    return [np.nan if metrics[name] is None else metrics[name] for name in HEADLINE_METRICS]


def assert_equals_single_runs(
    spec: SweepSpec, block: SweepBlock, chosen: Sequence[int], *loaded: Loaded
) -> None:
    for row in chosen:
        assert block.status[row] == 0
        single = compute_single(spec, int(block.points[row]), *loaded)
        np.testing.assert_allclose(
            block.metrics[row], single, rtol=1e-12, atol=1e-12, err_msg=str(block.points[row])
        )


def choose_space(rule: BaseRule) -> dict[str, Any]:
    """Return several values of every parameter, the default among them."""
    space: dict[str, Any] = {}
    for item in rule.metadata.parameters:
        if item.type == "bool":
            space[item.name] = [False, True]
        elif item.type == "choice":
            space[item.name] = list(item.choices)
        else:
            values = {item.default}
            for factor in (0.4, 0.7, 1.3):
                value = round(item.default * factor, 3) if item.default else factor
                value = max(2, int(value)) if item.type == "int" else float(value)
                if (item.minimum or 0) <= value <= (item.maximum or value):
                    values.add(value)
            space[item.name] = sorted(values)
    return space


TRADING = {
    "direction": ["long_only", "long_short", "short_only"],
    "fill": ["next_open", "same_close", "worst_of_bar"],
    "stop_loss": "off,0.05",
    "take_profit": "off,0.1",
    "trailing_stop": "off,0.08",
    "slippage": "0,0.001",
    "size": "0.5,1",
    "cash_rate": "0,0.06",
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_combinations_of_every_rule_equal_their_single_runs(rule, aapl):
    search = {"method": "random", "n": 400, "seed": 5}
    payload = {
        "rule": rule.metadata.name,
        "space": choose_space(rule),
        "trading": TRADING,
        "search": search,
        "start": "2001-01-01",
        "end": "2005-06-30",
    }
    spec, evaluator = build_evaluator(payload, aapl)
    n_positions = spec.build_order().n_positions
    block = evaluator.evaluate(0, n_positions)
    admitted = np.flatnonzero(block.status != 1)
    assert block.n_combinations == admitted.size
    assert block.n_failed == 0
    rng = np.random.default_rng(1)
    assert_equals_single_runs(spec, block, rng.choice(admitted, 12), aapl)


RSI = {
    "rule": "rsi",
    "space": {"window": "2:15", "oversold": "20:60:10", "overbought": "40:80:10"},
    "trading": {"stop_loss": "off,0.1", "direction": ["long_only", "long_short"]},
}


def test_results_depend_on_no_chunk_and_no_history(monkeypatch):
    loaded = build_short_bars()
    spec, evaluator = build_evaluator(RSI, loaded)
    n = spec.build_order().n_positions
    whole = evaluator.evaluate(0, n)
    np.testing.assert_array_equal(whole.points, np.arange(n))
    monkeypatch.setattr("tasks.sweep_compute._TILE_POINTS", 7)
    monkeypatch.setattr(sweep_signals, "_TABLE_BYTES", 3_000)
    monkeypatch.setattr(sweep_market, "_CALL_BYTES", 3_000)
    monkeypatch.setattr(sweep_market, "_MAX_KEPT_CONFIGS", 0)
    monkeypatch.setattr("rules.sweep_hooks.ROW_BYTES", 0)
    _, frugal = build_evaluator(RSI, loaded)
    cuts = [0, 1, 2, 50, 333, 334, n]
    for first, stop in reversed(list(pairwise(cuts))):
        block = frugal.evaluate(first, stop)
        assert block.first == first
        np.testing.assert_array_equal(block.status, whole.status[first:stop])
        assert block.metrics.tobytes() == whole.metrics[first:stop].tobytes()


def test_threads_share_an_evaluator():
    loaded = build_short_bars()
    spec, evaluator = build_evaluator(RSI, loaded)
    n = spec.build_order().n_positions
    whole = evaluator.evaluate(0, n)
    _, shared = build_evaluator(RSI, loaded)
    blocks: list[SweepBlock] = []

    def work(offset: int) -> None:
        blocks.extend(shared.evaluate(first, first + 50) for first in range(offset, n - 50, 100))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in (0, 50, 0, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(blocks) > 20
    for block in blocks:
        np.testing.assert_array_equal(block.metrics, whole.metrics[block.first : block.first + 50])


def test_excluded_points_keep_their_place_and_are_no_combinations():
    spec, evaluator = build_evaluator(RSI, build_short_bars())
    block = evaluator.evaluate(0, spec.build_order().n_positions)
    for row in range(0, block.status.size, 11):
        _, params, _ = spec.combination(row)
        assert (block.status[row] == 1) == (params["oversold"] >= params["overbought"])
    assert np.isnan(block.metrics[block.status == 1]).all()
    assert block.n_excluded == np.count_nonzero(block.status == 1) > 0
    assert block.n_combinations + block.n_excluded == block.status.size


def test_several_datasets_are_an_axis(aapl):
    loaded = (aapl, build_short_bars(300, 1), build_short_bars(500, 2))
    payload = {
        "rule": "sma_cross",
        "space": {"fast": "5:9", "slow": "8:30:2"},
        "trading": {"cash_rate": "0,0.05", "periods_per_year": "off,100"},
    }
    spec, evaluator = build_evaluator(payload, *loaded)
    n = spec.build_order().n_positions
    block = evaluator.evaluate(0, n)
    ok = np.flatnonzero(block.status == 0)
    assert_equals_single_runs(spec, block, ok[:: ok.size // 14], *loaded)
    messages = [item["message"] for item in evaluator.warnings]
    assert any(message.startswith("S0: ") for message in messages)
    backwards = evaluator.evaluate(0, n, np.arange(n)[::-1].copy())
    np.testing.assert_array_equal(backwards.metrics[::-1], block.metrics)


def test_prices_are_adjusted_unless_the_request_says_not(aapl):
    payload = {"rule": "rsi", "space": {"window": "10:14"}}
    results = []
    for adjust in (True, False):
        spec, evaluator = build_evaluator({**payload, "adjust": adjust}, aapl)
        block = evaluator.evaluate(0, 5)
        assert_equals_single_runs(spec, block, [0, 4], aapl)
        results.append(block.metrics)
    assert (results[0] != results[1]).any()


def test_an_empty_date_range_is_refused(aapl):
    payload = {"rule": "rsi", "space": {"window": "10:14"}, "start": "2050-01-01"}
    _, evaluator = build_evaluator(payload, aapl)
    with pytest.raises(InputError, match="2050"):
        evaluator.evaluate(0, 5)


def test_who_watches_is_called_between_tiles_and_may_stop(monkeypatch):
    monkeypatch.setattr("tasks.sweep_compute._TILE_POINTS", 100)
    _, evaluator = build_evaluator(RSI, build_short_bars())
    calls: list[int] = []

    def stop_at_third() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluator.evaluate(0, 1000, on_tile=stop_at_third)
    assert len(calls) == 3


class _PlainRule(BaseRule):
    """Buys every `step` bars; knows no hook, and does not like the step 7."""

    metadata: ClassVar[RuleMetadata] = RuleMetadata(
        name="plain",
        title="Plain",
        summary="Buys now and then",
        parameters=(
            Parameter("step", "int", 5, "Bars between buys", 1, 100),
            Parameter("mirrored", "bool", False, "Sells instead"),
        ),
    )

    def warmup_bars(self, **params: Any) -> int:
        return 0

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        assert type(params["step"]) is int
        assert type(params["mirrored"]) is bool
        if params["step"] == 7:
            raise ZeroDivisionError("7")
        signal = np.zeros(bars.n_bars, np.int8)
        signal[:: params["step"]] = -1 if params["mirrored"] else 1
        signal[2 :: params["step"] + 1] = 2
        weight = np.full(bars.n_bars, 2.0 if params["step"] == 9 else 0.5)
        return RuleOutput(signal, weight)


class _HookedRule(_PlainRule):
    """The same with a hook that fails as a whole where one of its signals does."""

    def signal_parts(self) -> tuple[SignalPart, ...]:
        from backtest.signal_events import build_events, join_events

        def compute(bars: Bars, rows: Any, params: Any) -> Any:
            outputs = [
                self.compute(bars, step=int(step), mirrored=bool(mirrored))
                for step, mirrored in zip(params["step"], params["mirrored"], strict=True)
            ]
            return join_events([build_events(item.signal, item.weight) for item in outputs])

        return (SignalPart(("step", "mirrored"), compute),)


@pytest.fixture(params=[_PlainRule, _HookedRule])
def rule_class(request, monkeypatch):
    monkeypatch.setitem(base_rule._REGISTRY, "plain", request.param())
    return request.param


def test_a_combination_whose_rule_fails_fails_alone(rule_class):
    loaded = build_short_bars()
    payload = {
        "rule": "plain",
        "space": {"step": "5:10", "mirrored": "false,true"},
        "trading": {"direction": ["long_only", "long_short"]},
    }
    spec, evaluator = build_evaluator(payload, loaded)
    block = evaluator.evaluate(0, spec.build_order().n_positions)
    steps = np.array([spec.combination(point)[1]["step"] for point in range(block.status.size)])
    # The engine refuses the weights of step 9 in a single run.
    np.testing.assert_array_equal(block.status, np.where(np.isin(steps, [7, 9]), 3, 0))
    assert np.isnan(block.metrics[block.status == 3]).all()
    assert block.n_failed == 8
    assert block.n_combinations == block.status.size
    assert_equals_single_runs(spec, block, np.flatnonzero(block.status == 0)[::5], loaded)


def test_a_rule_without_hook_says_so(rule_class):
    _, evaluator = build_evaluator({"rule": "plain", "space": {"step": "5:6"}}, build_short_bars())
    codes = [item["code"] for item in evaluator.warnings]
    assert evaluator.has_hook == (rule_class is _HookedRule)
    assert ("rule_without_hook" in codes) == (rule_class is _PlainRule)


def test_equity_beyond_float64_is_a_failed_combination():
    payload = {
        "rule": "buy_and_hold",
        "trading": {"cash_rate": "0,10", "size": "0.001", "periods_per_year": "1,252"},
    }
    spec, evaluator = build_evaluator(payload, build_short_bars(2000))
    block = evaluator.evaluate(0, 4)
    for point in range(4):
        _, _, trading = spec.combination(point)
        explodes = trading.cash_rate == 10 and trading.periods_per_year == 1
        assert block.status[point] == (2 if explodes else 0)
        assert np.isnan(block.metrics[point, 0]) == explodes


def test_settings_that_the_engine_refuses_fail_alone(monkeypatch):
    real = sweep.build_config_matrix

    def refuse(base: Any, n: int, columns: Any) -> np.ndarray:
        if (np.asarray(columns.get("slippage", 0.0)) == 0.002).any():
            raise ValueError("refused")
        return real(base, n, columns)

    monkeypatch.setattr(sweep, "build_config_matrix", refuse)
    payload = {"rule": "rsi", "space": {"window": "5:6"}, "trading": {"slippage": "0:0.004:0.001"}}
    _, evaluator = build_evaluator(payload, build_short_bars())
    block = evaluator.evaluate(0, 10)
    np.testing.assert_array_equal(block.status, [0, 0, 2, 0, 0] * 2)


def test_the_objective_of_a_combination_with_too_few_trades_is_undefined():
    payload = {"rule": "rsi", "space": {"window": "2:30"}, "min_trades": 4, "objective": "cagr"}
    spec, evaluator = build_evaluator(payload, build_short_bars())
    block = evaluator.evaluate(0, 29)
    objective, n_trades = read_objective(spec, block), block.metrics[:, -1]
    assert 0 < np.isnan(objective).sum() < 29
    np.testing.assert_array_equal(np.isnan(objective), n_trades < 4)
    kept = n_trades >= 4
    np.testing.assert_array_equal(objective[kept], block.metrics[kept, 1])


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (([0, 2], [3, 3], [1, 1], []), "their order"),
        (([0, 2], [3, 1], [1, 1], []), "their order"),
        (([0, 1], [10], [1], []), "their order"),
        (([0, 1], [-1], [1], []), "their order"),
        (([0, 1], [1], [0], []), "codes"),
        (([0, 1], [1], [3], []), "codes"),
        (([0, 1], [1], [1], [1.5]), "weight"),
        (([0, 1, 1], [1], [1], []), "offsets"),
        (([0, 1], [1], [1, 1], []), "length"),
    ],
)
def test_events_that_are_no_signal_are_refused(table, fault):
    offsets, bar, code, weight = table
    events = sweep_signals.SignalEvents(
        np.array(offsets, np.int64),
        np.array(bar, np.int32),
        np.array(code, np.int8),
        np.array(weight, np.float64),
    )
    with pytest.raises(ValueError, match=fault):
        sweep_signals.check_events(events, 1, 10)


def test_kernels_can_be_loaded_before_they_are_needed():
    warm_sweep_kernels()
