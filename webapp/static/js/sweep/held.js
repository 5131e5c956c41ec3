/** Buy and hold beside a sweep, where it is known: any finished run on the same bars and costs has it. */

import { request } from "../lib/api.js";
import { writeQuery } from "./session.js";

const BENCHMARKS = ["total_return", "cagr", "sharpe", "max_drawdown"];
// What buy and hold depends on beside the bars.
const SHARED = ["initial_cash", "fee_rate", "fee_fixed", "slippage", "periods_per_year", "risk_free"];
const MOST_RUNS = 200;

/**
 * Look for the objective of buy and hold among the stored runs.
 * @param {Object} sweep @param {AbortSignal} signal
 * @returns {Promise<number|null>} null if no run knows it, or if there is more than one: several datasets, swept costs
 */
export async function findHeld(sweep, signal) {
  const { spec, objective } = sweep;
  const isSeveral = spec.datasets.length > 1 || SHARED.some((name) => name in spec.trading_space);
  if (!BENCHMARKS.includes(objective) || isSeveral) return null;
  const [dataset] = spec.datasets;
  const { runs } = await request(`/api/v1/runs${writeQuery({ symbol: dataset.symbol, state: "succeeded", limit: MOST_RUNS })}`, { signal });
  const isSame = (run) => run.spec.dataset.sha256 === dataset.sha256 && run.spec.dataset.adjusted === dataset.adjusted
    && run.spec.start === spec.start && run.spec.end === spec.end
    && SHARED.every((name) => run.spec.trading[name] === spec.trading[name]);
  return runs.find(isSame)?.metrics?.[`benchmark_${objective}`] ?? null;
}
