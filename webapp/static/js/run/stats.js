/** Tab 1: all metrics in groups beside buy and hold, returns by month and year, data warnings. */

import { fill, h } from "../lib/dom.js";
import { DASH, formatCount, formatSignedPercent, signClass } from "../lib/format.js";
import {
  describeMetric, formatMetric, GROUPS, METRIC_NAMES, metricClass, metricLabel, RAIL_GROUPS, ROOMY_GROUPS,
} from "../lib/metrics.js";
import { roveTerms, term } from "../lib/tooltip.js";
import { conventionSection } from "./conventions.js";
import { publicationTable, sampleTable } from "./publication.js";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * @param {HTMLElement} root @param {{summary: Object}} result
 * @param {{pictures: Node, onAgain: () => void}} parts `onAgain` runs it again
 */
export function showStats(root, { summary }, { pictures, onAgain }) {
  const shown = new Set(GROUPS.flatMap(([, names]) => names));
  const others = Object.keys(summary.metrics)
    .filter((name) => !shown.has(name) && !METRIC_NAMES.includes(name) && !name.startsWith("benchmark_"));
  const groups = others.length ? [...GROUPS, ["Other", others]] : GROUPS;
  const metrics = h("div", { class: "stat-groups" },
    sampleTable(summary), groups.map(([title, names]) => metricTable(title, names, summary, true)));
  roveTerms(metrics);
  for (const [idx, item] of [...metrics.querySelectorAll(".term")].entries()) item.tabIndex = idx === 0 ? 0 : -1;
  fill(root, h("div", { class: "stats scroll", tabindex: "0", role: "region", "aria-label": "All metrics and returns" },
    conventionSection(summary, onAgain), metrics, publicationTable(summary), monthTable(summary.returns), warningTable(summary), pictures));
}

/** The rail beside the charts. @param {HTMLElement} root @param {Object} summary */
export function showRail(root, summary) {
  const groups = [...RAIL_GROUPS.map((group) => [...group, ""]), ...ROOMY_GROUPS.map((group) => [...group, "roomy"])];
  fill(root, h("div", { class: "rail-body" },
    groups.map(([title, names, className]) => metricTable(title, names, summary, false, className)),
      yearTable(summary.returns.yearly)));
  roveTerms(root);
}

function metricTable(title, names, summary, hasReasons, className = "") {
  const id = `group-${title.toLowerCase().replaceAll(/\W+/g, "-")}${hasReasons ? "" : "-rail"}`;
  return h("table", { class: `grid stat-table ${className}`, "aria-labelledby": id },
    h("thead", {}, h("tr", {}, h("th", { scope: "col", id, text: title }),
      h("th", { scope: "col", class: "n", text: "Run" }), h("th", { scope: "col", class: "n", text: "B&H" }))),
    h("tbody", {}, names.map((name, idx) => metricRow(name, summary, hasReasons, idx === 0 && !hasReasons))));
}

function metricRow(name, summary, hasReasons, isStop) {
  const value = summary.metrics[name];
  const held = summary.benchmark[name];
  const why = summary.undefined[name];
  return h("tr", { data: { metric: name } },
    h("th", { scope: "row" }, term(metricLabel(name), describeMetric(name, why), isStop),
      hasReasons && why && h("small", { class: "why", text: why })),
    h("td", { class: `n ${metricClass(name, value)}`, text: formatMetric(name, value) }),
    h("td", { class: "n second", text: held === undefined ? DASH : formatMetric(name, held) }));
}

function monthTable({ monthly, yearly }) {
  const byYear = new Map(yearly.map((row) => [row.year, { ...row, months: Array(12).fill(null) }]));
  for (const row of monthly) byYear.get(row.year).months[row.month - 1] = row;
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Returns by month and year" }, h("table",
    { class: "grid months" },
    h("caption", {}, "Returns by month and year, %"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Year" }),
      MONTHS.map((text) => h("th", { scope: "col", class: "n", text })),
      ["Run", "B&H", "Diff PP"].map((text) => h("th", { scope: "col", class: "n", text })))),
    h("tbody", {}, [...byYear.values()].map((row) => h("tr", {}, h("th", { scope: "row", text: row.year }),
      row.months.map((month) => percentCell(month && month.run,
        month && `buy & hold ${formatSignedPercent(month.benchmark, 1)}`)),
      percentCell(row.run, null, "total"), h("td", { class: "n second", text: bare(row.benchmark) }),
        differenceCell(row))))));
}

function bare(value) {
  return formatSignedPercent(value, 1).replace("%", "");
}

function percentCell(value, title, className = "") {
  if (value === null) return h("td", { class: "n empty", title, text: title ? DASH : "" });
  const strength = Math.min(Math.ceil(Math.abs(value) / 0.05), 4);
  const tint = Math.abs(value) < 5e-4 ? "" : `tint-${value > 0 ? "gain" : "loss"}-${strength}`;
  return h("td", { class: `n ${signClass(value)} ${tint} ${className}`, title, text: bare(value) });
}

function differenceCell({ run, benchmark }) {
  const difference = run === null || benchmark === null ? null : run - benchmark;
  return h("td", { class: `n ${signClass(difference)}`, text: bare(difference) });
}

function yearTable(yearly) {
  return h("table", { class: "grid stat-table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Year" }),
      ["Run", "B&H", "Diff PP"].map((text) => h("th", { scope: "col", class: "n", text })))),
    h("tbody", {}, yearly.map((row) => h("tr", {}, h("th", { scope: "row", text: row.year }),
      h("td", { class: `n ${signClass(row.run)}`, text: formatSignedPercent(row.run, 1) }),
      h("td", { class: "n second", text: formatSignedPercent(row.benchmark, 1) }), differenceCell(row)))));
}

function warningTable({ warnings }) {
  return h("table", { class: "grid warnings-table" },
    h("caption", {}, "Data quality"),
    h("tbody", {}, warnings.length
      ? warnings.map((item) => h("tr", {},
        h("th", { scope: "row" }, h("span", { class: "word", text: "!" }), ` ${item.code.replaceAll("_", " ")}`),
        h("td", { class: "n", text: formatCount(item.count) }), h("td", { text: item.first || "" }),
          h("td", { class: "wrap", text: item.message })))
      : h("tr", {}, h("td", { class: "second",
        text: "No warnings: no jump above 40 %, no gap of more than 7 days, no bar without volume." }))));
}
