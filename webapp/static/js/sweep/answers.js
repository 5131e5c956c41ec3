/** Answers of the API in the shapes that the charts take. */

import { formatCount, formatPercent } from "../lib/format.js";
import { SIGNED_METRICS, SMALLER_IS_BETTER, formatMetric } from "../lib/metrics.js";

const LEAST_SHARE = 0.005;
const MOST_SHARES = 9;

/**
 * Quartiles, median and best of a metric at every level of every axis.
 * @param {Object} answer of /marginals
 * @returns {{metric: string, axes: Array<{name: string, ordered: boolean, values: any[], rows: Object[]}>}}
 */
export function readMarginals({ metric, axes }) {
  const best = SMALLER_IS_BETTER.includes(metric) ? "min" : "max";
  return { metric, axes: axes.map((axis) => ({ ...axis, rows: axis.values.map((_value, idx) => ({
    n: axis.n[idx], q1: axis.q1[idx], median: axis.median[idx], q3: axis.q3[idx], best: axis[best][idx] })) })) };
}

/**
 * The distribution of the objective with the facts that stand under it, null where nothing is eligible.
 * @param {Object} answer of /marginals
 */
export function readDistribution({ metric, distribution }) {
  if (!distribution?.n) return null;
  const { edges, counts, below, above, quantiles: at, n, share_above_zero: positive } = distribution;
  const show = (value) => formatMetric(metric, value);
  const outside = below + above;
  return { n, histogram: { edges, counts }, positive,
    note: [`${formatCount(n)} ${n === 1 ? "combination" : "combinations"}`, `median ${show(at["0.5"])}`,
      `5–95 % ${show(at["0.05"])} to ${show(at["0.95"])}`,
      SIGNED_METRICS.includes(metric) && `${formatPercent(positive, 1)} above 0`, outside > 0 && `${formatCount(outside)} beyond the bars`]
        .filter(Boolean) };
}

/**
 * Shares of variance, largest first, what is left last.
 * @param {Object} answer of /importance
 * @returns {Array<{text: string, share: number, isRest: boolean}>}
 */
export function readImportance({ effects, rest }) {
  const shares = (effects || []).filter((effect) => effect.share >= LEAST_SHARE)
    .map(({ axes, share }) => ({ text: axes.join(" × "), share, isRest: false }))
    .sort((one, other) => other.share - one.share).slice(0, MOST_SHARES);
  return rest >= LEAST_SHARE && shares.length ? [...shares, { text: "3-way and above", share: rest, isRest: true }]
    : shares;
}

/**
 * Rows and upright axes of /parallel. @param {Object} answer @returns {{rows: Object[], axes: Object[], metric:
 *   string, nAll: number}}
 */
export function readParallel({ metric, rows, axes, total }) {
  return { rows, axes, metric, nAll: total };
}
