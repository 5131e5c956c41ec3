/** Distribution of a metric over all combinations, importance of the axes, marginals per axis: small SVGs. */

import { valueTicks } from "../charts/value_axis.js";
import { fill, h } from "../lib/dom.js";
import { formatCount, formatPercent } from "../lib/format.js";
import { formatMetric, metricLabel } from "../lib/metrics.js";
import { binText, formatLevelOf, pickTicks } from "./heat_data.js";

const FRAME = { left: 12, right: 12, top: 52, bottom: 20 };
const MARGINAL = { left: 44, right: 8, top: 8, bottom: 20 };
const MARK_STEP = 16;

const line = (x1, x2, y1, y2, className) => h("svg:line", { x1, x2, y1, y2, class: className });
const label = (x, y, text, anchor, className = "") =>
  h("svg:text", { x, y, "text-anchor": anchor, class: className, text });

/**
 * Where the marks over a histogram stand: each label on a line of its own if it would touch the one before.
 * @param {Array<{value: number|null, text: string, className: string}>} marks @param {(value: number) => number} x
 * @param {number} width of the picture
 * @returns {Array<{x: number, middle: number, row: number, text: string, className: string}>} `middle` of the label
 */
export function placeMarks(marks, x, width) {
  const rows = [];
  return marks.filter((mark) => typeof mark.value === "number").sort((one, other) => one.value - other.value)
    .map((mark) => {
    const half = mark.text.length * 3.4 + 3;
    const middle = Math.min(Math.max(x(mark.value), half), width - half);
    let row = rows.findIndex((end) => middle - half > end);
    if (row < 0) row = rows.length;
    rows[row] = middle + half;
    return { x: x(mark.value), middle, row: Math.min(row, 2), text: mark.text, className: mark.className };
  });
}

/**
 * Draw a histogram with its marks.
 * @param {HTMLElement} root with a size of its own @param {string} metric
 * @param {{edges: number[], counts: number[]}} histogram
 * @param {Array<{value: number|null, text: string, className: string}>} marks
 */
export function drawDistribution(root, metric, { edges, counts }, marks) {
  const { width, height } = root.getBoundingClientRect();
  if (width < 80 || height < 80 || !counts.length) return;
  // The bars leave out the farthest combinations, to which the best belongs.
  const known = marks.map((mark) => mark.value).filter((value) => typeof value === "number");
  const span = edges[edges.length - 1] - edges[0] || 1;
  const far = known.filter((value) => value > edges[0] - span && value < edges[edges.length - 1] + span);
  const [first, last] = [Math.min(edges[0], ...far), Math.max(edges[edges.length - 1], ...far)];
  const x = (value) => FRAME.left + ((value - first) / (last - first || 1)) * (width - FRAME.left - FRAME.right);
  const top = Math.max(...counts);
  const y = (count) => height - FRAME.bottom - (count / top) * (height - FRAME.top - FRAME.bottom);
  const ticks = valueTicks(first, last, Math.max(width / 70, 2), false);
  const inside = marks.filter(({ value }) => typeof value === "number" && value >= first && value <= last);
  fill(root, h("svg:svg", { width, height, role: "img",
    "aria-label": `Distribution of ${metricLabel(metric)} over ${formatCount(counts.reduce((sum, count) => sum + count, 0))} combinations` },
    counts.map((count, idx) => count > 0 && h("svg:rect", { class: "spread-bar", x: x(edges[idx]) + 0.5, y: y(count),
      width: Math.max(x(edges[idx + 1]) - x(edges[idx]) - 1, 0.5), height: Math.max(y(0) - y(count), 0.5) },
    h("svg:title", { text: `${formatMetric(metric, edges[idx])} to ${formatMetric(metric, edges[idx + 1])}: ${formatCount(count)}` }))),
    line(FRAME.left, width - FRAME.right, y(0) + 0.5, y(0) + 0.5, "spread-axis"),
    ticks.map((value) => label(Math.min(Math.max(x(value), 20), width - 20), height - 5, formatLevelOf(metric, value),
      "middle")),
    placeMarks(inside, x, width).map((mark) => [
      line(mark.x, mark.x, mark.row * MARK_STEP + 16, y(0), `spread-mark ${mark.className}`),
      label(mark.middle, mark.row * MARK_STEP + 12, mark.text, "middle", mark.className)])));
}

/**
 * Bars of the shares of variance.
 * @param {HTMLElement} root @param {Array<{text: string, share: number, isRest: boolean}>} shares largest first
 */
export function drawImportance(root, shares) {
  const most = Math.max(...shares.map((item) => item.share), 0.01);
  fill(root, h("ul", { class: "importance" }, shares.map(({ text, share, isRest }) => h("li", {},
    h("span", { text }), h("b", { text: formatPercent(share, 1) }),
    h("span", { class: "share-bar", "aria-hidden": "true" },
      h("span", { class: isRest ? "is-rest" : "", style: { width: `${(Math.max(share, 0) / most) * 100}%` } }))))));
}

/**
 * One small chart: median, quartiles and best of a metric at each value of an axis.
 * @param {Object} axis an axis of /marginals @param {string} metric @param {{width: number, height: number}} size
 * @returns {SVGElement}
 */
export function marginalChart(axis, metric, { width, height }) {
  const rows = axis.rows.map((row, idx) => ({ ...row, idx })).filter((row) => typeof row.median === "number");
  const low = Math.min(...rows.flatMap((row) => [row.q1, row.best]));
  const high = Math.max(...rows.flatMap((row) => [row.q3, row.best]));
  const { left, right, top, bottom } = MARGINAL;
  const pitch = (width - left - right) / axis.rows.length;
  const x = (idx) => left + (idx + 0.5) * pitch;
  const y = (value) => top + (1 - (value - low) / (high - low || 1)) * (height - top - bottom);
  const path = (name) => rows.map((row, at) => `${at ? "L" : "M"}${x(row.idx).toFixed(1)} ${y(row[name]).toFixed(1)}`)
    .join("");
  const size = Math.max(Math.min(pitch * 0.6, 14), 1);
  return h("svg:svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${metricLabel(metric)} by ${axis.name}: quartiles, median and best` },
    valueTicks(low, high, 3, false).map((value) => [line(left, width - right, y(value), y(value), "axis-rule"),
      label(left - 5, y(value) + 4, formatLevelOf(metric, value), "end")]),
    pickTicks(axis.rows.length, (width - left - right) / 36)
      .map((idx) => label(x(idx), height - 5, binText(axis, idx).slice(0, 10), "middle")),
    rows.map((row) => h("svg:rect", { class: "quartiles", x: x(row.idx) - size / 2, width: size, y: y(row.q3),
      height: Math.max(y(row.q1) - y(row.q3), 1) },
      h("svg:title", { text: `${axis.name} ${binText(axis, row.idx)}: median ${formatMetric(metric, row.median)}, quartiles ${formatMetric(metric, row.q1)} to ${formatMetric(metric, row.q3)}, best ${formatMetric(metric, row.best)}, ${formatCount(row.n)} combinations` }))),
    axis.ordered ? [h("svg:path", { class: "median-line", d: path("median") }),
      h("svg:path", { class: "best-line", d: path("best") })]
      : rows.map((row) => [line(x(row.idx) - size / 2 - 3, x(row.idx) + size / 2 + 3, y(row.median), y(row.median),
        "median-line"),
        line(x(row.idx) - size / 2 - 3, x(row.idx) + size / 2 + 3, y(row.best), y(row.best), "best-line")]));
}
