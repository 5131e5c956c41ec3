/** Axes of a sweep, and the values that one combination has on them. */

import { findRule } from "../lib/boot.js";
import { readLevels } from "./space.js";

/**
 * @typedef {Object} SweptAxis
 * @property {string} name @property {"dataset"|"params"|"trading"} group @property {string|any[]} values SPEC text or
 *   a list
 */

/**
 * The axes of a spec in the order that numbers its combinations; stored objects may have lost it.
 * @param {Object} spec of a sweep @param {import("../lib/boot.js").Boot} boot
 * @returns {SweptAxis[]}
 */
export function buildAxes(spec, boot) {
  const pick = (group, names, values) => names.filter((name) => name in values)
    .map((name) => ({ name, group, values: values[name] }));
  const symbols = spec.datasets.map((item) => item.symbol);
  const labels = new Set(symbols).size === symbols.length ? symbols : spec.datasets.map((item) => item.sha256);
  return [...(labels.length > 1 ? [{ name: "dataset", group: "dataset", values: labels }] : []),
    ...pick("params", findRule(boot, spec.rule)?.parameters.map((field) => field.name) || Object.keys(spec.space),
      spec.space),
    ...pick("trading", boot.trading.map((field) => field.name), spec.trading_space)];
}

/** @param {Object} sweep @returns {string[]} names in the order of the space */
export function axisNames(sweep) {
  return sweep.axes.map((axis) => axis.name);
}

/** @param {Object} sweep @param {string} name @param {number} limit @returns {any[]} the values, at most `limit` */
export function axisLevels(sweep, name, limit) {
  const { count, at } = readLevels(sweep.axes.find((each) => each.name === name).values);
  return Array.from({ length: Math.min(count, limit) }, (_, digit) => at(digit));
}

/** @param {Object} row a combination @param {string} name of an axis */
export function levelIn(row, name) {
  if (name === "dataset") return row.dataset;
  return name in row.params ? row.params[name] : row.trading[name];
}

/**
 * The values that a number stands for: mixed radix, the last axis fastest.
 * @param {Object} sweep @param {number} index @returns {Object<string, any>} axis -> value
 */
export function decodeIndex(sweep, index) {
  const levels = {};
  let rest = index;
  for (const axis of [...sweep.axes].reverse()) {
    const { count, at } = readLevels(axis.values);
    levels[axis.name] = at(rest % count);
    rest = Math.floor(rest / count);
  }
  return levels;
}

/** Whether a combination stands at the first or last value of an axis that has an order. */
export function findEdges(sweep, row) {
  return sweep.axes.filter(({ name, values }) => {
    const levels = axisLevels(sweep, name, 100_000).filter((value) => typeof value === "number");
    const value = levelIn(row, name);
    return !Array.isArray(values) && levels.length > 1
      && (value === Math.min(...levels) || value === Math.max(...levels));
  }).map((axis) => axis.name);
}
