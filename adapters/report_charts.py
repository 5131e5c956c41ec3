"""Charts of the report as SVG paths: pure arithmetic, drawn by the template."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.report_format import format_percent, format_short
from adapters.views import select_points

FloatArray = NDArray[np.float64]

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 6, 62, 8, 20
_MAX_POINTS = 1400
_MAX_YEARS = 12
_MAX_MARKS = 400


@dataclass(frozen=True, slots=True)
class Line:
    """One path: its class, what it is called, and its ``d``."""

    kind: str
    label: str
    d: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture for the template; all numbers are pixels of its view box."""

    title: str
    height: int
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    marks: list[tuple[str, str]] = field(default_factory=list)
    width: int = _WIDTH
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    top: int = _TOP

    @property
    def bottom(self) -> int:
        """The lower edge of the plot."""
        return self.height - _BOTTOM


def build_report_charts(
    summary: Mapping[str, Any],
    trades: Sequence[Mapping[str, Any]],
    columns: Mapping[str, NDArray[Any]],
) -> list[Chart]:
    """Return equity, price with trades, and drawdown."""
    is_log = bool(np.min(columns["equity"]) > 0.0)
    scale = " (log)" if is_log else ""
    time = columns["time"]
    equity = _Plot(time, 200, [columns["equity"], columns["benchmark"]], is_log=is_log)
    price = _Plot(time, 160, [columns["close"]], is_log=True)
    drawdown = _Plot(time, 125, [columns["drawdown"], columns["benchmark_drawdown"]], ceiling=0.0)
    return [
        equity.draw(
            f"Equity, USD{scale}",
            format_short,
            [
                Line("held", "buy and hold", equity.path(columns["benchmark"])),
                Line("run", "strategy", equity.path(columns["equity"])),
            ],
        ),
        price.draw(
            f"Price, {'adjusted' if summary['spec']['dataset']['adjusted'] else 'raw'} (log)",
            format_short,
            [Line("held", "close", price.path(columns["close"]))],
            price.mark_trades(trades),
        ),
        drawdown.draw(
            "Drawdown",
            lambda value: format_percent(value, 0),
            [
                Line("under", "", drawdown.area(columns["drawdown"])),
                Line("held", "buy and hold", drawdown.path(columns["benchmark_drawdown"])),
                Line("run", "strategy", drawdown.path(columns["drawdown"])),
            ],
        ),
    ]


class _Plot:
    """Scales of one chart."""

    def __init__(
        self,
        time: NDArray[np.int64],
        height: int,
        series: Sequence[FloatArray],
        *,
        is_log: bool = False,
        ceiling: float | None = None,
    ) -> None:
        self._time = time
        self._height = height
        self._is_log = is_log
        # One choice of bars for all lines, so that their spikes stand above each other.
        self._chosen = select_points(series, _MAX_POINTS)
        known = np.concatenate([values[np.isfinite(values)] for values in series])
        if is_log:
            known = known[known > 0.0]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        if ceiling is not None:
            high = ceiling
        if low == high:  # a flat line lies in the middle
            low, high = (low / 1.1, high * 1.1) if is_log else (low - 1.0, high + 1.0)
        self._low, self._high = low, high

    def x(self, idx: Any) -> Any:
        """Return the place of bars."""
        span = max(self._time.size - 1, 1)
        return _LEFT + np.asarray(idx, np.float64) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(self, values: Any) -> Any:
        """Return the place of values."""
        low, high = self._low, self._high
        numbers = np.asarray(values, np.float64)
        if self._is_log:
            # What a log scale cannot hold lies on its lower edge.
            numbers = np.log(np.maximum(numbers, low))
            low, high = math.log(low), math.log(high)
        room = self._height - _TOP - _BOTTOM
        return _TOP + (high - numbers) / (high - low) * room

    def path(self, values: FloatArray) -> str:
        """Return a line through the chosen bars, broken where a value is undefined."""
        points = values[self._chosen]
        words, is_drawing = [], False
        for x, y in zip(self.x(self._chosen).tolist(), self.y(points).tolist(), strict=True):
            if not math.isfinite(y):
                is_drawing = False
                continue
            words.append(f"{'L' if is_drawing else 'M'}{x:.1f} {y:.1f}")
            is_drawing = True
        return "".join(words)

    def area(self, values: FloatArray) -> str:
        """Return the area between a line and the top."""
        first, last = self.x(self._chosen[[0, -1]]).tolist()
        line = self.path(np.nan_to_num(values)).replace("M", "L", 1)
        return f"M{first:.1f} {_TOP}{line}L{last:.1f} {_TOP}Z"

    def mark_trades(self, trades: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        """Return class and path of entries and exits; none if they would hide the price."""
        if len(trades) > _MAX_MARKS:
            return []
        marks = []
        for trade in trades:
            marks.append(("entry", self._triangle(trade["entry_idx"], trade["entry_price"], 1)))
            if trade["exit_reason"] != "open":
                pnl = trade["pnl"]
                kind = "gain" if pnl > 0 else "loss" if pnl < 0 else "even"
                marks.append((kind, self._triangle(trade["exit_idx"], trade["exit_price"], -1)))
        return marks

    def _triangle(self, idx: int, price: float, way: int) -> str:
        x, y = float(self.x(idx)), float(self.y(price)) + 7 * way
        return f"M{x - 3.5:.1f} {y + 3 * way:.1f}h7L{x:.1f} {y - 3 * way:.1f}Z"

    def draw(
        self, title: str, write: Any, lines: list[Line], marks: list[tuple[str, str]] | None = None
    ) -> Chart:
        """Return the whole chart."""
        ticks = self._value_ticks()
        return Chart(
            title=title,
            height=self._height,
            lines=lines,
            x_ticks=self._time_ticks(),
            y_ticks=[(round(float(self.y(value)), 1), write(value)) for value in ticks],
            marks=marks or [],
        )

    def _value_ticks(self) -> list[float]:
        if self._is_log and self._high / self._low > 10.0:
            powers = range(math.floor(math.log10(self._low)), math.ceil(math.log10(self._high)) + 1)
            factors = (1,) if len(powers) > 5 else (1, 2, 5) if len(powers) < 4 else (1, 3)
            candidates = [factor * 10.0**power for power in powers for factor in factors]
        else:
            rough = (self._high - self._low) / 4
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough)
            first = math.ceil(self._low / step)
            candidates = [k * step for k in range(first, math.floor(self._high / step + 1e-9) + 1)]
        return [value for value in candidates if self._low <= value <= self._high]

    def _time_ticks(self) -> list[tuple[float, str]]:
        """Return the first bar of every year or, in a short run, of every month or day."""
        stamps = self._time.astype("datetime64[ns]")
        for unit in ("Y", "M", "D"):
            marks = stamps.astype(f"datetime64[{unit}]")
            starts = np.flatnonzero(marks[1:] != marks[:-1]) + 1
            if starts.size >= 3:
                break
        starts = starts[:: max(-(-starts.size // _MAX_YEARS), 1)]
        return [(round(float(self.x(idx)), 1), str(marks[idx])) for idx in starts.tolist()]
