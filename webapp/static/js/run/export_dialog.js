/** Everything of a run that can be saved, in one dialog. */

import { h, openDialog } from "../lib/dom.js";
import { runPath } from "./session.js";

/** What each tab's table is called in the address of its export. */
export const EXPORTS = { stats: "metrics", equity: "equity", drawdown: "drawdown", portfolio: "portfolio", trades: "trades" };
const HOLDS = {
  stats: "all metrics beside buy and hold", equity: "equity, benchmark and close, bar by bar",
  drawdown: "underwater curves, bar by bar, and the ten deepest episodes",
  portfolio: "cash, position and exposure, bar by bar", trades: "one row a trade",
};

/**
 * Offer every export; resolves when the dialog is closed.
 * @param {string} runId @param {string} tab in sight @param {() => void} onPicture saves its picture
 */
export function openExports(runId, tab, onPicture) {
  const path = runPath(runId);
  const save = (href, text, label) => h("a", { class: "btn btn-small", href, download: true, text, "aria-label": label });
  const rows = Object.entries(EXPORTS).map(([name, table]) => h("tr", {},
    h("th", { scope: "row", text: name }), h("td", { class: "wrap", text: HOLDS[name] }),
    h("td", {}, h("span", { class: "tool-group" }, ["csv", "json"].map((kind) => save(`${path}/export/${table}.${kind}`,
      kind.toUpperCase(), `${name} as ${kind.toUpperCase()}`))))));
  const whole = [
    h("a", { class: "btn", href: `${path}/report.html`, target: "_blank", rel: "noopener", text: "Report" }),
    h("button", { type: "button", class: "btn", text: `Picture of ${tab}`, on: { click: onPicture } }),
    h("a", { class: "btn", href: `${path}/result`, download: `${runId}.json`, text: "Whole result" }),
  ];
  return openDialog("Export this run", [
    h("table", { class: "grid list export-table" }, h("caption", { class: "visually-hidden", text: "Exports by tab" }),
      h("tbody", {}, rows)),
    h("p", { class: "button-row" }, whole),
    h("p", { class: "field-help", text: "Each file carries the run's id, its fingerprint and the version of the definitions." }),
  ], null);
}
