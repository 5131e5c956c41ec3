/** What was published about a run's rule, and how the run did inside that sample and after it. */

import { h } from "../lib/dom.js";
import { DASH } from "../lib/format.js";
import { describeMetric, formatMetric, metricClass, metricLabel } from "../lib/metrics.js";

const FIGURES = ["total_return", "cagr", "volatility", "sharpe", "max_drawdown", "n_bars"];
const LABELS = {
  exact: "the published signal, on one series",
  adaptation: "a reduction of what was published",
};

/**
 * The split of the performance; nothing for a rule without a published sample.
 * @param {Object} summary
 * @returns {HTMLElement|null}
 */
export function sampleTable({ sample }) {
  if (!sample) return null;
  const [start, end] = sample.published;
  const parts = [sample.inside, sample.after];
  const why = Object.values(sample.reasons || {});
  return h("table", { class: "grid stat-table", "aria-labelledby": "group-sample", id: "sample-split" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col", id: "group-sample", text: "Published sample" }),
      h("th", { scope: "col", class: "n", text: "Inside" }), h("th", { scope: "col", class: "n", text: "After" }))),
    h("tbody", {},
      h("tr", {}, h("th", { scope: "row", text: "years" }),
        h("td", { class: "n", text: `${start.slice(0, 4)} to ${end.slice(0, 4)}` }),
        h("td", { class: "n", text: `from ${Number(end.slice(0, 4)) + 1}` })),
      FIGURES.map((name) => h("tr", { data: { metric: name } },
        h("th", { scope: "row", data: { tip: describeMetric(name) }, text: metricLabel(name) }),
        parts.map((part) => h("td", {
          class: `n ${part ? metricClass(name, part[name]) : ""}`, text: part ? formatMetric(name, part[name]) : DASH,
        })))),
      why.map((text) => h("tr", {}, h("td", { colspan: "3", class: "wrap" }, h("small", { class: "why", text }))))));
}

/**
 * Citation, label and deviations; nothing for a rule that cites nobody.
 * @param {Object} summary
 * @returns {HTMLElement|null}
 */
export function publicationTable({ rule, sample }) {
  if (!rule.source) return null;
  const row = (name, text) => h("tr", {}, h("th", { scope: "row", text: name }), h("td", { class: "wrap", text }));
  return h("table", { class: "grid key-table publication" },
    h("caption", {}, "Publication"),
    h("tbody", {}, row("source", rule.source),
      rule.label && row("label", `${rule.label}: ${LABELS[rule.label]}`),
      rule.label && !sample && row("sample", "not known: the abstract gives no dates, or no sample was published"),
      (rule.deviations || []).map((text) => row("deviation", text))));
}
