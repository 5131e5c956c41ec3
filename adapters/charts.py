"""The four report charts as Base64 PNG, drawn in memory.

Only `Figure` objects, never pyplot: pyplot keeps every figure in a global register, which is a leak
in a worker that draws thousands. Nothing is written to disk. Renderers contain no arithmetic; see
`adapters.chart_data`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from adapters.adapter import identify_result
from adapters.chart_data import (
    Curves,
    OrdersData,
    TradePnlData,
    prepare_cumulative_return,
    prepare_drawdown,
    prepare_orders,
    prepare_trade_pnl,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LegendPlace = Literal["upper left", "lower left"]

CHART_NAMES = ("drawdown", "orders", "trade_pnl", "cumulative_return")

_GROUND, _TEXT, _HINT, _RULE = "#0b0d10", "#ece9e2", "#a9b2bd", "#2a323c"
_AMBER, _GAIN, _LOSS, _BENCHMARK = "#ffa028", "#2ecc71", "#ff4d4d", "#7f9dbd"
_SIZE_INCHES, _DPI = (9.0, 4.0), 100


def render_charts(
    summary: Mapping[str, Any],
    trades: Sequence[Mapping[str, Any]],
    columns: Mapping[str, NDArray[Any]],
    run_id: str | None = None,
) -> dict[str, str]:
    """Draw all four charts of a stored result.

    Parameters
    ----------
    run_id : str or None
        Written into each picture, with fingerprint and definitions version, as PNG text.

    Returns
    -------
    dict of str to str
        ``data:image/png;base64,...`` under the names of `CHART_NAMES`.
    """
    drawdown = prepare_drawdown(summary, columns)
    orders = prepare_orders(summary, trades, columns)
    trade_pnl = prepare_trade_pnl(summary, trades)
    cumulative = prepare_cumulative_return(summary, columns)
    drawn: dict[str, Callable[[Axes], None]] = {
        "drawdown": lambda axes: draw_drawdown(axes, drawdown),
        "orders": lambda axes: draw_orders(axes, orders),
        "trade_pnl": lambda axes: draw_trade_pnl(axes, trade_pnl),
        "cumulative_return": lambda axes: draw_cumulative_return(axes, cumulative),
    }
    identity = identify_result(summary, run_id)
    return {name: _render(draw, identity) for name, draw in drawn.items()}


def draw_drawdown(axes: Axes, data: Curves) -> None:
    """Draw the underwater curves."""
    axes.fill_between(data.time, data.run, 0.0, color=_LOSS, alpha=0.3, linewidth=0)
    axes.plot(data.time, data.benchmark, color=_BENCHMARK, linewidth=0.8, label="buy and hold")
    axes.plot(data.time, data.run, color=_TEXT, linewidth=1.1, label="strategy")
    _finish(axes, data.title, percent=True, legend="lower left")


def draw_cumulative_return(axes: Axes, data: Curves) -> None:
    """Draw cumulative returns of run and benchmark."""
    axes.axhline(0.0, color=_HINT, linewidth=0.6, linestyle=":")
    axes.plot(data.time, data.benchmark, color=_BENCHMARK, linewidth=0.8, label="buy and hold")
    axes.plot(data.time, data.run, color=_TEXT, linewidth=1.2, label="strategy")
    _finish(axes, data.title, percent=True)


def draw_orders(axes: Axes, data: OrdersData) -> None:
    """Draw the price with hollow entries and exits in the colour of their result."""
    axes.plot(data.time, data.close, color=_HINT, linewidth=0.8, label="close")
    axes.set_yscale("log")
    kinds = [
        (data.entries, "entry", "^", "none", _TEXT),
        (data.gains, "exit at gain", "v", _GAIN, _GAIN),
        (data.losses, "exit at loss", "v", _LOSS, _LOSS),
    ]
    if data.evens.time.size:  # few runs have one
        kinds.append((data.evens, "exit even", "v", _HINT, _HINT))
    for marks, label, marker, face, edge in kinds:
        axes.plot(
            marks.time,
            marks.price,
            linestyle="none",
            marker=marker,
            markersize=6,
            markerfacecolor=face,
            markeredgecolor=edge,
            label=label,
        )
    _finish(axes, data.title, percent=False)


def draw_trade_pnl(axes: Axes, data: TradePnlData) -> None:
    """Draw one bar per trade in the colour of its sign."""
    colors = [_GAIN if pnl > 0 else _LOSS for pnl in data.pnl]
    axes.vlines(data.number, 0.0, data.pnl, colors=colors, linewidth=_bar_width(data.number.size))
    axes.axhline(0.0, color=_HINT, linewidth=0.6)
    _finish(axes, data.title, percent=False, legend=None)


def _bar_width(n_trades: int) -> float:
    # [points]: the axis is some 600 points wide; bars neither vanish nor touch.
    return min(12.0, max(0.6, 400.0 / max(n_trades, 1)))


def _finish(
    axes: Axes, title: str, *, percent: bool, legend: LegendPlace | None = "upper left"
) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    # A fixed height: searching for one measures every tick label, a quarter of the time.
    axes.set_title(title, loc="left", y=1.0, color=_AMBER, fontsize=10)
    axes.set_facecolor(_GROUND)
    axes.grid(visible=True, color=_RULE, linewidth=0.5)
    axes.tick_params(colors=_HINT, labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(_RULE)
    shown = (lambda value, _: f"{value:,.0%}") if percent else (lambda value, _: f"{value:,.6g}")
    axes.yaxis.set_major_formatter(FuncFormatter(shown))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.tick_right()
    if legend:
        axes.legend(loc=legend, fontsize=8, frameon=False, labelcolor=_TEXT, ncols=4)


def _render(draw: Callable[[Axes], None], identity: Mapping[str, str | None]) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, facecolor=_GROUND)
    canvas = FigureCanvasAgg(figure)
    # Fixed margins: a layout engine would draw everything twice.
    axes = figure.add_axes((0.02, 0.09, 0.90, 0.82))
    draw(axes)
    canvas.draw()
    width, height = canvas.get_width_height()
    picture = Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba()).convert("RGB")
    notes = PngInfo()
    for name, text in identity.items():
        notes.add_text(name, text or "")
    buffer = io.BytesIO()
    # Level 1 compresses these flat pictures nearly as well as 6 in a fraction of the time.
    picture.save(buffer, format="PNG", compress_level=1, pnginfo=notes)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
