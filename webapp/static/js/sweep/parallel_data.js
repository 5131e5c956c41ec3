/** Parallel coordinates without a page: places of axes and lines, and the line nearest to a point. */

import { levelIn } from "./axes.js";
import { placeOnAxis } from "./heat_data.js";

const MARGIN = { left: 46, right: 60, top: 26, bottom: 12 };

/**
 * @typedef {Object} Scale one upright axis
 * @property {string} name @property {number} x @property {Array<{text: any, share: number}>} ticks
 * @property {(row: Object) => number|null} share from 0, the bottom, to 1
 * @property {Array<{value: any, last: any, share: number}>} [levels] of an axis, bottom first; `last` ends a bin
 */

/**
 * Axes for what varies, and the metric as the last one.
 * @param {Array<{name: string, values: any[], last_values?: any[]}>} axes levels in order; `last_values` where levels
 *   are put together @param {string} metric @param {Object[]} rows
 * @param {number} width of the picture
 * @returns {Scale[]}
 */
export function buildScales(axes, metric, rows, width) {
  const figures = rows.map((row) => row.metrics[metric]).filter((value) => typeof value === "number");
  const [low, high] = [Math.min(...figures), Math.max(...figures)];
  const step = (width - MARGIN.left - MARGIN.right) / Math.max(axes.length, 1);
  const spread = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  return [...axes.map((axis, idx) => buildScale(axis, MARGIN.left + idx * step)),
    { name: metric, isMetric: true, low, high, spread, x: width - MARGIN.right, ticks: [],
      share: (row) => (typeof row.metrics[metric] === "number" ? spread(row.metrics[metric]) : null) }];
}

function buildScale(axis, x) {
  const { name, values, ordered } = axis;
  const share = (place) => (values.length > 1 ? place / (values.length - 1) : 0.5);
  const levels = values.map((value, place) => ({ value, last: axis.last_values ? axis.last_values[place] : value,
    share: share(place) }));
  const places = new Map(values.map((value, place) => [String(value ?? "off"), place]));
  const stride = Math.ceil(values.length / 8);
  return { name, x, ordered, levels,
    ticks: levels.map((level) => ({ text: level.value, share: level.share }))
      .filter((_tick, place) => place % stride === 0 || place === values.length - 1)
      .filter((tick, place, all) => place !== all.length - 2 || all[all.length - 1].share - tick.share > 0.1),
    share: (row) => {
      // The first value of a bin has its own name; the others of a long axis are looked for.
      const place = places.get(String(levelIn(row, name) ?? "off")) ?? placeOnAxis(axis, row);
      return place === null ? null : share(place);
    } };
}

/** @param {number} share 0 to 1 @param {number} height of the picture @returns {number} pixels from the top */
export function placeShare(share, height) {
  return MARGIN.top + (1 - share) * (height - MARGIN.top - MARGIN.bottom);
}

/** The way back. @param {number} y pixels from the top @param {number} height @returns {number} below 0, above 1 too */
export function shareAt(y, height) {
  return 1 - (y - MARGIN.top) / (height - MARGIN.top - MARGIN.bottom);
}

/**
 * Points of a row's line, null where it has no place on an axis. @param {Scale[]} scales @param {Object} row @param
 *   {number} height
 */
export function placeRow(scales, row, height) {
  return scales.map((scale) => {
    const share = scale.share(row);
    return share === null ? null : [scale.x, placeShare(share, height)];
  });
}

/**
 * The line nearest to a point, null if none is within `reach` pixels.
 * @param {Array<Array<[number, number]|null>>} lines @param {number} x @param {number} y @param {number} reach
 */
export function findNearestLine(lines, x, y, reach = 8) {
  let best = null;
  let least = reach;
  lines.forEach((points, idx) => {
    for (let at = 0; at + 1 < points.length; at += 1) {
      const [from, to] = [points[at], points[at + 1]];
      if (!from || !to || x < from[0] || x > to[0]) continue;
      const share = (x - from[0]) / (to[0] - from[0] || 1);
      const distance = Math.abs(from[1] + (to[1] - from[1]) * share - y);
      if (distance < least) [best, least] = [idx, distance];
    }
  });
  return best;
}
