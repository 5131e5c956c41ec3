/** What was swept, in one line; what was assumed, in another; and the request that gives a sweep again. */

import { listAssumptions } from "../lib/assumptions.js";
import { currentSymbol, findDataset, findRule } from "../lib/boot.js";
import { $, fill, h } from "../lib/dom.js";
import { formatCount, formatShort } from "../lib/format.js";
import { SMALLER_IS_BETTER, metricLabel } from "../lib/metrics.js";

/** @param {Object|null} sweep @param {import("../lib/boot.js").Boot} boot */
export function showHeading(sweep, boot) {
  const heading = $("#sweep-heading");
  if (!sweep) {
    document.title = "Sweeps · Backtest";
    fill(heading, h("h1", { text: "Sweeps" }));
    return;
  }
  const { spec, objective } = sweep;
  const symbols = spec.datasets.map((item) => item.symbol).join(", ");
  const title = findRule(boot, spec.rule)?.title || spec.rule;
  document.title = `Sweep ${symbols} ${title} · Backtest`;
  const nAxes = sweep.axes.length;
  const parts = [`${nAxes} ${nAxes === 1 ? "parameter" : "parameters"}`, describeSearch(spec.search),
    `objective ${metricLabel(objective)} (${SMALLER_IS_BETTER.includes(objective) ? "min" : "max"})`,
    sweep.n_combinations === null ? `${formatShort(sweep.n_points)} points`
      : `${formatCount(sweep.n_combinations)} ${sweep.n_combinations === 1 ? "combination" : "combinations"}`,
    sweep.n_excluded ? `${formatCount(sweep.n_excluded)} excluded` : "",
    `${formatCount(sweep.chunks.total)} ${sweep.chunks.total === 1 ? "chunk" : "chunks"}`];
  fill(heading, h("h1", { text: "SWEEP" }), h("span", { class: "text", text: `${symbols} ${title}` }),
    h("span", { text: parts.filter(Boolean).join(" · ") }));
}

function describeSearch({ method, n, seed }) {
  return method === "grid" ? "grid" : `${method} ${formatCount(n)}, seed ${seed}`;
}

/** Assumptions and warnings, as on the run page; what is swept is named so. @param {Object} sweep */
export function showAssumptions({ spec, axes, warnings, result_sha256: hash }) {
  const swept = new Set(axes.map((axis) => axis.name));
  const prices = spec.datasets.every((item) => item.adjusted) ? "split + dividend adjusted"
    : spec.datasets.some((item) => item.adjusted) ? "adjusted where the file has it" : "raw";
  const items = [...listAssumptions(spec.trading, prices, swept),
    ...(spec.min_trades ? [["MIN TRADES", formatCount(spec.min_trades)]] : []),
    ...(spec.where?.length ? [["WHERE", spec.where.join(", ")]] : []),
    ...(hash ? [["RESULT", `sha256 ${hash.slice(0, 12)}`]] : [])];
  fill($("#assumptions"), items.map(([name, text]) => h("span", {}, h("i", { text: name }), text)),
    warnings.length > 0 && h("span", { class: "warnings", tabindex: "0",
      data: { tip: warnings.map((item) => item.message).join("\n") } },
      h("span", { class: "word", text: warnings.length === 1 ? "1 WARNING" : `${warnings.length} WARNINGS` }),
        ` ${warnings[0].message}`));
}

/**
 * The request that gives a stored sweep again.
 * @param {Object} spec @param {import("../lib/boot.js").Boot} boot
 */
export function requestOf(spec, boot) {
  // Stored whole floats end in ".0"; people do not write that.
  const shorten = (text) => text.replace(/(\d)\.0(?=$|[,:])/g, "$1");
  const write = (values) => Object.fromEntries(Object.entries(values)
    .map(([name, value]) => [name, Array.isArray(value) ? value.join(",") : shorten(String(value))]));
  const symbols = spec.datasets.map((item) => currentSymbol(boot, item));
  // Without an adjusted close prices are raw whatever is asked for.
  const isRawByChoice = spec.datasets.some((item) => !item.adjusted
    && findDataset(boot, currentSymbol(boot, item))?.has_adjustment !== false);
  return { ...(symbols.length > 1 ? { datasets: symbols } : { dataset: symbols[0] }), rule: spec.rule,
    space: { ...spec.params, ...write(spec.space) }, trading: { ...spec.trading, ...write(spec.trading_space) },
      where: spec.where,
    objective: spec.objective, min_trades: spec.min_trades, search: spec.search,
    start: spec.start ?? undefined, end: spec.end ?? undefined, adjust: isRawByChoice ? false : undefined };
}
