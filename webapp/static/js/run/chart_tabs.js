/** Tabs 2 to 4: charts over one shared zoom, with what stands beside them. */

import {
  cashPane, drawdownPane, equityPane, exposurePane, pricePane, sharesPane,
} from "../charts/panes.js";
import { ChartStack } from "../charts/stack.js";
import { fill, h } from "../lib/dom.js";
import { DASH, countDayDigits, formatCount, formatMoney, formatNumber, formatPercent, formatShort } from "../lib/format.js";
import { describeMetric } from "../lib/metrics.js";
import { term } from "../lib/tooltip.js";
import { loadSeries } from "./session.js";
import { showRail } from "./stats.js";

/**
 * @typedef {Object} View what the tabs share
 * @property {{runId: string, summary: Object, marks: import("./trade_data.js").TradeMarks}} result
 * @property {[number, number]|null} range @property {boolean} isLog
 * @property {(range: [number, number]|null) => void} onRange @property {(error: Error) => void} onError
 */

/** @param {HTMLElement} root @param {View} view @param {Object[]} panes @param {string} label */
function buildStack(root, view, panes, label) {
  const { result } = view;
  return new ChartStack(root, {
    panes, label, nBars: result.summary.n_bars, spacing: result.summary.spacing, range: view.range,
    onRange: view.onRange, onError: view.onError, marks: result.marks,
    load: (...where) => loadSeries(result.runId, ...where),
  });
}

/** Tab 2. @param {HTMLElement} root @param {View} view @returns {ChartStack} */
export function showEquity(root, view) {
  const charts = h("div", { class: "charts" });
  const rail = h("aside", { class: "rail scroll", id: "rail", tabindex: "0", "aria-label": "Main statistics" });
  fill(root, h("div", { class: "with-rail" }, charts, rail));
  showRail(rail, view.result.summary);
  return buildStack(charts, view,
    [equityPane(view.result, view.isLog), pricePane(view.result, view.isLog), drawdownPane(view.result)],
    "Equity, price and drawdown");
}

/** Tab 3. @param {HTMLElement} root @param {View} view @returns {ChartStack} */
export function showDrawdown(root, view) {
  const charts = h("div", { class: "charts" });
  fill(root, h("div", { class: "over-table" }, charts,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Ten deepest drawdowns" },
      episodeTable(view))));
  return buildStack(charts, view, [drawdownPane(view.result, 3), equityPane(view.result, view.isLog)],
    "Drawdown and equity");
}

function episodeTable({ result, onRange }) {
  const { drawdowns, n_bars: nBars } = result.summary;
  const deepest = drawdowns.length ? drawdowns[0].depth : -1;
  const dayDigits = countDayDigits(drawdowns.map(({ days }) => days));
  const zoom = (episode) => {
    const end = episode.recovery_idx ?? nBars - 1;
    const margin = Math.max(Math.round((end - episode.peak_idx) * 0.15), 5);
    onRange([Math.max(episode.peak_idx - margin, 0), Math.min(end + margin, nBars - 1)], true);
  };
  return h("table", { class: "grid list" },
    h("caption", { class: "visually-hidden", text: "Ten deepest drawdowns" }),
    h("thead", {}, h("tr", {}, ["#", "Depth", "Of the deepest", "Peak", "Trough", "Recovery", "Bars", "Days", "To trough", "Zoom"]
      .map((text, idx) => h("th", { scope: "col", class: [1, 6, 7, 8].includes(idx) ? "n" : "", text })))),
    h("tbody", {}, drawdowns.length ? drawdowns.map((episode, idx) => h("tr", {},
      h("td", { text: idx + 1 }), h("td", { class: "n loss", text: formatPercent(episode.depth) }),
      h("td", {}, h("span", { class: "depth-bar", style: { width: `${(episode.depth / deepest) * 120}px` } })),
      h("td", { text: episode.peak_time }), h("td", { text: episode.trough_time }),
      h("td", { class: episode.recovery_time ? "" : "amber", text: episode.recovery_time || "not recovered" }),
      h("td", { class: "n", text: formatCount(episode.bars) }),
        h("td", { class: "n", text: formatNumber(episode.days, dayDigits) }),
      h("td", { class: "n", text: formatCount(episode.trough_idx - episode.peak_idx) }),
      h("td", {}, h("button", { type: "button", class: "btn btn-small", "aria-label": `Zoom to drawdown ${idx + 1}`,
        text: "Zoom", on: { click: () => zoom(episode) } }))))
      : h("tr", {}, h("td", { colspan: 10, class: "second", text: "Equity never fell below a peak." }))));
}

/** Tab 4. @param {HTMLElement} root @param {View} view @returns {ChartStack} */
export function showPortfolio(root, view) {
  const charts = h("div", { class: "charts" });
  fill(root, h("div", { class: "with-rail" }, charts,
    h("aside", { class: "rail scroll", tabindex: "0", "aria-label": "Turnover" },
      h("div", { class: "rail-body" }, portfolioTable(view.result.summary), tradedTable(view.result.summary)))));
  return buildStack(charts, view, [cashPane(), exposurePane(), sharesPane()], "Cash, exposure and position");
}

function portfolioTable(summary) {
  const { metrics } = summary;
  const rows = [
    ["final equity", formatMoney(summary.final.equity),
      "Equity at the last bar, an open position marked at its close."],
    ["exposure", formatPercent(metrics.exposure), describeMetric("exposure")],
    ["turnover", formatNumber(metrics.turnover), describeMetric("turnover")],
    ["commission", formatMoney(summary.trade_totals.commission), "Commission of all fills."],
    ["interest", formatNumber(metrics.interest), describeMetric("interest")],
    ["rejected orders", formatCount(metrics.n_rejected_orders), describeMetric("n_rejected_orders")],
  ];
  return h("table", { class: "grid stat-table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Portfolio" }),
      h("th", { scope: "col", class: "n", text: "Run" }))),
    h("tbody", {}, rows.map(([label, value, tip], idx) => h("tr", {},
      h("th", { scope: "row" }, term(label, tip, idx === 0)), h("td", { class: "n", text: value })))));
}

/** Value of the fills of every year that has one. */
function tradedTable({ traded_by_year: rows }) {
  return h("table", { class: "grid stat-table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Traded by year" }),
      ["Fills", "USD"].map((text) => h("th", { scope: "col", class: "n", text })))),
    h("tbody", {}, rows.length ? rows.map((row) => h("tr", {}, h("th", { scope: "row", text: row.year }),
      h("td", { class: "n", text: formatCount(row.fills) }), h("td", { class: "n", text: formatShort(row.value) })))
      : h("tr", {}, h("td", { colspan: 3, class: "second", text: `${DASH} nothing was traded` }))));
}
