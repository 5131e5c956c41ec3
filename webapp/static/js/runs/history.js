/** The stored runs as far as they are loaded: pages of the server, and what changed since. No page. */

import { ApiError, request } from "../lib/api.js";
import { isTerminal, runPath } from "../run/session.js";
import { pickedValues, stateOf } from "./filter.js";

const PAGE_SIZE = 200;
// Matches that fill the table, and runs that are looked through for them before a person says to go on.
const WANTED = 100;
const MOST_LOOKED_AT = 2000;
const MOST_POLLED = 10;
const POLL_DELAY = 2000;
// What the server sorts by; other columns are sorted here, over what is loaded.
const SORTED_BY_SERVER = ["submitted_at", "symbol", "rule", "total_return", "cagr", "sharpe", "max_drawdown", "win_rate",
  "n_trades", "exposure"];

/** Runs of the server. */
export class RunHistory {
  /** @param {import("../lib/boot.js").Boot} boot @param {{onChange: () => void}} handlers */
  constructor(boot, { onChange }) {
    this.boot = boot;
    this.onChange = onChange;
    this.runs = [];
    this.cursor = null;
    this.question = null;
    this.turn = 0;
  }

  /**
   * Load what an expression and an order need, as little as possible again.
   * @param {{test: Function, terms: Object[]}} filter @param {string} sortName @param {boolean} isDown
   */
  async show(filter, sortName, isDown) {
    const sort = SORTED_BY_SERVER.includes(sortName) ? `${isDown ? "-" : ""}${sortName}` : "-submitted_at";
    const query = { ...this.serverFilter(filter.terms), sort };
    const question = JSON.stringify(query);
    this.filter = filter;
    if (question !== this.question && !(this.isWhole && this.question !== null)) {
      this.turn += 1;
      Object.assign(this, { question, query, runs: [], cursor: null, isWhole: false, isStarted: false });
    }
    await this.fill(WANTED);
  }

  /** Conditions that the server's indexes answer; all of them are checked here again. */
  serverFilter(terms) {
    const one = (name) => { const values = pickedValues(terms, name); return values.length === 1 ? values[0] : null; };
    const symbol = one("symbol")?.toLowerCase();
    const rule = one("rule")?.toLowerCase();
    const found = { symbol: symbol && this.boot.datasets.find((item) => item.symbol.toLowerCase() === symbol)?.symbol,
      rule: rule && this.boot.rules.find((item) => item.name === rule)?.name,
      state: one("state") && stateOf(one("state")),
      // Tags are asked for as they are written; in another case they are looked for here.
      tag: this.runs.some((run) => run.tags.includes(one("tag"))) ? one("tag") : this.query?.tag === one("tag") && one("tag") };
    return Object.fromEntries(Object.entries(found).filter(([, value]) => value));
  }

  get nMatches() {
    return this.runs.reduce((count, run) => count + Number(this.filter.test(run)), 0);
  }

  /** Load pages until there are enough matches. @param {number} wanted */
  async fill(wanted) {
    const { turn } = this;
    const until = this.runs.length + MOST_LOOKED_AT;
    while (turn === this.turn && (!this.isStarted
      || (this.cursor && this.nMatches < wanted && this.runs.length < until))) {
      const query = new URLSearchParams({ ...this.query, limit: PAGE_SIZE });
      if (this.cursor) query.set("cursor", this.cursor);
      const page = await request(`/api/v1/runs?${query}`);
      if (turn !== this.turn) return;
      this.isStarted = true;
      this.runs = [...this.runs, ...page.runs];
      this.cursor = page.next_cursor;
      // Everything is here, so that no other question needs the server.
      this.isWhole = !this.cursor && Object.keys(this.query).length === 1;
      this.onChange();
    }
    this.onChange();
    this.poll();
  }

  /** More of the same. */
  more() {
    return this.fill(this.nMatches + WANTED);
  }

  /** Runs that came meanwhile, and what became of the newest. */
  async refresh() {
    const { turn } = this;
    if (!this.isStarted) return;
    const { runs } = await request(`/api/v1/runs?${new URLSearchParams({ ...this.query, limit: PAGE_SIZE })}`);
    if (turn !== this.turn) return;
    const known = new Set(runs.map((run) => run.run_id));
    this.runs = [...runs, ...this.runs.filter((run) => !known.has(run.run_id))];
    this.onChange();
    this.poll();
  }

  /** Ask again for runs that are not done yet; stops by itself. */
  poll() {
    clearTimeout(this.timer);
    const open = this.runs.filter((run) => !isTerminal(run.state)).slice(0, MOST_POLLED);
    if (!open.length) return;
    this.timer = setTimeout(async () => {
      // A server that is away for a moment is asked again; the next thing a person does tells them.
      const fresh = await Promise.allSettled(open.map((run) => request(runPath(run.run_id))));
      for (const { value, reason } of fresh) {
        if (reason && !(reason instanceof ApiError)) throw reason;
        if (value) this.replace(value);
      }
      this.onChange();
      this.poll();
    }, POLL_DELAY);
  }

  find(runId) {
    return this.runs.find((run) => run.run_id === runId) || null;
  }

  replace(run) {
    this.runs = this.runs.map((known) => (known.run_id === run.run_id ? run : known));
  }

  remove(runId) {
    this.runs = this.runs.filter((run) => run.run_id !== runId);
  }
}
