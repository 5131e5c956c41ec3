/** Every metric of the page: label, format, definition, and the group it is shown in. */

import { readBoot } from "./boot.js";
import {
  countDayDigits, formatCount, formatNumber, formatPercent, formatSignedMoney, formatSignedPercent, moneyDigits, signClass,
} from "./format.js";

// Below, cents count in a dense table too.
const SMALL_MONEY = 100;

const FORMATS = {
  percent: (value) => formatPercent(value),
  signed: (value) => formatSignedPercent(value),
  ratio: (value) => formatNumber(value, 2),
  probability: (value) => formatNumber(value, 3),
  bars: (value) => formatNumber(value, 1),
  days: (value) => formatNumber(value, countDayDigits([value])),
  count: (value) => formatCount(value),
  money: (value) => formatSignedMoney(value, 2),
  flag: (value) => (value ? "yes" : "no"),
};

// What each one means is written down once, on the server; it came with the page.
const { metrics: TEXTS, conventions: CONVENTIONS } = readBoot().definitions;
const TABLE = Object.fromEntries(TEXTS.map((text) => [text.name, text]));

/** Groups of the Stats tab, in reading order. */
export const GROUPS = [...new Set(TEXTS.map(({ group }) => group))]
  .map((group) => [group, TEXTS.filter((text) => text.group === group).map(({ name }) => name)]);

/** How other libraries compute the headline metrics. */
export { CONVENTIONS };

/** Groups of the rail beside the charts. */
export const RAIL_GROUPS = [
  ["Return", ["total_return", "cagr", "volatility", "best_month", "worst_month"]],
  ["Risk", ["sharpe", "sortino", "calmar", "max_drawdown", "ulcer_index", "cvar_95", "psr"]],
  ["Trades", ["profit_factor", "expectancy", "payoff_ratio", "mean_trade_bars"]],
];

/** More of the rail, where the screen is wide. */
export const ROOMY_GROUPS = GROUPS.filter(([title]) => ["Drawdown", "Against buy & hold",
  "Book-keeping"].includes(title));

/** Metrics that every combination of a sweep has. */
export const HEADLINE_METRICS = ["total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar",
  "win_rate", "profit_factor", "expectancy", "exposure", "turnover", "n_trades"];

/** The least is the best of these, the largest of all others. */
export const SMALLER_IS_BETTER = ["volatility", "turnover"];

/** Those of them whose sign means gain or loss. */
export const SIGNED_METRICS = ["total_return", "cagr", "sharpe", "sortino", "calmar", "expectancy"];

/** Names of all metrics. */
export const METRIC_NAMES = Object.keys(TABLE);

/** @param {string} name @returns {string} */
export function metricLabel(name) {
  return TABLE[name] ? TABLE[name].label : name.replaceAll("_", " ");
}

/** @param {string} name @returns {string} */
export function metricDefinition(name) {
  return TABLE[name] ? TABLE[name].definition : "";
}

/**
 * Everything there is to say about a metric, as a tip: see lib/tooltip.js.
 * @param {string} name @param {string} [why] the reason where its figure is a dash
 */
export function describeMetric(name, why) {
  const text = TABLE[name];
  if (!text) return why ? `UNDEFINED HERE\t${why}` : "";
  return [
    text.definition, `FORMULA\t${text.formula}`,
    text.convention && `CONVENTION\t${text.convention}`,
    why ? `UNDEFINED HERE\t${why}` : text.undefined && `UNDEFINED IF\t${text.undefined}`,
  ].filter(Boolean).join("\n");
}

/** @param {string} name @param {number|boolean|null|undefined} value @returns {string} */
export function formatMetric(name, value) {
  return FORMATS[kindOf(name) || "ratio"](value ?? null);
}

/** As short as a dense table needs it: percent with one digit. @param {string} name @param {number|null|undefined} value */
export function formatDense(name, value) {
  const kind = kindOf(name);
  if (kind === "signed") return formatSignedPercent(value ?? null, 1);
  if (kind === "percent") return formatPercent(value ?? null, 1);
  if (kind === "money") return formatSignedMoney(value ?? null, Math.abs(value) < SMALL_MONEY ? moneyDigits(value) : 0);
  return formatMetric(name, value);
}

/** Colour class; only returns and money are coloured. @param {string} name @param {*} value */
export function metricClass(name, value) {
  return ["signed", "money"].includes(kindOf(name)) ? signClass(value) : "";
}

function kindOf(name) {
  return TABLE[name]?.kind;
}
