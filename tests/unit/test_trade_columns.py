"""Trades in columns: nothing changes on the way, and a window is thinned within its bound."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adapters.trade_columns import TradeColumns, build_trade_view
from webapp.trade_cache import TradeCache


def build_trades(entries: list[int], held: int = 1) -> TradeColumns:
    return TradeColumns(
        [
            {
                "entry_time": "2020-01-01T00:18:00Z",
                "exit_time": "2020-01-01",
                "direction": "short",
                "exit_reason": "stop_loss",
                "bars_held": held,
                "entry_idx": entry,
                "exit_idx": entry + held,
                "shares": 0.1,
                "entry_price": 1 / 3,
                "exit_price": 1e-300,
                "commission": 0.0,
                "pnl": -0.1 - 0.2,
                "return": None,
                "mae": None,
                "mfe": 2.0**0.5,
            }
            for entry in entries
        ]
    )


def test_every_value_comes_back_as_it_was() -> None:
    columns = build_trades([4]).take(np.array([0]))
    assert columns["number"] == [1]
    assert (columns["entry_time"], columns["exit_time"]) == (
        ["2020-01-01T00:18:00Z"],
        ["2020-01-01"],
    )
    assert (columns["direction"], columns["exit_reason"]) == (["short"], ["stop_loss"])
    assert (columns["entry_price"], columns["exit_price"]) == ([1 / 3], [1e-300])
    assert (columns["pnl"], columns["return"], columns["mfe"]) == ([-0.1 - 0.2], [None], [2.0**0.5])


@given(
    entries=st.lists(st.integers(0, 3000), min_size=1, max_size=300, unique=True).map(sorted),
    start=st.integers(0, 3100),
    width=st.integers(0, 3100),
    limit=st.integers(1, 40),
)
def test_a_window_holds_every_trade_that_touches_it_or_as_many_as_are_asked_for(
    entries: list[int], start: int, width: int, limit: int
) -> None:
    touching = [
        at + 1 for at, entry in enumerate(entries) if start <= entry + 1 and entry <= start + width
    ]
    view = build_trade_view(build_trades(entries), start, start + width, limit)
    assert (view["n_trades"], view["n_found"]) == (len(entries), len(touching))
    shown = view["trades"]["number"]
    if len(touching) <= limit:
        assert shown == touching
    else:
        assert 1 <= len(shown) <= limit
        assert shown[0] == touching[0]
        assert set(shown) <= set(touching)
        assert shown == sorted(shown)


def test_what_is_thinned_is_spread_over_its_bars() -> None:
    numbers = build_trade_view(build_trades(list(range(0, 20_000, 2))), 0, None, 100)["trades"][
        "number"
    ]
    assert len(numbers) == 100
    assert set(np.diff(numbers)) == {100}


def test_a_run_without_trades_has_empty_columns() -> None:
    view = build_trade_view(TradeColumns([]), 0, None, 10)
    assert (view["n_trades"], view["n_found"]) == (0, 0)
    assert set(map(len, view["trades"].values())) == {0}


def test_the_trades_last_looked_at_are_kept_within_a_bound() -> None:
    cache = TradeCache(most=5)
    small, large = build_trades([1, 3]), build_trades(list(range(0, 20, 2)))
    cache.keep("a", small)
    cache.keep("b", small)
    assert cache.find("a") is small
    cache.keep("c", small)
    assert cache.find("b") is None, "the one that nobody asked for again makes room"
    assert cache.find("a") is small
    cache.keep("d", large)
    assert (cache.find("a"), cache.find("d")) == (None, large)
