/** The line of what was assumed, on every tab, and its copy in one line of text. */

import { $, copyText, fill, h } from "../lib/dom.js";
import { formatChosenPercent, formatCount, formatRule } from "../lib/format.js";
import { describeMetric } from "../lib/metrics.js";

/** @param {Object} spec @returns {Array<[string, string]>} heading and text of every assumption */
function listAssumptions({ trading, dataset }) {
  const costs = [`${formatChosenPercent(trading.fee_rate, 2)} fee`,
    trading.fee_fixed && `${formatChosen(trading.fee_fixed)} fixed`,
    trading.slippage && `${formatChosenPercent(trading.slippage, 2)} slip`].filter(Boolean).join(" + ");
  const size = trading.size_type === "percent" ? formatChosenPercent(trading.size)
    : `${formatChosen(trading.size)} ${trading.size_type === "value" ? "USD" : "shares"}`;
  const lots = trading.lot_size ? `, lots of ${formatChosen(trading.lot_size)}` : "";
  const stops = [["stop_loss", "stop"], ["take_profit", "take"], ["trailing_stop", "trail"]]
    .filter(([name]) => trading[name]).map(([name, word]) => `${word} ${formatChosenPercent(trading[name], 1)}`)
    .join(", ") || "none";
  return [["FILL", trading.fill.replaceAll("_", " ")], ["COSTS", `${costs} per side`],
    ["PRICES", dataset.adjusted ? "split + dividend adjusted" : "raw"],
    ["SIZE", `${size}${lots}, ${trading.direction.replaceAll("_", " ")}`],
    ["STOPS", stops], ...listRates(trading)];
}

/** Yearly rates: the risk-free one always, the others where somebody set them. */
function listRates(trading) {
  const others = [["MAR", "mar"], ["CASH RATE", "cash_rate"], ["BORROW RATE", "borrow_rate"]];
  return [["RF", formatChosenPercent(trading.risk_free, 1)],
    ...others.filter(([, name]) => trading[name]).map(([word, name]) => [word, formatChosenPercent(trading[name], 1)]),
    ...(trading.periods_per_year ? [["YEAR", `${formatChosen(trading.periods_per_year)} bars`]] : [])];
}

/** A number that somebody chose, with every digit of it. */
function formatChosen(value) {
  return Number.isInteger(value) ? formatCount(value) : String(value);
}

/**
 * What was run and assumed, in one line that can be pasted anywhere.
 * @param {{runId: string, summary: Object}} result @param {import("../lib/boot.js").Rule|undefined} rule
 */
export function writeAssumptions({ runId, summary }, rule) {
  const { spec, warnings } = summary;
  const parts = [
    `${spec.dataset.symbol} ${formatRule(rule, spec)} ${summary.first_time} to ${summary.last_time}, `
      + `${formatCount(summary.n_bars)} ${summary.spacing} bars`,
    ...listAssumptions(spec).map(([name, text]) => `${name.toLowerCase()} ${text}`),
    `cash ${formatChosen(spec.trading.initial_cash)}`,
    summary.metrics.ruined ? "RUINED" : "",
    `warnings ${warnings.length ? warnings.map((item) => item.message).join(" / ") : "none"}`,
    `engine ${summary.engine_version}, definitions ${summary.definitions_version || "1"}`,
    `run ${runId}`, `fingerprint ${summary.fingerprint}`,
  ];
  return parts.filter(Boolean).join("; ");
}

/** What fits beside the word; the tip has the whole message. */
function describeBriefly({ code, count, first }) {
  return [first, code.replaceAll("_", " "), count > 1 ? `and ${count - 1} more` : ""].filter(Boolean).join(" ");
}

/**
 * Assumptions and data warnings, in sight on every tab.
 * @param {{runId: string, summary: Object}} result @param {import("../lib/boot.js").Rule|undefined} rule
 */
export function showAssumptions(result, rule) {
  const { warnings, metrics, spec } = result.summary;
  const count = warnings.length;
  fill($("#assumptions"),
    metrics.ruined && h("span", { class: "word", text: "RUINED", tabindex: "0", data: { tip: describeMetric("ruined") } }),
    listAssumptions(spec).map(([name, text]) => h("span", {}, h("i", { text: name }), text)),
    count > 0 && h("span", { class: "warnings", tabindex: "0",
      data: { tip: warnings.map((item) => item.message).join("\n") } },
    h("span", { class: "word", text: count === 1 ? "1 WARNING" : `${count} WARNINGS` }), ` ${describeBriefly(warnings[0])}`),
    h("button", { type: "button", id: "copy-assumptions", class: "btn btn-small push", text: "Copy",
      "aria-label": "Copy what was assumed, as one line",
      on: { click: () => copyText(writeAssumptions(result, rule)) } }));
}
