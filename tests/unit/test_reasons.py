"""Every undefined metric says why, in words that fit the case."""

import pytest

from adapters.reasons import explain_undefined


@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("win_rate", {"n_trades": 0}, "no closed trade"),
        ("longest_win_streak", {"n_trades": 0}, "no closed trade"),
        ("profit_factor", {"n_trades": 3, "win_rate": 1.0}, "no losing trade"),
        ("kelly", {"n_trades": 3, "win_rate": 0.0}, "no winning trade"),
        ("sqn", {"n_trades": 1, "win_rate": 1.0}, "needs two closed trades"),
        ("sharpe", {"n_bars": 9, "volatility": 0.0}, "returns never vary"),
        ("sortino", {"n_bars": 9, "volatility": 0.1}, "no bar lost"),
        ("calmar", {"n_bars": 9, "total_return": 0.1}, "there was no drawdown"),
        ("max_drawdown_days", {"n_bars": 9, "total_return": 0.1}, "there was no drawdown"),
        ("cagr", {"n_bars": 9, "total_return": -1.2}, "equity ended below zero"),
        ("beta", {"n_bars": 9, "volatility": 0.1}, "the benchmark or the difference"),
        ("volatility", {"n_bars": 1}, "needs at least two bars"),
    ],
)
def test_a_reason_fits_its_case(name: str, others: dict[str, float], expected: str) -> None:
    reasons = explain_undefined({name: None, **others})
    assert list(reasons) == [name]
    assert reasons[name].startswith(expected)


def test_defined_metrics_need_no_reason() -> None:
    assert explain_undefined({"sharpe": 0.0, "n_trades": 0, "ruined": False}) == {}
