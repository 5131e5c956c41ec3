/** The charts of the tabs, as data: which columns, how drawn, what the heading reads. */

import { findRule, readBoot } from "../lib/boot.js";
import { h } from "../lib/dom.js";
import {
  digitsFor, formatCount, formatMoney, formatNarrow, formatPercent, formatPrice, formatShort,
  formatSignedPercent, formatTick, signClass,
} from "../lib/format.js";
import { findTrade, markTrades, shadeHeld } from "./overlays.js";
import { COLORS } from "./theme.js";

const RUN = { color: COLORS.text, width: 1.75, tagged: true };
const BENCH = { color: COLORS.bench, width: 1, tagged: true };

function key(color, text, className = "") {
  return h("span", { class: `key ${className}` }, h("i", { style: { background: color }, "aria-hidden": "true" }),
    text);
}

/** Equity beside buy and hold. @param {Object} context summary, marks */
export function equityPane({ summary, marks }, isLog) {
  return {
    title: "Equity USD", weight: 4, isLog,
    series: [{ name: "benchmark", label: "buy & hold", ...BENCH }, { name: "equity", label: "strategy", ...RUN }],
    format: formatShort, include: isLog ? [] : [summary.spec.trading.initial_cash], under: [shadeHeld(marks)],
    readout: ({ equity, benchmark }) => {
      const gap = equity !== null && benchmark ? equity / benchmark - 1 : null;
      return [key(COLORS.text, `strategy ${formatMoney(equity)}`),
        key(COLORS.bench, `buy & hold ${formatMoney(benchmark)}`),
        h("span", {}, "gap ", h("b", { class: signClass(gap), text: formatSignedPercent(gap, 1) }))];
    },
  };
}

const OVERLAY_COLORS = [COLORS.amber, COLORS.bench, COLORS.text, COLORS.hint];

/** Names of the rule's indicators that are prices, and so drawn on the price. */
function overlaysOf(summary) {
  const known = findRule(readBoot(), summary.spec.rule)?.overlays || [];
  return summary.rule.indicators.filter((name) => known.includes(name));
}

/** Price with entries, exits and averages; candles where few bars are in sight. */
export function pricePane({ summary, marks }, isLog, { selected = () => null, levels = () => [], weight = 3 } = {}) {
  const lines = overlaysOf(summary).map((name, idx) => ({ name: `indicator:${name}`, label: name.replaceAll("_", " "),
    color: OVERLAY_COLORS[idx % OVERLAY_COLORS.length], width: 1.25 }));
  return {
    title: summary.spec.dataset.adjusted ? "Price adjusted" : "Price raw", weight, isLog, hasCandles: true,
    series: [
      ...["open", "high", "low"].map((name) => ({ name, label: name, color: COLORS.second, hidden: true })),
      { name: "close", label: "close", color: COLORS.second, width: 1.1, tagged: true },
      ...lines.map((line) => ({ ...line, isOverlay: true })),
    ],
    format: formatPrice, formatTick, room: 0.1, under: [shadeHeld(marks)],
    levels, over: [markTrades(marks, selected)],
    readout: ({ open, high, low, close, ...others }, bar) => [
      h("span", { class: "ohlc",
        text: `O ${formatPrice(open)}  H ${formatPrice(high)}  L ${formatPrice(low)}  C ${formatPrice(close)}` }),
      ...lines.map(({ name, label, color }) => key(color, `${label} ${formatPrice(others[name])}`)),
      h("span", { class: "legend-marks" }, "△ entry ", h("b", { class: "gain", text: "▼" }), " exit at gain ",
        h("b", { class: "loss", text: "▼" }), " at loss", marks.hasEven && [h("b", { class: "second", text: " ▼" }), " even"]),
      describeTrade(tradeAt(marks, bar)),
    ],
  };
}

function tradeAt(marks, bar) {
  const { trades } = marks.at(bar, bar);
  const trade = trades[findTrade(trades, bar)];
  return trade && trade.entry_idx <= bar ? trade : null;
}

function describeTrade(trade) {
  if (!trade) return null;
  return h("span", { class: signClass(trade.return),
    text: `#${trade.number} ${trade.exit_reason} ${formatSignedPercent(trade.return)}` });
}

