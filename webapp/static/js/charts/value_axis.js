/** Ranges and gridlines of the value axis, linear and logarithmic. */

/**
 * Gridline values.
 * @param {number} min @param {number} max @param {number} count wanted @param {boolean} isLog
 * @returns {number[]}
 */
export function valueTicks(min, max, count, isLog) {
  if (!(max > min)) return [min];
  // Less than a factor of ten reads better with even steps, also on a log axis.
  return isLog && max / min > 10 ? logTicks(min, max, count) : linearTicks(min, max, count);
}

function linearTicks(min, max, count) {
  const rough = (max - min) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let k = Math.ceil(min / step); k * step <= max + step * 1e-9; k += 1) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

function logTicks(min, max, count) {
  const decades = Math.log10(max / min);
  const factors = decades * 3 <= count * 1.6 ? [1, 2, 5] : decades * 2 <= count * 1.6 ? [1, 3] : [1];
  const stride = Math.max(1, Math.ceil((decades * factors.length) / (count * 1.6)));
  const ticks = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); power += stride) {
    for (const factor of factors) {
      const value = Number((factor * 10 ** power).toPrecision(12));
      if (value >= min && value <= max) ticks.push(value);
    }
  }
  return ticks;
}

/**
 * Pad a range so that lines do not touch the frame.
 * @param {number|null} min @param {number|null} max of the visible data
 * @param {{isLog?: boolean, include?: number[], hasCeiling?: boolean, room?: number}} options
 *   `include` values always in sight; a ceiling is not padded; `room` share left free
 * @returns {[number, number]}
 */
export function padRange(min, max, { isLog = false, include = [], hasCeiling = false, room = 0.06 }) {
  if (min === null || max === null || !Number.isFinite(min)) return isLog ? [1, 10] : [0, 1];
  let low = Math.min(min, ...include);
  let high = Math.max(max, ...include);
  if (isLog && low > 0) {
    const factor = Math.max((high / low) ** room, 1.004);
    return [low / factor, high * factor];
  }
  const pad = (high - low || Math.abs(high) || 1) * room;
  low -= pad;
  // Zero has to be readable at the top of an underwater curve.
  high += hasCeiling ? pad * 0.7 : pad;
  return low < high ? [low, high] : [low, low + pad];
}
