/** The arithmetic of the heat map: colours, places, marks. No page. */

import { valueTicks } from "../charts/value_axis.js";
import { formatNumber, formatPercent, formatShort } from "../lib/format.js";
import { SMALLER_IS_BETTER } from "../lib/metrics.js";
import { levelIn } from "./axes.js";

// Lightness rises all the way, so the ramp also reads in grey and with any colour vision.
const RAMP = [[16, 24, 32], [24, 52, 82], [36, 96, 146], [79, 160, 210], [168, 220, 245], [240, 250, 255]];
const MARGIN = { left: 26, right: 76, top: 10, bottom: 40 };
const LEGEND = { gap: 18, width: 10 };
const LABEL_ROOM = 34;
const ROW_ROOM = 16;
const PERCENTS = ["total_return", "cagr", "volatility", "max_drawdown", "win_rate", "exposure"];

/** @param {number} share 0 to 1 @returns {string} a CSS colour */
export function rampColor(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  const mix = RAMP[low].map((from, idx) => Math.round(from + (RAMP[low + 1][idx] - from) * (at - low)));
  return `rgb(${mix.join(", ")})`;
}

/** A metric, as short as a mark or an axis needs it. @param {string} metric @param {number|null} value */
export function formatLevelOf(metric, value) {
  if (PERCENTS.includes(metric)) return formatPercent(value, Math.abs(value) < 0.1 ? 1 : 0);
  return Math.abs(value) >= 1000 ? formatShort(value) : formatNumber(value, metric === "n_trades" ? 0 : 2);
}

/** A value of an axis as text. @param {any} value */
export function formatLevel(value) {
  if (value === null || value === undefined) return "off";
  return typeof value === "number" ? String(Number(value.toPrecision(7))) : String(value);
}

/**
 * Where everything is, in CSS pixels; the first row of the data is at the bottom.
 * @param {number} width @param {number} height @param {number} nX columns @param {number} nY rows
 * @param {number} labelWidth of the widest name of a row
 */
export function layoutHeatmap(width, height, nX, nY, labelWidth) {
  const left = MARGIN.left + labelWidth;
  const plot = { left, top: MARGIN.top, width: width - left - MARGIN.right,
    height: height - MARGIN.top - MARGIN.bottom };
  const cell = { width: plot.width / nX, height: plot.height / nY };
  return {
    plot, cell,
    legend: { left: plot.left + plot.width + LEGEND.gap, top: plot.top, width: LEGEND.width, height: plot.height },
    /** @param {number} x column @param {number} y row @returns {{left: number, top: number}} of its top left corner */
    place: (x, y) => ({ left: plot.left + x * cell.width, top: plot.top + (nY - 1 - y) * cell.height }),
    /** @returns {{x: number, y: number}|null} the cell at a point */
    cellAt: (left, top) => {
      const x = Math.floor((left - plot.left) / cell.width);
      const y = nY - 1 - Math.floor((top - plot.top) / cell.height);
      return x >= 0 && x < nX && y >= 0 && y < nY ? { x, y } : null;
    },
    xTicks: pickTicks(nX, plot.width / LABEL_ROOM), yTicks: pickTicks(nY, plot.height / ROW_ROOM),
  };
}

/** Every k-th of `count` labels, so that no two touch. @param {number} count @param {number} most */
export function pickTicks(count, most) {
  const stride = [1, 2, 5, 10, 20, 25, 50, 100].find((step) => count / step <= Math.max(most, 1))
    || Math.ceil(count / 2);
  return Array.from({ length: Math.ceil(count / stride) }, (_, idx) => idx * stride);
}

/**
 * Range of the colours with its gridlines; bright is good, whichever end that is.
 * @param {string} metric @param {number|null} min @param {number|null} max
 * @returns {{min: number, max: number, ticks: number[], share: (value: number) => number,
 *   colorAt: (share: number) => string}|null}
 */
export function colorScale(metric, min, max) {
  if (min === null || max === null) return null;
  const span = max - min || 1;
  return { min, max, ticks: max > min ? valueTicks(min, max, 5, false) : [min],
    share: (value) => (max > min ? (value - min) / span : 0.7),
    colorAt: (share) => rampColor(SMALLER_IS_BETTER.includes(metric) ? 1 - share : share) };
}

/** What a column, row or bin holds. @param {{values: any[], last_values?: any[]}} axis @param {number} idx */
export function binText(axis, idx) {
  const first = formatLevel(axis.values[idx]);
  const last = axis.last_values ? formatLevel(axis.last_values[idx]) : first;
  return last === first ? first : `${first}…${last}`;
}

/**
 * The place of a combination on an axis, null if it lies outside the picture.
 * @param {{name: string, values: any[], last_values?: any[]}} axis `last_values` where levels are put together
 * @param {Object|null} row of a combination
 */
export function placeOnAxis(axis, row) {
  if (!row) return null;
  const value = levelIn(row, axis.name);
  let at = axis.values.findIndex((each) => isSameLevel(each, value));
  if (at < 0 && axis.last_values) {
    at = axis.values.findIndex((first, idx) => typeof value === "number" && first <= value
      && (axis.last_values[idx] === null || value <= axis.last_values[idx]));
  }
  return at < 0 ? null : at;
}

function isSameLevel(one, other) {
  if (typeof one === "number"
    && typeof other === "number") return Math.abs(one - other) <= 1e-9 * Math.max(Math.abs(one), 1);
  return (one ?? null) === (other ?? null);
}
