/** The line of what was assumed, on every tab, and its copy in one line of text. */

import { formatChosen, listAssumptions } from "../lib/assumptions.js";
import { $, copyText, fill, h } from "../lib/dom.js";
import { formatCount, formatRule } from "../lib/format.js";
import { describeMetric } from "../lib/metrics.js";

/** @param {Object} spec @returns {Array<[string, string]>} heading and text of every assumption */
function listOf({ trading, dataset }) {
  return listAssumptions(trading, dataset.adjusted ? "split + dividend adjusted" : "raw");
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
    ...listOf(spec).map(([name, text]) => `${name.toLowerCase()} ${text}`),
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
    listOf(spec).map(([name, text]) => h("span", {}, h("i", { text: name }), text)),
    count > 0 && h("span", { class: "warnings", tabindex: "0",
      data: { tip: warnings.map((item) => item.message).join("\n") } },
    h("span", { class: "word", text: count === 1 ? "1 WARNING" : `${count} WARNINGS` }), ` ${describeBriefly(warnings[0])}`),
    h("button", { type: "button", id: "copy-assumptions", class: "btn btn-small push", text: "Copy",
      "aria-label": "Copy what was assumed, as one line",
      on: { click: () => copyText(writeAssumptions(result, rule)) } }));
}
