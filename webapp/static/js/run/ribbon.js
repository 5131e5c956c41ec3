/** Header line, KPI ribbon and the line of assumptions. */

import { findRule } from "../lib/boot.js";
import { $, fill, h } from "../lib/dom.js";
import {
  DASH, formatCount, formatPercent, formatRule, formatShort,
} from "../lib/format.js";
import { describeMetric, formatMetric, metricClass, metricDefinition } from "../lib/metrics.js";
import { term } from "../lib/tooltip.js";

const KPIS = [
  ["total_return", "Total return"], ["cagr", "CAGR"], ["sharpe", "Sharpe"], ["max_drawdown", "Max drawdown"],
  ["win_rate", "Win rate"], ["n_trades", "Trades"], ["exposure", "Exposure"],
];
const SHORT_NAMES = {
  fee_rate: "fee", slippage: "slip", stop_loss: "stop", take_profit: "take", trailing_stop: "trail",
    initial_cash: "cash",
};
// Buy and hold is one open position over all bars.
const HELD = { exposure: formatPercent(1, 1), n_trades: "1 open", win_rate: DASH };

/** Fill the ribbon, with dashes where there is no result. @param {Object|null} summary */
export function showRibbon(summary) {
  fill($("#ribbon"), KPIS.map(([name, label]) => {
    const value = summary ? summary.metrics[name] : null;
    const why = summary?.undefined?.[name];
    const open = name === "n_trades" && summary?.metrics.n_open_trades
      ? h("small", { text: `+ ${summary.metrics.n_open_trades} open` }) : null;
    return h("div", { class: "kpi", data: { metric: name } },
      term(label, describeMetric(name, why)),
      h("b", { class: metricClass(name, value) }, summary ? formatMetric(name, value) : DASH, open),
      h("span", { class: "held" }, h("i", { text: "B&H " }), summary ? heldValue(name, summary) : DASH,
        why && h("em", { class: "visually-hidden", text: `undefined: ${why}` })));
  }));
}

function heldValue(name, summary) {
  return HELD[name] || formatMetric(name, summary.benchmark[name]);
}

/** What was run, in one line. @param {Object|null} spec @param {Object|null} summary @param {import("../lib/boot.js").Boot} [boot] */
export function showHeading(spec, summary, boot) {
  const heading = $("#run-heading");
  if (!spec) {
    document.title = "Run · Backtest";
    fill(heading, h("h1", { text: "Run" }));
    return;
  }
  const trading = changedTrading(spec, boot.trading);
  const rule = formatRule(findRule(boot, spec.rule), spec);
  document.title = `${spec.dataset.symbol} ${rule} · Backtest`;
  fill(heading,
    h("h1", { text: spec.dataset.symbol }),
    h("span", { class: "text", text: [rule, ...trading].join(" ") }),
    h("span", { text: summary
      ? `${summary.first_time} → ${summary.last_time} · ${formatCount(summary.n_bars)} ${summary.spacing} bars`
      : `${spec.start || spec.dataset.start} → ${spec.end || spec.dataset.end}` }));
}

/** Trading parameters that differ from their defaults. @param {Object} spec @param {Object[]} fields */
export function changedTrading(spec, fields) {
  return fields.filter(({ name, default: normal }) => spec.trading[name] !== undefined && spec.trading[name] !== normal)
    .map(({ name }) => `${SHORT_NAMES[name] || name} ${spec.trading[name] ?? "off"}`);
}

/** Assumptions and data warnings, in sight on every tab. @param {Object} summary */
export function showAssumptions(summary) {
  const { trading, dataset } = summary.spec;
  const costs = [`${formatPercent(trading.fee_rate)} fee`,
    trading.fee_fixed && `${formatShort(trading.fee_fixed)} fixed`,
    trading.slippage && `${formatPercent(trading.slippage)} slip`].filter(Boolean).join(" + ");
  const size = trading.size_type === "percent" ? formatPercent(trading.size,
    0) : `${formatShort(trading.size)} ${trading.size_type === "value" ? "USD" : "shares"}`;
  const stops = [["stop_loss", "stop"], ["take_profit", "take"], ["trailing_stop", "trail"]]
    .filter(([name]) => trading[name]).map(([name,
      word]) => `${word} ${formatPercent(trading[name], 1)}`).join(", ") || "none";
  const items = [["FILL", trading.fill.replaceAll("_", " ")], ["COSTS", `${costs} per side`],
    ["PRICES", dataset.adjusted ? "split + dividend adjusted" : "raw"],
      ["SIZE", `${size}, ${trading.direction.replaceAll("_", " ")}`],
    ["STOPS", stops], ["RF", formatPercent(trading.risk_free, 1)]];
  const { warnings } = summary;
  const count = warnings.length;
  fill($("#assumptions"),
    summary.metrics.ruined && h("span",
      { class: "word", text: "RUINED", tabindex: "0", data: { tip: metricDefinition("ruined") } }),
    items.map(([name, text]) => h("span", {}, h("i", { text: name }), text)),
    count > 0 && h("span", { class: "warnings", tabindex: "0",
      data: { tip: warnings.map((item) => item.message).join("\n") } },
      h("span", { class: "word", text: count === 1 ? "1 WARNING" : `${count} WARNINGS` }),
      ` ${warnings[0].message}`));
}
