/** Brushes of parallel coordinates: what is kept on which axis, as text, as bands, as conditions. No page. */

import { levelIn } from "./axes.js";
import { formatLevel } from "./heat_data.js";

/**
 * What is kept of one axis: a range with both ends, or a list of names. A range up to `off` ends at Infinity, one
 * that has no upper end as well, and says so.
 * @typedef {{name: string, low: number, high: number, isOpen?: boolean}|{name: string, names: string[]}} Brush
 */

// `off` lies beyond the largest level, as everywhere.
const toNumber = (value) => (value === null || value === undefined || value === "off" ? Infinity : Number(value));
const writeEnd = (value) => (Number.isFinite(value) ? formatLevel(value) : value > 0 ? "off" : "");
const writeRange = ({ low, high, isOpen }) => `${writeEnd(low)}..${isOpen ? "" : writeEnd(high)}`;

/** Whether levels of an axis have an order; metrics do. @param {{ordered?: boolean, isMetric?: boolean}} axis */
function isOrdered(axis) {
  return axis.isMetric || axis.ordered !== false;
}

/**
 * Read conditions such as `window=5..12 stop_loss=0.05..off sharpe=0.5.. fill=next_open,same_close`.
 * @param {string} text @param {Array<{name: string, ordered?: boolean, isMetric?: boolean}>} axes
 * @returns {{brushes: Map<string, Brush>, fault: string}} what could be read, and what is wrong with the first that
 *   could not
 */
export function parseBrushes(text, axes) {
  const brushes = new Map();
  let fault = "";
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const [, name, value] = /^([^=]+)=(.+)$/.exec(word) || [];
    const axis = axes.find((each) => each.name === name);
    const brush = axis && parseValues(axis, value);
    if (brush) brushes.set(name, brush);
    else if (!fault) {
      fault = !name ? `${word}: write name=from..to` : axis ? `${word}: write ${example(axis)}`
        : `no axis ${name}; there are ${axes.map((each) => each.name).join(", ")}`;
    }
  }
  return { brushes, fault };
}

function example(axis) {
  return isOrdered(axis) ? `${axis.name}=from..to` : `${axis.name}=one,other`;
}

function parseValues(axis, text) {
  if (!isOrdered(axis)) return { name: axis.name, names: text.split(",").filter(Boolean) };
  const [from, to, ...more] = text.includes("..") ? text.split("..") : [text, text];
  const [low, high] = [from === "" ? -Infinity : toNumber(from), to === "" ? Infinity : toNumber(to)];
  return more.length || Number.isNaN(low) || Number.isNaN(high) || low > high ? null
    : { name: axis.name, low, high, isOpen: to === "" };
}

/** @param {Iterable<Brush>} brushes @returns {string} what `parseBrushes` reads */
export function writeBrushes(brushes) {
  return [...brushes].map((brush) => {
    if (brush.names) return `${brush.name}=${brush.names.join(",")}`;
    const { name, low, high } = brush;
    return `${name}=${low === high ? writeEnd(low) : writeRange(brush)}`;
  }).join(" ");
}

/**
 * Whether a combination is kept by every brush.
 * @param {Map<string, Brush>} brushes @param {Object} row @param {string} metric of the last axis
 */
export function isKept(brushes, row, metric) {
  return [...brushes.values()].every((brush) => {
    if (brush.names) return brush.names.includes(formatLevel(levelIn(row, brush.name)));
    const value = brush.name === metric ? row.metrics[metric] : toNumber(levelIn(row, brush.name));
    return typeof value === "number" && value >= brush.low && value <= brush.high;
  });
}

/**
 * The brush that a stretch of an axis stands for, null where it touches no level.
 * @param {import("./parallel_data.js").Scale} scale @param {number} from share, 0 is the bottom @param {number} to
 * @returns {Brush|null}
 */
export function brushStretch(scale, from, to) {
  const [first, last] = [Math.max(Math.min(from, to), 0), Math.min(Math.max(from, to), 1)];
  const { name } = scale;
  if (scale.isMetric) {
    const valueAt = (share) => Number((scale.low + share * (scale.high - scale.low)).toPrecision(3));
    const isOpen = last === 1;
    return { name, low: first === 0 ? -Infinity : valueAt(first), high: isOpen ? Infinity : valueAt(last), isOpen };
  }
  const touched = scale.levels.filter(({ share }) => share >= first && share <= last);
  if (!touched.length) return null;
  if (!isOrdered(scale)) return { name, names: touched.map(({ value }) => formatLevel(value)) };
  // A bin of a long axis is taken whole.
  return { name, low: toNumber(touched[0].value), high: toNumber(touched[touched.length - 1].last) };
}

/**
 * Where a brush lies on its axis.
 * @param {Brush} brush @param {import("./parallel_data.js").Scale} scale
 * @returns {Array<[number, number]>} stretches as shares, several where names are not side by side
 */
export function placeBrush(brush, scale) {
  if (scale.isMetric) {
    const span = scale.high - scale.low || 1;
    return [[Math.max((brush.low - scale.low) / span, 0), Math.min((brush.high - scale.low) / span, 1)]];
  }
  const kept = scale.levels.filter(({ value, last }) => (brush.names ? brush.names.includes(formatLevel(value))
    : toNumber(last) >= brush.low && toNumber(value) <= brush.high));
  if (!kept.length) return [];
  return brush.names ? kept.map(({ share }) => [share, share]) : [[kept[0].share, kept[kept.length - 1].share]];
}

/**
 * The same as conditions of the ranking.
 * @param {Map<string, Brush>} brushes @param {Array<{name: string, values?: any[]}>} axes
 * @returns {{filter: string}|{fault: string}}
 */
export function toFilter(brushes, axes) {
  const words = [];
  for (const { name, names, low, high } of brushes.values()) {
    const hasOff = axes.find((axis) => axis.name === name)?.values?.includes(null);
    if (names?.length > 1) return { fault: `the ranking takes one value of ${name}, not several` };
    if (hasOff && high === Infinity && Number.isFinite(low)) {
      return { fault: `the ranking takes ${name} off or a range of it, not both` };
    }
    if (names) words.push(`${name}=${names[0]}`);
    else if (low === Infinity) words.push(`${name}=off`);
    else if (low === high) words.push(`${name}=${formatLevel(low)}`);
    else {
      if (low > -Infinity) words.push(`${name}>=${formatLevel(low)}`);
      if (high < Infinity) words.push(`${name}<=${formatLevel(high)}`);
    }
  }
  return { filter: words.join(" ") };
}
