/** Parallel coordinates without a page: places of axes and lines, and the line nearest to a point. */

import { levelIn } from "./axes.js";

const MARGIN = { left: 46, right: 60, top: 26, bottom: 12 };

/**
 * @typedef {Object} Scale one upright axis
 * @property {string} name @property {number} x @property {Array<{text: any, share: number}>} ticks
 * @property {(row: Object) => number|null} share from 0, the bottom, to 1
 */

/**
 * Axes for what varies, and the metric as the last one.
 * @param {Array<{name: string, values: any[]}>} axes levels in order @param {string} metric @param {Object[]} rows
 * @param {number} width of the picture
 * @returns {Scale[]}
 */
export function buildScales(axes, metric, rows, width) {
  const figures = rows.map((row) => row.metrics[metric]).filter((value) => typeof value === "number");
  const [low, high] = [Math.min(...figures), Math.max(...figures)];
  const step = (width - MARGIN.left - MARGIN.right) / Math.max(axes.length, 1);
  const ofAxis = ({ name, values }, idx) => {
    const at = new Map(values.map((value, place) => [String(value ?? "off"), place]));
    const share = (place) => (values.length > 1 ? place / (values.length - 1) : 0.5);
    const stride = Math.ceil(values.length / 8);
    return { name, x: MARGIN.left + idx * step,
      ticks: values.map((value, place) => ({ text: value, share: share(place) }))
        .filter((_tick, place) => place % stride === 0 || place === values.length - 1)
        .filter((tick, place, all) => place !== all.length - 2 || all[all.length - 1].share - tick.share > 0.1),
      share: (row) => { const place = at.get(String(levelIn(row, name) ?? "off")); return place === undefined ? null
        : share(place); } };
  };
  const spread = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  return [...axes.map(ofAxis), { name: metric, isMetric: true, low, high, spread, x: width - MARGIN.right,
    ticks: [], share: (row) => (typeof row.metrics[metric] === "number" ? spread(row.metrics[metric]) : null) }];
}

/** @param {number} share 0 to 1 @param {number} height of the picture @returns {number} pixels from the top */
export function placeShare(share, height) {
  return MARGIN.top + (1 - share) * (height - MARGIN.top - MARGIN.bottom);
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
