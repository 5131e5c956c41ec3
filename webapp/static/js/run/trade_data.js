/** Trades of a run: those of the bars in sight for charts, all of them for the table. */

import { request, requestLines } from "../lib/api.js";

// As many marks as two windows side by side have room for.
const MOST_MARKS = 2000;
// Zoomed in by more than this, what was thinned is asked for again.
const FINER = 3;

/**
 * Turn columns into one object a trade.
 * @param {Object<string, any[]>} columns of equal length
 * @returns {Object[]} with `number`, counted from 1
 */
export function readTrades(columns) {
  const fields = Object.entries(columns);
  return columns.number.map((_, idx) => Object.fromEntries(fields.map(([name, values]) => [name, values[idx]])));
}

/** @typedef {{trades: Object[], isThinned: boolean}} Marks in order */

/** What charts mark: all trades where they are few, else those of a window, thinned. */
export class TradeMarks {
  /** @param {Object[]} trades @param {number} [count] of the run, of which these may be a part @param {string} [path] */
  constructor(trades, count = trades.length, path = "") {
    this.path = path;
    this.count = count;
    this.full = describe(trades, count);
    this.detail = null;
  }

  /** All trades, if they came with the first answer. @returns {Object[]|null} */
  get all() {
    return this.full.isThinned ? null : this.full.trades;
  }

  /** @returns {boolean} whether a trade broke even, as far as is known */
  get hasEven() {
    return this.full.hasEven || Boolean(this.detail?.hasEven);
  }

  /** The marks for bars `first` to `last`. @param {number} first @param {number} last @returns {Marks} */
  at(first, last) {
    return this.detail && first >= this.detail.start && last <= this.detail.end ? this.detail : this.full;
  }

  /** @param {number} first @param {number} last @returns {boolean} whether nothing finer is to be had */
  isFineEnough(first, last) {
    const { isThinned, start, end } = this.at(first, last);
    return !isThinned || end - start < (last - first) * FINER;
  }

  /** Ask for those of a window. @param {number} start @param {number} end inclusive @param {AbortSignal} signal */
  async load(start, end, signal) {
    if (!this.full.isThinned) return;
    const query = new URLSearchParams({ start_idx: start, end_idx: end, limit: MOST_MARKS });
    // The ends of a chart lie half a bar beyond its bars.
    const { trades, n_found: nFound } = await request(`${this.path}/trades/view?${query}`, { signal });
    this.detail = { ...describe(readTrades(trades), nFound), start: start - 0.5, end: end + 0.5 };
  }

  /**
   * All trades, block by block, so that the page stays alive while thousands come.
   * @param {(count: number) => void} onCount @param {AbortSignal} signal
   * @returns {Promise<Object[]>}
   */
  async loadAll(onCount, signal) {
    if (this.all) return this.all;
    const trades = [];
    await requestLines(`${this.path}/trades/lines`, (columns) => {
      for (const trade of readTrades(columns)) trades.push(trade);
      onCount(trades.length);
    }, signal);
    return trades;
  }
}

function describe(trades, count) {
  return {
    trades, isThinned: trades.length < count, start: trades[0]?.entry_idx ?? 0, end: trades.at(-1)?.exit_idx ?? 0,
    hasEven: trades.some((trade) => trade.exit_reason !== "open" && trade.pnl === 0),
  };
}

/** @param {string} path of the run @returns {Promise<TradeMarks>} */
export async function loadMarks(path) {
  const { trades, n_trades: count } = await request(`${path}/trades/view`);
  return new TradeMarks(readTrades(trades), count, path);
}
