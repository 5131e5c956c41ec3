/** Header line and KPI ribbon. */

import { findRule } from "../lib/boot.js";
import { $, fill, h } from "../lib/dom.js";
import { DASH, formatCount, formatPercent, formatRule } from "../lib/format.js";
import { describeMetric, formatMetric, metricClass } from "../lib/metrics.js";
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
