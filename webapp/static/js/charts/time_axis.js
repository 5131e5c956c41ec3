/**
 * The time axis counts bars, so that nights and weekends take no room; its labels are calendar
 * boundaries, looked up in the time stamps that came with the series.
 */

const DAY = 86_400;
// [unit, step]; the first that gives few enough labels is taken
const STEPS = [
  ["second", 60], ["second", 300], ["second", 900], ["second", 1800], ["second", 3600],
  ["second", 10_800], ["second", 21_600], ["second", DAY], ["second", 2 * DAY], ["second", 7 * DAY],
  ["second", 14 * DAY], ["month", 1], ["month", 2], ["month", 3], ["month", 6], ["month", 12],
  ["month", 24], ["month", 60], ["month", 120],
];
const UNIT_SECONDS = { second: 1, month: 30.44 * DAY };

/** First position whose value is not below `wanted`, in an ascending list. */
export function lowerBound(values, wanted) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Read y at `wanted` x between the nearest known points. */
function interpolate(xs, ys, wanted) {
  if (!xs.length) return 0;
  const right = Math.min(Math.max(lowerBound(xs, wanted), 1), xs.length - 1);
  const left = Math.max(right - 1, 0);
  const span = xs[right] - xs[left];
  return span === 0 ? ys[left] : ys[left] + ((wanted - xs[left]) * (ys[right] - ys[left])) / span;
}

/** Known pairs of bar index and time. */
export class TimeIndex {
  /** @param {number[]} idx ascending @param {number[]} epoch UTC seconds */
  constructor(idx, epoch) {
    this.idx = idx;
    this.epoch = epoch;
    // Daily and wider bars have no time of day to tell.
    this.minStep = epoch.every((seconds) => seconds % DAY === 0) ? DAY : 0;
  }

  /** @param {number} position bar index, may be a fraction @returns {number} UTC seconds */
  timeAt(position) {
    return interpolate(this.idx, this.epoch, position);
  }

  /** @param {number} seconds @returns {number} bar index at or after that time */
  positionOf(seconds) {
    return Math.ceil(interpolate(this.epoch, this.idx, seconds) - 1e-6);
  }

  /**
   * Place the labels.
   * @param {number} first @param {number} last visible bars @param {number} maxLabels
   * @returns {{positions: number[], labels: string[]}}
   */
  ticks(first, last, maxLabels) {
    const from = this.timeAt(first);
    const to = this.timeAt(last);
    const step = STEPS.find(([unit, size]) => UNIT_SECONDS[unit] * size >= this.minStep
      && (to - from) / (UNIT_SECONDS[unit] * size) <= maxLabels) || STEPS[STEPS.length - 1];
    const positions = [];
    const labels = [];
    const minGap = (last - first) / (maxLabels * 1.8);
    for (const seconds of boundaries(step, from, to)) {
      const position = this.positionOf(seconds);
      if (position < first + minGap * 0.6 || position > last) continue;
      if (positions.length && position - positions[positions.length - 1] < minGap) continue;
      positions.push(position);
      labels.push(labelOf(seconds, step));
    }
    return { positions, labels };
  }
}

function* boundaries([unit, size], from, to) {
  if (unit === "second") {
    for (let at = Math.ceil(from / size) * size; at <= to; at += size) yield at;
    return;
  }
  const start = new Date(from * 1000);
  let month = Math.ceil((start.getUTCFullYear() * 12 + start.getUTCMonth()) / size) * size;
  for (;;) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1) / 1000;
    if (at > to) return;
    if (at >= from) yield at;
    month += size;
  }
}

function labelOf(seconds, [unit, size]) {
  const text = new Date(seconds * 1000).toISOString();
  if (unit === "month") return size >= 12 ? text.slice(0, 4) : text.slice(0, 7);
  if (size >= DAY) return text.slice(5, 10);
  return seconds % DAY === 0 ? text.slice(5, 10) : text.slice(11, 16);
}

/** A moment as the page prints it. @param {number} seconds @param {string} spacing */
export function formatMoment(seconds, spacing) {
  const text = new Date(seconds * 1000).toISOString();
  return spacing === "intraday" ? text.slice(0, 16).replace("T", " ") : text.slice(0, 10);
}
