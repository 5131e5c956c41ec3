"""`stock-backtest` whose runs have empty pictures: drawing takes twenty times as long as the rest.

Run as ``python -m tests.support.chartless_command worker ...``, where ten thousand runs are to go
through the queue and the database, and not through Matplotlib.
"""

from __future__ import annotations

from typing import Any

from adapters import charts
from cli.main import main


def render_nothing(*_: Any) -> dict[str, str]:
    """Return what `render_charts` does, drawn by nobody."""
    return dict.fromkeys(("drawdown", "orders", "trade_pnl", "cumulative_return"), "data:,")


if __name__ == "__main__":
    charts.render_charts = render_nothing
    main()
