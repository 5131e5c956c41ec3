"""A slow, obvious engine: definitions.md sections 2 and 3 read aloud, one line after the other.

Nothing of ours is imported. Long and short are spelled out instead of mirrored by a sign, levels
are rebuilt from the trade's history on every bar, excursions are cut out of the bars afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

BUY, SELL, EXIT, HOLD = 1, -1, 2, 0
NAN = math.nan


@dataclass
class TwinTrade:
    direction: str
    entry_idx: int
    shares: float
    entry_price: float
    entry_fee: float
    exit_idx: int = -1
    exit_price: float = NAN
    commission: float = NAN
    pnl: float = NAN
    return_: float = NAN
    exit_reason: str = ""
    mae: float = NAN
    mfe: float = NAN

    @property
    def bars_held(self):
        return self.exit_idx - self.entry_idx


@dataclass
class TwinRun:
    """What `EngineResult` holds, in lists."""

    equity: list = field(default_factory=list)
    cash: list = field(default_factory=list)
    position: list = field(default_factory=list)
    exposed: list = field(default_factory=list)
    fills: list = field(default_factory=list)  # (bar, side, shares, price, commission)
    trades: list = field(default_factory=list)
    interest: float = 0.0
    n_rejected_orders: int = 0
    ruin_idx: int = -1


class EngineTwin:
    """One run; `trading` has the keys and names of TradingSpec, None for off."""

    def __init__(self, bars, signal, weight, trading, periods_per_year):
        self.open, self.high, self.low, self.close = ([float(x) for x in column] for column in bars)
        self.signal = [int(s) for s in signal]
        self.weight = [1.0] * len(self.signal) if weight is None else [float(w) for w in weight]
        self.trading = trading
        ppy = trading["periods_per_year"] or periods_per_year
        self.cash_rate = (1.0 + trading["cash_rate"]) ** (1.0 / ppy) - 1.0
        self.borrow_rate = (1.0 + trading["borrow_rate"]) ** (1.0 / ppy) - 1.0
        self.cash = trading["initial_cash"]
        self.trade = None  # the open one
        self.run = TwinRun()

    # --- helpers -------------------------------------------------------------------------------

    def is_long(self):
        return self.trade is not None and self.trade.direction == "long"

    def is_short(self):
        return self.trade is not None and self.trade.direction == "short"

    def position(self):
        if self.trade is None:
            return 0.0
        return self.trade.shares if self.is_long() else -self.trade.shares

    def commission(self, shares, price):
        return self.trading["fee_rate"] * shares * price + self.trading["fee_fixed"]

    def fill(self, t, side, shares, price):
        fee = self.commission(shares, price)
        if side == "buy":
            self.cash = self.cash - shares * price - fee
        else:
            self.cash = self.cash + shares * price - fee
        self.run.fills.append((t, 1 if side == "buy" else -1, shares, price, fee))
        return fee

    def slipped(self, price, side):
        slippage = self.trading["slippage"]
        return price * (1.0 + slippage) if side == "buy" else price * (1.0 - slippage)

    # --- opening and closing -------------------------------------------------------------------

    def open_trade(self, t, direction, price, weight):
        size, fee_rate = self.trading["size"], self.trading["fee_rate"]
        fixed, lot = self.trading["fee_fixed"], self.trading["lot_size"]
        cash = self.cash
        affordable = price * (1.0 + fee_rate)
        if self.trading["size_type"] == "percent":
            budget = min(size * weight * cash, cash)
            shares = (budget - fixed) / affordable
        elif self.trading["size_type"] == "value":
            budget = min(size * weight, cash)
            shares = (budget - fixed) / affordable
        else:
            shares = min(size * weight, (cash - fixed) / affordable)
        if lot > 0:
            shares = float(math.floor(shares / lot)) * lot
        if shares <= 0:
            self.run.n_rejected_orders += 1
            return
        fee = self.fill(t, "buy" if direction == "long" else "sell", shares, price)
        self.trade = TwinTrade(direction, t, shares, price, fee)

    def close_trade(self, t, price, reason):
        trade = self.trade
        fee = self.fill(t, "sell" if trade.direction == "long" else "buy", trade.shares, price)
        self.finish_trade(t, price, reason, trade.entry_fee + fee)
        self.trade = None
        self.closed_in_bar = True

    def finish_trade(self, t, price, reason, commission):
        trade = self.trade
        trade.exit_idx, trade.exit_price, trade.exit_reason = t, price, reason
        trade.commission = commission
        if trade.direction == "long":
            trade.pnl = trade.shares * (price - trade.entry_price) - commission
        else:
            trade.pnl = trade.shares * (trade.entry_price - price) - commission
        trade.return_ = trade.pnl / (trade.shares * trade.entry_price)
        trade.mae, trade.mfe = self.excursions(trade)
        self.run.trades.append(trade)

    def excursions(self, trade):
        same_close = self.trading["fill"] == "same_close"
        first = trade.entry_idx + 1 if same_close else trade.entry_idx
        exits_at_close = trade.exit_reason in ("ruin", "open") or (
            trade.exit_reason == "signal" and same_close
        )
        stop = trade.exit_idx + 1 if exits_at_close else trade.exit_idx
        prices = [*self.high[first:stop], *self.low[first:stop], trade.exit_price]
        entry = trade.entry_price
        if trade.direction == "long":
            moves = [(price - entry) / entry for price in prices]
        else:
            moves = [(entry - price) / entry for price in prices]
        return min([0.0, *moves]), max([0.0, *moves])

    # --- the five steps of a bar ---------------------------------------------------------------

    def charge_financing(self, t):
        if t == 0:
            return
        loan = self.trade.shares * self.close[t - 1] if self.is_short() else 0.0
        change = self.cash_rate * max(0.0, self.cash - 2 * loan) - self.borrow_rate * loan
        self.cash += change
        self.run.interest += change

    def fill_signal(self, t, decided):
        signal = self.signal[decided]
        direction = self.trading["direction"]
        if signal == HOLD:
            return
        closes_long = self.is_long() and signal in (SELL, EXIT)
        closes_short = self.is_short() and signal in (BUY, EXIT)
        if closes_long:
            self.close_trade(t, self.signal_price(t, "sell"), "signal")
        elif closes_short:
            self.close_trade(t, self.signal_price(t, "buy"), "signal")
        if self.trade is not None:
            return
        if signal == BUY and direction in ("long_only", "long_short"):
            self.open_trade(t, "long", self.signal_price(t, "buy"), self.weight[decided])
        if signal == SELL and direction in ("short_only", "long_short"):
            self.open_trade(t, "short", self.signal_price(t, "sell"), self.weight[decided])

    def signal_price(self, t, side):
        if self.trading["fill"] == "next_open":
            return self.slipped(self.open[t], side)
        if self.trading["fill"] == "same_close":
            return self.slipped(self.close[t], side)
        return self.slipped(self.high[t] if side == "buy" else self.low[t], side)

    def watch_stops(self, t):
        trade = self.trade
        if trade is None:
            return
        if t == trade.entry_idx and self.trading["fill"] != "next_open":
            return
        if trade.direction == "long":
            self.watch_long(t, trade)
        else:
            self.watch_short(t, trade)

    def levels(self):
        names = ("stop_loss", "take_profit", "trailing_stop")
        return [self.trading[name] for name in names]

    def watch_long(self, t, trade):
        stop_loss, take_profit, trailing_stop = self.levels()
        best = max([trade.entry_price, *self.close[trade.entry_idx : t]])
        stops = []
        if stop_loss is not None:
            stops.append((trade.entry_price * (1 - stop_loss), "stop_loss"))
        if trailing_stop is not None:
            stops.append((best * (1 - trailing_stop), "trailing_stop"))
        if stops:
            level = max(level for level, _ in stops)
            reason = next(
                reason for at, reason in stops if at == level
            )  # a tie: stop_loss is first
            if self.low[t] <= level:
                price = min(self.open[t], level)
                self.close_trade(t, self.slipped(price, "sell"), reason)
                return
        if take_profit is not None:
            level = trade.entry_price * (1 + take_profit)
            if self.high[t] >= level:
                self.close_trade(t, max(self.open[t], level), "take_profit")

    def watch_short(self, t, trade):
        stop_loss, take_profit, trailing_stop = self.levels()
        best = min([trade.entry_price, *self.close[trade.entry_idx : t]])
        stops = []
        if stop_loss is not None:
            stops.append((trade.entry_price * (1 + stop_loss), "stop_loss"))
        if trailing_stop is not None:
            stops.append((best * (1 + trailing_stop), "trailing_stop"))
        if stops:
            level = min(level for level, _ in stops)
            reason = next(reason for at, reason in stops if at == level)
            if self.high[t] >= level:
                price = max(self.open[t], level)
                self.close_trade(t, self.slipped(price, "buy"), reason)
                return
        if take_profit is not None:
            level = trade.entry_price * (1 - take_profit)
            if self.low[t] <= level:
                self.close_trade(t, min(self.open[t], level), "take_profit")

    def mark(self, t):
        equity = self.cash + self.position() * self.close[t]
        if equity <= 0:
            if self.trade is not None:
                side = "sell" if self.is_long() else "buy"
                self.close_trade(t, self.slipped(self.close[t], side), "ruin")
            equity = self.cash
            self.run.ruin_idx = t
        self.write(equity)

    def write(self, equity):
        self.run.equity.append(equity)
        self.run.cash.append(self.cash)
        self.run.position.append(self.position())
        self.run.exposed.append(self.trade is not None or self.closed_in_bar)

    def compute(self):
        same_close = self.trading["fill"] == "same_close"
        n_bars = len(self.close)
        for t in range(n_bars):
            self.closed_in_bar = False
            if self.run.ruin_idx >= 0:
                self.write(self.run.equity[-1])
                continue
            self.charge_financing(t)
            if not same_close and t >= 1:
                self.fill_signal(t, t - 1)
            self.watch_stops(t)
            if same_close:
                self.fill_signal(t, t)
            self.mark(t)
        if self.trade is not None:
            self.finish_trade(n_bars - 1, self.close[-1], "open", self.trade.entry_fee)
        return self.run


def run_twin(bars, signal, weight, trading, periods_per_year=252.0):
    """Run the twin over (open, high, low, close); see `EngineTwin`."""
    return EngineTwin(bars, signal, weight, trading, periods_per_year).compute()


def measure_twin(run, trading, periods_per_year=252.0):
    """Return the thirteen headline metrics of section 4, two-pass, NaN for undefined."""
    ppy = trading["periods_per_year"] or periods_per_year
    rf = (1.0 + trading["risk_free"]) ** (1.0 / ppy) - 1.0
    mar = (1.0 + trading["mar"]) ** (1.0 / ppy) - 1.0
    start, n = trading["initial_cash"], len(run.equity)
    marks = [start, *run.equity]
    r = [b / a - 1.0 if a > 0.0 else 0.0 for a, b in pairwise(marks)]
    mean = math.fsum(r) / n
    dispersed = max(r) != min(r)
    deviation = NAN
    if n > 1:
        deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in r) / (n - 1)) if dispersed else 0.0
    downside = math.sqrt(math.fsum(min(x - mar, 0.0) ** 2 for x in r) / n)
    growth = marks[-1] / start
    cagr = NAN if growth < 0.0 else growth ** (ppy / n) - 1.0
    peak, drawdown = start, 0.0
    for mark in marks:
        peak = max(peak, mark)
        drawdown = min(drawdown, mark / peak - 1.0)
    pnl = [trade.pnl for trade in run.trades if trade.exit_reason != "open"]
    won, lost = [x for x in pnl if x > 0], [x for x in pnl if x < 0]
    traded = math.fsum(shares * price for _, _, shares, price, _ in run.fills)
    mean_equity = math.fsum(run.equity) / n

    def ratio(above, below):
        return above / below if below != 0.0 else NAN

    return {
        "total_return": growth - 1.0,
        "cagr": cagr,
        "volatility": deviation * math.sqrt(ppy),
        "sharpe": ratio(mean - rf, deviation) * math.sqrt(ppy),
        "sortino": ratio((mean - mar) * math.sqrt(ppy), downside),
        "max_drawdown": drawdown,
        "calmar": ratio(cagr, abs(drawdown)),
        "win_rate": ratio(len(won), len(pnl)),
        "profit_factor": ratio(math.fsum(won), abs(math.fsum(lost))),
        "expectancy": ratio(math.fsum(pnl), len(pnl)),
        "exposure": sum(run.exposed) / n,
        "turnover": ratio(traded, mean_equity) * ppy / n,
        "n_trades": float(len(pnl)),
    }
