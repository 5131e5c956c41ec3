/** What a comparison shows, as rows of text: parameters that differ, metrics side by side. No page. */

import { findRule } from "../lib/boot.js";
import { DASH, formatSignedPercent } from "../lib/format.js";
import { GROUPS, formatDense, formatMetric, metricClass, metricDefinition, metricLabel } from "../lib/metrics.js";

const FIRST_METRICS = ["total_return", "cagr", "sharpe", "calmar", "max_drawdown", "max_drawdown_bars", "win_rate",
  "n_trades", "exposure", "psr"];

/**
 * @typedef {Object} Pinned one slot of the comparison
 * @property {{letter: string, color: string}} slot @property {Object} run @property {Object|null} view null without a
 *   result
 */

/** A value as the form writes it. @param {any} value undefined where a rule has no such parameter */
export function formatSetting(value) {
  if (value === undefined) return DASH;
  if (value === null) return "off";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? String(Number(value.toPrecision(10))) : String(value);
}

/**
 * Settings of the pinned runs.
 * @param {Pinned[]} pinned @param {import("../lib/boot.js").Boot} boot @param {boolean} isAll also what is the same
 * @returns {Array<{name: string, help: string, values: string[], differs: boolean}>} with the last row for the rest
 */
export function buildSettingRows(pinned, boot, isAll) {
  const row = (name, help, read) => {
    const values = pinned.map(({ run }) => formatSetting(read(run.spec)));
    return { name, help, values, differs: new Set(values).size > 1 };
  };
  const isOneDataset = new Set(pinned.map(({ run }) => run.spec.dataset.symbol)).size === 1;
  const versions = new Set(pinned.map(({ run }) => run.spec.dataset.sha256)).size;
  const always = [
    row("dataset", "Prices that the run used", ({ dataset }) => (isOneDataset && versions > 1
      ? `${dataset.symbol} ${dataset.sha256.slice(0, 6)}` : dataset.symbol)),
    row("rule", "Trading rule, by its name in commands", (spec) => spec.rule),
  ];
  const fields = new Map();
  for (const { run } of pinned) {
    const known = findRule(boot, run.spec.rule)?.parameters || [];
    for (const name of Object.keys(run.spec.params)) fields.set(name, known.find((field) => field.name === name));
  }
  const others = [
    row("from", "First bar", (spec) => spec.start || spec.dataset.start),
    row("to", "Last bar", (spec) => spec.end || spec.dataset.end),
    row("prices", "Adjusted for splits and dividends, or as traded", ({ dataset }) => (dataset.adjusted ? "adjusted"
      : "raw")),
    ...[...fields].map(([name, field]) => row(name, field?.help || "", (spec) => spec.params[name])),
    ...boot.trading.map((field) => row(field.name, field.help, (spec) => spec.trading[field.name])),
  ];
  const shown = isAll ? others : others.filter(({ differs }) => differs);
  const rest = others.filter((each) => !shown.includes(each));
  return [...always, ...shown, ...(rest.length ? [restRow(rest, pinned.length)] : [])];
}

function restRow(rest, count) {
  return { name: rest.length === 1 ? rest[0].name : `${rest.length} other settings`,
    help: rest.map(({ name, values }) => `${name} ${values[0]}`).join("\n"), isRest: true, differs: false,
    values: Array.from({ length: count }, () => "same") };
}

/** Buy and hold, where it is the same for all: same bars, same cash, same costs. @param {Pinned[]} pinned */
export function findSharedBenchmark(pinned) {
  const known = pinned.filter(({ view }) => view);
  const texts = new Set(known.map(({ view }) => JSON.stringify([view.spec.dataset.sha256, view.first_time,
    view.last_time, view.benchmark])));
  return texts.size === 1 ? known[0].view.benchmark : null;
}

/**
 * Metrics of the pinned runs.
 * @param {Pinned[]} pinned @param {boolean} isAll
 * @returns {Array<{title?: string, name?: string, help?: string, cells?: Array<{text: string, className: string,
 *   why?: string}>, held?: string}>} rows with a `title` head a group
 */
export function buildResultRows(pinned, isAll) {
  const held = findSharedBenchmark(pinned);
  const metric = (name) => ({ name: metricLabel(name), help: metricDefinition(name),
    cells: pinned.map(({ view }) => ({ text: view ? show(name, view.metrics[name]) : DASH,
      className: view ? metricClass(name, view.metrics[name]) : "", why: view?.undefined?.[name] })),
    held: held && held[name] !== undefined ? show(name, held[name]) : DASH });
  const excess = { name: "vs buy & hold, PP", help: "Total return minus that of buy and hold on the same bars.",
    cells: pinned.map(({ view }) => excessCell(view)), held: DASH };
  if (!isAll) {
    const [first, ...others] = FIRST_METRICS.map(metric);
    return [{ title: "Result" }, first, excess, ...others];
  }
  return GROUPS.flatMap(([title, names]) => [{ title }, ...names.map(metric), ...(title === "Return" ? [excess] : [])]);
}

/** Whole trades and bars as they are, all else as short as a table needs it. */
function show(name, value) {
  return name.endsWith("_bars") || name === "psr" ? formatMetric(name, value) : formatDense(name, value);
}

function excessCell(view) {
  const gap = view ? view.metrics.total_return - view.benchmark.total_return : NaN;
  if (!Number.isFinite(gap)) return { text: DASH, className: "" };
  return { text: formatSignedPercent(gap, 1).replace("%", ""), className: gap > 0 ? "gain" : gap < 0 ? "loss" : "" };
}