/** Underwater curve of run and benchmark. */
export function drawdownPane({ summary, marks }, weight = 2) {
  return {
    title: "Drawdown", weight, hasCeiling: true, include: [0],
    series: [
      { name: "benchmark_drawdown", label: "buy & hold", color: COLORS.bench, width: 1 },
      { name: "drawdown", label: "strategy", color: COLORS.text, width: 1.5, fill: COLORS.lossArea },
    ],
    format: (value, step) => formatPercent(value, digitsFor(step * 100)), under: [shadeHeld(marks)],
    readout: ({ drawdown, benchmark_drawdown: bench }) => [
      key(COLORS.text, `strategy ${formatPercent(drawdown)}`), key(COLORS.bench, `buy & hold ${formatPercent(bench)}`),
      h("span", { text: summary.metrics.max_drawdown === 0 ? "never below a peak"
        : `max ${formatPercent(summary.metrics.max_drawdown)}, ${formatCount(summary.metrics.max_drawdown_bars)} bars longest` }),
    ],
  };
}

/** Equity and the two parts it is made of. */
export function cashPane() {
  return {
    title: "Cash and position USD", weight: 3, include: [0],
    series: [
      { name: "equity", label: "equity", ...RUN, fill: COLORS.benchArea },
      { name: "cash", label: "cash", color: COLORS.amber, width: 1.25, tagged: true, fill: "rgba(255, 160, 40, 0.1)" },
      { name: "position_value", label: "position", color: COLORS.bench, width: 1.25 },
    ],
    format: formatShort,
    readout: ({ equity, cash, position_value: held }) => [key(COLORS.text, `equity ${formatMoney(equity)}`),
      key(COLORS.amber, `cash ${formatMoney(cash)}`),
      key(COLORS.bench, `position ${formatMoney(held)}`)],
  };
}

/** Position value over equity. */
export function exposurePane() {
  return {
    title: "Exposure", weight: 2, include: [0],
    series: [{ name: "exposure", label: "exposure", color: COLORS.bench, width: 1.25, fill: COLORS.benchArea }],
    format: (value, step) => formatPercent(value, digitsFor(step * 100)),
    readout: ({ exposure }) => [key(COLORS.bench, `position / equity ${formatPercent(exposure, 1)}`)],
  };
}

/** Shares held. */
export function sharesPane() {
  return {
    title: "Position shares", weight: 1.6, include: [0],
    series: [{ name: "position", label: "shares", color: COLORS.text, width: 1.25, fill: COLORS.textArea }],
    format: formatShort,
    readout: ({ position }) => [key(COLORS.text, `${formatShort(position)} shares`)],
  };
}

/**
 * Indicators that the rule computed, under the price of a trade. Names that begin alike, such as
 * macd and macd_signal, share a scale and a pane.
 */
export function indicatorPanes({ summary }) {
  const groups = new Map();
  const onPrice = overlaysOf(summary);
  for (const name of summary.rule.indicators.filter((each) => !onPrice.includes(each))) {
    const family = name.split("_")[0];
    groups.set(family, [...(groups.get(family) || []), name]);
  }
  return [...groups].map(([family, names]) => indicatorPane(family, names, summary.spec.params));
}

/** An indicator near zero needs no row of zeros. */
function formatIndicator(value) {
  return value !== null && Math.abs(value) < 1e-3 ? formatNarrow(value) : formatPrice(value);
}

function indicatorPane(family, names, params) {
  const colors = [COLORS.text, COLORS.amber, COLORS.bench];
  const marks = family === "rsi" ? ["oversold", "overbought"].filter((name) => params[name] !== undefined) : [];
  return {
    title: family, weight: 1.1, room: 0.2, include: marks.map((name) => params[name]),
    series: names.map((name, idx) => ({ name: `indicator:${name}`, label: name, color: colors[idx % 3], width: 1.25 })),
    format: formatShort,
    levels: () => marks.map((name) => ({ value: params[name], label: name, color: COLORS.hint })),
    readout: (values) => names.map((name, idx) => key(colors[idx % 3],
      `${name} ${formatIndicator(values[`indicator:${name}`])}`)),
  };
}
