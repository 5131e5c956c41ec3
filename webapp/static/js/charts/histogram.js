/** Returns per trade as a histogram (SVG). */

import { h } from "../lib/dom.js";
import { digitsFor, formatNumber, formatShort, formatSignedPercent } from "../lib/format.js";
import { valueTicks } from "./value_axis.js";

const FRAME = { left: 34, right: 24, top: 34, bottom: 34 };

/**
 * Draw the histogram of a run's closed trades.
 * @param {HTMLElement} root @param {Object} summary @param {Object|null} trade selected; its bin is boxed
 */
export function drawHistogram(root, summary, trade) {
  const { edges, counts } = summary.trade_histogram;
  if (!counts.some((count) => count > 0)) {
    root.replaceChildren(h("p", { class: "field-help", text: "no closed trade, so no histogram" }));
    return;
  }
  const { width, height } = root.getBoundingClientRect();
  if (width < 80 || height < 80) return;
  const top = Math.max(...counts);
  const x = (value) => FRAME.left + ((value - edges[0]) / (edges[edges.length - 1] - edges[0])) * (width - FRAME.left - FRAME.right);
  const y = (count) => height - FRAME.bottom - (count / top) * (height - FRAME.top - FRAME.bottom);
  const ticks = valueTicks(0, top, Math.min(6, top), false).filter(Number.isInteger);
  const marks = valueTicks(edges[0], edges[edges.length - 1], Math.max(width / 80, 2), false);
  // A mark at 2.5 % must not read 3 %.
  const digits = marks.length > 1 ? digitsFor((marks[1] - marks[0]) * 100) : 1;
  const bars = counts.map((count, idx) => count > 0 && bar(count, edges[idx], edges[idx + 1], x, y, trade));
  const mean = summary.trade_totals.mean_return;
  const { metrics } = summary;
  root.replaceChildren(h("svg:svg", {
    width, height, role: "img",
    "aria-label": `Histogram of ${summary.trade_totals.n_closed} closed trades, mean return ${formatSignedPercent(mean)}`,
  },
  ticks.map((count) => [line(FRAME.left, width - FRAME.right, y(count), y(count), "axis-rule"),
    label(FRAME.left - 6, y(count) + 4, formatShort(count), "end")]),
  marks.map((value) => label(x(value), height - FRAME.bottom + 14, formatSignedPercent(value, digits),
    "middle")),
  bars,
  line(x(mean), x(mean), FRAME.top, height - FRAME.bottom, "mean-line"),
  label((FRAME.left + width - FRAME.right) / 2, height - 4, "return, share of entry value", "middle")),
  h("p", { class: "histogram-note" }, h("span", { class: "text", text: `mean ${formatSignedPercent(mean)}` }),
    h("span", { text: `profit factor ${formatNumber(metrics.profit_factor)}` }),
    h("span", { text: `payoff ${formatNumber(metrics.payoff_ratio)}` }),));
}

function bar(count, from, to, x, y, trade) {
  const isChosen = trade && trade.exit_reason !== "open" && trade.return >= from && trade.return < to;
  const middle = (from + to) / 2;
  const digits = Math.max(digitsFor((to - from) * 100), 1);
  const box = { x: x(from) + 1, y: y(count), width: Math.max(x(to) - x(from) - 2, 1), height: y(0) - y(count) };
  return [
    h("svg:rect", { ...box, class: `bin ${middle > 0 ? "bin-gain" : "bin-loss"}` },
      h("svg:title", { text: `${formatSignedPercent(from, digits)} to ${formatSignedPercent(to, digits)}: ${count}` })),
    isChosen && h("svg:rect", { x: box.x - 1, y: box.y - 1, width: box.width + 2, height: box.height + 2,
      class: "bin-chosen" }),
    box.width > 14 && label(box.x + box.width / 2, box.y - 3, count, "middle", "bin-count"),
  ];
}

function line(x1, x2, y1, y2, className) {
  return h("svg:line", { x1, x2, y1, y2, class: className });
}

function label(x, y, text, anchor, className = "") {
  return h("svg:text", { x, y, "text-anchor": anchor, class: className, text });
}
