/**
 * Equity of several runs over one axis: of bars where all runs share them, of time where they do not. No page.
 *
 * Each run's series comes thinned by the server, at bars of its own; where only another run has a value, the straight
 * line between its neighbours is what is drawn there anyway.
 */

import { lowerBound, TimeIndex } from "../charts/time_axis.js";

const DAY = 86_400;
const LEAST_UNIT = 60;

/**
 * @typedef {Object} Curve
 * @property {string} name column in the merged view @property {string} runId @property {string} source column of the run
 * @property {number} nBars @property {number} cash the account's first value
 */

/** One axis for several runs. */
export class SharedAxis {
  /** @param {Array<{idx: number[], epoch: number[]}>} series thinned, over all bars @param {number[]} nBars */
  constructor(series, nBars) {
    const ends = series.map(({ epoch }, at) => `${nBars[at]}:${epoch[0]}:${epoch[epoch.length - 1]}`);
    this.isOfBars = new Set(ends).size === 1;
    this.indexes = series.map(({ idx, epoch }) => new TimeIndex(idx, epoch));
    this.first = Math.min(...series.map(({ epoch }) => epoch[0]));
    const last = Math.max(...series.map(({ epoch }) => epoch[epoch.length - 1]));
    const isDaily = series.every(({ epoch }) => epoch.every((seconds) => seconds % DAY === 0));
    // So many steps as the run with the closest bars has.
    const steps = series.map(({ epoch }, at) => (epoch[epoch.length - 1] - epoch[0]) / Math.max(nBars[at] - 1, 1));
    this.unit = isDaily ? DAY : Math.max(Math.min(...steps.filter((step) => step > 0)), LEAST_UNIT);
    this.nSteps = this.isOfBars ? nBars[0] : Math.floor((last - this.first) / this.unit) + 1;
  }

  /** Places of the points of a series. @param {{idx: number[], epoch: number[]}} series @returns {number[]} */
  place({ idx, epoch }) {
    return this.isOfBars ? idx : epoch.map((seconds) => (seconds - this.first) / this.unit);
  }

  /** The bars of run `at` between two places, null where it has none. @returns {[number, number]|null} */
  barsBetween(at, start, end, nBars) {
    if (this.isOfBars) return [start, end];
    const index = this.indexes[at];
    const time = (place) => this.first + place * this.unit;
    const [own0, own1] = [index.epoch[0], index.epoch[index.epoch.length - 1]];
    if (time(end) < own0 || time(start) > own1) return null;
    return [Math.max(index.positionOf(time(start)) - 1, 0), Math.min(index.positionOf(time(end)) + 1, nBars - 1)];
  }

  /** Why run `at` has no value at a place. @returns {{word: "starts"|"ended", epoch: number}|null} null: it has one */
  absenceAt(at, place) {
    if (this.isOfBars) return null;
    const { epoch } = this.indexes[at];
    const [time, last] = [this.first + place * this.unit, epoch[epoch.length - 1]];
    if (time < epoch[0]) return { word: "starts", epoch: epoch[0] };
    return time > last ? { word: "ended", epoch: last } : null;
  }
}

/** The value of a curve at place `x`, null outside of it. */
function valueAt(places, values, x) {
  const right = lowerBound(places, x);
  if (right >= places.length) return null;
  if (places[right] === x) return values[right];
  if (right === 0) return null;
  const [x0, x1, y0, y1] = [places[right - 1], places[right], values[right - 1], values[right]];
  return y0 === null || y1 === null ? null : y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}

/**
 * Put series over one list of places.
 * @param {Array<{name: string, places: number[], epoch: number[], values: number[]}>} parts
 * @returns {{idx: number[], epoch: number[], raw: Object<string, Array<number|null>>}}
 */
export function mergeSeries(parts) {
  const times = new Map();
  for (const { places, epoch } of parts) places.forEach((place, at) => times.set(place, epoch[at]));
  const idx = [...times.keys()].sort((one, other) => one - other);
  return { idx, epoch: idx.map((place) => times.get(place)),
    raw: Object.fromEntries(parts.map(({ name, places, values }) => [name,
      places.length === idx.length ? values : idx.map((x) => valueAt(places, values, x))])) };
}

/**
 * By what each curve is multiplied so that all start alike: from `cash` at their own beginning, or at place `from`.
 * @param {Curve[]} curves @param {{idx: number[], raw: Object}} view @param {number} cash
 * @param {number|null} from null: at their beginning
 * @returns {Object<string, number>}
 */
export function findFactors(curves, view, cash, from) {
  return Object.fromEntries(curves.map(({ name, cash: own }) => {
    if (from === null) return [name, cash / own];
    const values = view.raw[name];
    const at = values.findIndex((value, idx) => value !== null && view.idx[idx] >= from);
    return [name, at >= 0 && values[at] > 0 ? cash / values[at] : cash / own];
  }));
}

/** Write the multiplied curves beside the raw ones. @param {Object} view @param {Object<string, number>} factors */
export function scaleView(view, factors) {
  for (const [name, values] of Object.entries(view.raw)) {
    view[name] = values.map((value) => (value === null ? null : value * factors[name]));
  }
}
