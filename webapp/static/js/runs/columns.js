/** Columns of the table of runs. */

import { findRule } from "../lib/boot.js";
import { h } from "../lib/dom.js";
import {
  formatCount, formatNumber, formatPercent, formatRule, formatSignedPercent, formatStamp, shortId, signClass,
} from "../lib/format.js";
import { metricDefinition } from "../lib/metrics.js";
import { STATE_WORDS } from "./filter.js";

/**
 * @typedef {Object} Column
 * @property {string} name @property {string} title @property {boolean} [isFigure] @property {string} [tip]
 * @property {boolean} [isFixed] nothing to sort by or to export
 * @property {(run: Object) => any} read value to sort by and to export
 * @property {(run: Object) => Node|string} cell @property {(run: Object) => string} [className]
 */

const metric = (name) => (run) => run.metrics?.[name] ?? null;

function excess(run) {
  const { total_return: own, benchmark_total_return: held } = run.metrics || {};
  return typeof own === "number" && typeof held === "number" ? own - held : null;
}

function figure(name, title, format, isSigned = false) {
  const read = metric(name);
  return { name, title, isFigure: true, tip: metricDefinition(name), read, cell: (run) => format(read(run)),
    className: isSigned ? (run) => signClass(read(run)) : undefined };
}

/**
 * Build the columns.
 * @param {import("../lib/boot.js").Boot} boot @param {(spec: Object) => string[]} describeTrading
 * @returns {Column[]}
 */
export function buildColumns(boot, describeTrading) {
  const ruleOf = (run) => formatRule(findRule(boot, run.rule), run.spec);
  return [
    { name: "pin", title: "Pin", isFixed: true, tip: "Up to five runs to compare; key Space", read: () => null,
      cell: () => "" },
    { name: "run_id", title: "Run", read: (run) => run.run_id,
      cell: (run) => h("a", { href: `/?run=${run.run_id}`, tabindex: "-1", text: shortId(run.run_id) }) },
    { name: "submitted_at", title: "Time", read: (run) => run.submitted_at,
      cell: (run) => formatStamp(run.submitted_at).slice(5) },
    { name: "state", title: "State", read: (run) => run.state, cell: (run) => stateCell(run) },
    { name: "symbol", title: "Data", read: (run) => run.symbol, cell: (run) => run.symbol },
    { name: "rule", title: "Rule", read: ruleOf, cell: ruleOf },
    { name: "trading", title: "Trading", read: (run) => describeTrading(run.spec).join(" "),
      cell: (run) => describeTrading(run.spec).join(" "), className: () => "second clip" },
    { name: "span", title: "Span", read: (run) => run.spec.start || run.spec.dataset.start,
      cell: (run) => `${(run.spec.start || run.spec.dataset.start).slice(0, 7)}…${(run.spec.end || run.spec.dataset.end).slice(0, 7)}`, className: () => "second" },
    figure("total_return", "Return", (value) => formatSignedPercent(value, 1), true),
    { name: "excess", title: "vs B&H PP", isFigure: true, tip: "Total return minus that of buy and hold, percentage points", read: excess,
      cell: (run) => formatSignedPercent(excess(run), 1).replace("%", ""), className: (run) => signClass(excess(run)) },
    figure("cagr", "CAGR", (value) => formatSignedPercent(value, 1), true),
    figure("sharpe", "Sharpe", (value) => formatNumber(value)),
    figure("max_drawdown", "Max DD", (value) => formatPercent(value, 1), true),
    figure("win_rate", "Wins", (value) => formatPercent(value, 0)),
    figure("n_trades", "N", formatCount),
    figure("exposure", "Expo", (value) => formatPercent(value, 0)),
    { name: "tags", title: "Tags", read: (run) => run.tags.join(", "), cell: (run) => run.tags.join(", "),
      className: () => "amber clip" },
    { name: "note", title: "Note", read: (run) => run.note, cell: (run) => run.note || failureOf(run),
      className: () => "second clip" },
  ];
}

/** Why a run failed, where no note says something else. */
function failureOf(run) {
  return run.state === "failed" && run.error?.message ? `! ${run.error.message}` : "";
}

function stateCell(run) {
  const text = run.state === "running" ? `running ${Math.round((run.progress || 0) * 100)}%` : STATE_WORDS[run.state];
  return run.state === "failed" ? h("span", { class: "word", text: "FAILED" }) : h("span",
    { class: run.state === "succeeded" ? "second" : "amber", text });
}
