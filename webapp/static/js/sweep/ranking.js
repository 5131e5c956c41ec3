/** The ranking: sorted, filtered and paged by the server; the plateau stands above the raw best. */

import { $, announce, debounce, fill, h } from "../lib/dom.js";
import { DASH, formatCount } from "../lib/format.js";
import { HEADLINE_METRICS, SMALLER_IS_BETTER, formatDense, formatMetric, metricClass, metricDefinition,
  metricLabel } from "../lib/metrics.js";
import { axisNames, levelIn } from "./axes.js";
import { formatLevel } from "./heat_data.js";

const PAGE_SIZE = 50;
const FIRST_METRICS = ["sharpe", "cagr", "max_drawdown", "win_rate", "n_trades", "total_return", "profit_factor"];
const SHORT = { max_drawdown: "max DD", win_rate: "wins", n_trades: "trades", total_return: "return",
  profit_factor: "PF" };
const NEAR_HELP = "Median of the objective over this combination and its neighbours, one step away on one axis.";

/** The table with its controls. */
export class Ranking {
  /**
   * @param {HTMLElement} root
   * @param {{ask: (query: Object) => Promise<Object|null>, onOpen: (row: Object) => void, onQuery: (query: Object) =>
   *   void}} handlers
   */
  constructor(root, handlers) {
    this.handlers = handlers;
    this.query = { metric: null, order: "best", filter: "", min_trades: "", offset: 0 };
    this.selected = null;
    this.rows = [];
    this.count = h("span", { class: "second", id: "ranking-count", role: "status" });
    this.error = h("span", { class: "filter-error", id: "ranking-error", role: "alert" });
    this.filter = h("input", { id: "ranking-filter", type: "search", class: "form-control",
      placeholder: "sharpe>1 win_rate>0.4",
      autocomplete: "off", spellcheck: "false" });
    this.minTrades = h("input", { id: "ranking-trades", class: "form-control trades-input", inputmode: "numeric",
      autocomplete: "off" });
    this.previous = this.pager("‹", "Previous page", -1);
    this.next = this.pager("›", "Next page", 1);
    this.table = h("table", { class: "grid list ranking", role: "grid", "aria-label": "Ranking" });
    this.scroller = h("div", { class: "scroll ranking-scroll", id: "ranking-scroll", tabindex: "0", role: "group",
      "aria-label": "Ranking; arrows move, Enter opens" }, this.table);
    this.exports = ["csv", "parquet"].map((kind) =>
      h("a", { class: "btn btn-small", id: `export-${kind}`, download: true, text: kind }));
    this.more = h("button", { type: "button", id: "ranking-more", class: "btn btn-small", hidden: true,
      on: { click: () => this.scrollColumns() } });
    fill(root, h("div", { class: "filter-bar" },
      h("label", { for: "ranking-filter", text: "Filter" }), this.filter,
      h("label", { for: "ranking-trades", text: "Min trades" }), this.minTrades,
      this.error, h("span", { class: "push" }, this.count), this.previous, this.next, this.more), this.scroller);
    $("#ranking-exports").append(...this.exports);
    this.listen();
  }

  pager(text, title, step) {
    return h("button", { type: "button", class: "btn btn-small", text, "aria-label": title,
      on: { click: () => this.change({ offset: Math.max(this.query.offset + step * PAGE_SIZE, 0) }) } });
  }

  listen() {
    const read = debounce(() => this.change({ filter: this.filter.value.trim(), min_trades: this.minTrades.value.trim(),
      offset: 0 }), 300);
    for (const input of [this.filter, this.minTrades]) input.addEventListener("input", read);
    this.table.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-at]");
      if (row) this.handlers.onOpen(this.rows[Number(row.dataset.at)]);
    });
    this.scroller.addEventListener("keydown", (event) => this.onKey(event));
    this.scroller.addEventListener("scroll", () => this.countHidden(), { passive: true });
    this.sizing = new ResizeObserver(() => this.countHidden());
    for (const box of [this.scroller, this.table]) this.sizing.observe(box);
  }

  /** Say how many columns lie beyond the right edge, where a cut one might be taken for the last. */
  countHidden() {
    const { scrollLeft, clientWidth, scrollWidth } = this.scroller;
    const n = [...this.table.querySelectorAll("thead th")]
      .filter((head) => head.offsetLeft + head.offsetWidth > scrollLeft + clientWidth + 1).length;
    this.more.hidden = scrollWidth <= clientWidth + 1;
    this.more.textContent = n ? `${n} more ▸` : "◂ first";
    this.more.setAttribute("aria-label", n ? `${n} more columns` : "Back to the first columns");
    this.scroller.classList.toggle("has-more", n > 0);
  }

  scrollColumns() {
    const { scrollLeft, clientWidth, scrollWidth } = this.scroller;
    const isAtEnd = scrollLeft + clientWidth >= scrollWidth - 1;
    this.scroller.scrollTo({ left: isAtEnd ? 0 : scrollLeft + clientWidth * 0.8 });
  }

  /** Take what the address holds. @param {Object<string, string>} address */
  restore({ sort, filter, trades, offset }) {
    const [metric, order] = (sort || "").split(":");
    this.query = { metric: HEADLINE_METRICS.includes(metric) ? metric : null, order: order === "worst" ? "worst"
      : "best",
      filter: filter || "", min_trades: trades || "", offset: Number(offset) || 0 };
    this.rows = [];
    this.filter.value = this.query.filter;
    this.minTrades.value = this.query.min_trades;
  }

  /** Why there is no row, and what to do about it. */
  explainEmpty() {
    const { filter, min_trades: least } = this.query;
    if (filter || Number(least) || this.sweep.spec.min_trades) return "No combination fits: fewer trades or a wider filter.";
    return "No combination has a figure to rank by: none traded, or nothing moved. Widen the space or rank by another.";
  }

  /** @param {Object} sweep @param {string} path of its API */
  bind(sweep, path) {
    this.sweep = sweep;
    for (const link of this.exports) link.href = `${path}/export.${link.textContent}`;
    // All combinations are there once the sweep is done.
    $("#ranking-exports").hidden = sweep.state !== "succeeded";
    this.minTrades.placeholder = String(sweep.spec.min_trades ?? 0);
  }

  change(changes) {
    Object.assign(this.query, changes);
    this.handlers.onQuery(this.query);
    this.load();
  }

  /** Show only what meets a condition. @param {string} filter */
  narrow(filter) {
    this.filter.value = filter;
    this.change({ filter, offset: 0 });
  }

  async load() {
    const { metric, order, filter, min_trades: minTrades, offset } = this.query;
    const query = { metric, order: order === "best" ? null : order, offset: offset || null, limit: PAGE_SIZE,
      min_trades: minTrades || null, filter: filter.split(/[\s,]+/).filter(Boolean) };
    const ask = (more) => this.handlers.ask({ ...query, ...more }, (text) => { this.error.textContent = text; });
    // While a sweep goes on the best rows are there at once, their neighbours only when a worker has looked.
    if (this.sweep.state === "succeeded" || !this.rows.length) this.take(await ask({}));
    if (this.sweep.state !== "succeeded" && this.rows.length) this.take(await ask({ near: true }));
  }

  take(answer) {
    if (!answer) return;
    this.error.textContent = "";
    this.show(answer);
  }

  show(answer) {
    const { best, plateau } = this.sweep;
    const isPinned = plateau && answer.offset === 0 && !this.query.filter;
    const { selected } = this;
    this.rows = [...(isPinned ? [{ ...plateau, rank: answer.rows.find((row) => row.index === plateau.index)?.rank
      ?? null }] : []),
      ...answer.rows];
    // The same combination stays chosen when newer rows come.
    this.selected = this.rows.find((row) => row.index === selected?.index && ("score" in row) === ("score" in selected))
      ?? null;
    const last = answer.offset + answer.rows.length;
    this.count.textContent = answer.rows.length
      ? `${formatCount(answer.offset + 1)}–${formatCount(last)}${answer.total === null ? "" : ` of ${formatCount(answer.total)}`}${answer.complete ? "" : " so far"}` : "";
    this.previous.disabled = answer.offset === 0;
    this.next.disabled = answer.total === null ? answer.rows.length < PAGE_SIZE : last >= answer.total;
    const columns = this.columns(answer);
    fill(this.table, h("thead", {}, h("tr", {}, columns.map((column) => this.heading(column)))),
      h("tbody", {}, this.rows.length ? this.rows.map((row, at) => h("tr",
        { data: { at, index: row.index }, class: row.score !== undefined && at === 0 && isPinned ? "is-pinned" : "",
          "aria-selected": String(row === this.selected) },
        columns.map((column) => h("td", { class: [column.isFigure ? "n" : "", column.className?.(row) || ""]
          .join(" ") }, column.cell(row, at, { best, plateau, isPinned })))))
        : h("tr", {}, h("td", { colspan: columns.length, class: "second",
          text: answer.complete ? this.explainEmpty() : "Nothing is done yet." }))));
  }

  columns(answer) {
    const objective = this.sweep.objective;
    const names = [...new Set([objective, answer.metric, ...FIRST_METRICS, ...HEADLINE_METRICS])];
    const figure = (name) => ({ metric: name, title: SHORT[name] || metricLabel(name), isFigure: true,
      tip: metricDefinition(name),
      cell: (row) => formatDense(name, row.metrics[name]), className: (row) => metricClass(name, row.metrics[name]) });
    const near = { title: "near", isFigure: true, tip: NEAR_HELP,
      cell: (row) => { const value = row.near ?? row.score; return value === undefined || value === null ? DASH
        : formatMetric(objective, value); } };
    this.sorted = answer.metric;
    this.order = answer.order;
    return [
      { title: "#", isFigure: true, cell: (row) => (row.rank ? formatCount(row.rank) : DASH) },
      { title: "mark", cell: (row, at, known) => this.label(row, at, known) },
      ...axisNames(this.sweep).map((name) => ({ title: name,
        isFigure: typeof levelIn(this.rows[0] || { params: {}, trading: {} }, name) !== "string",
        cell: (row) => formatLevel(levelIn(row, name)) })),
      figure(names[0]), near, ...names.slice(1).map(figure),
    ];
  }

  label(row, at, { best, plateau, isPinned }) {
    const words = [];
    if (plateau && row.index === plateau.index) words.push(h("span",
      { class: "amber", text: at === 0 && isPinned ? "PLATEAU" : "plateau" }));
    if (best && row.index === best.index) words.push(h("span",
      { class: "amber", text: words.length ? " RAW" : "RAW" }));
    return h("span", {}, words);
  }

  heading({ metric, title, isFigure, tip }) {
    const isSorted = metric && metric === this.sorted;
    const isWorst = this.order === "worst";
    const isRising = isWorst !== SMALLER_IS_BETTER.includes(metric);
    return h("th", { scope: "col", class: isFigure ? "n" : "", "aria-sort": isSorted
      ? (isRising ? "ascending" : "descending") : null, data: tip ? { tip } : {} },
      metric ? h("button", { type: "button", class: "sort", on: { click: () => this.change({ metric, offset: 0,
        order: isSorted && !isWorst ? "worst" : "best" }) } }, title, isSorted
          && h("span", { "aria-hidden": "true", text: isRising ? " ▲" : " ▼" })) : title);
  }

  onKey(event) {
    const at = this.rows.indexOf(this.selected);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.target.closest("button")) return;
    if (step && this.rows.length) this.select(Math.min(Math.max(at + step * (event.shiftKey ? 10 : 1), 0),
      this.rows.length - 1));
    else if (event.key === "Enter" && at >= 0) this.handlers.onOpen(this.rows[at]);
    else return;
    event.preventDefault();
  }

  select(at) {
    this.selected = this.rows[at];
    for (const row of this.table.querySelectorAll("tr[data-at]")) {
      const isChosen = Number(row.dataset.at) === at;
      row.setAttribute("aria-selected", String(isChosen));
      if (isChosen) row.scrollIntoView({ block: "nearest" });
    }
    announce([`rank ${this.selected.rank}`, ...axisNames(this.sweep)
      .map((name) => `${name} ${formatLevel(levelIn(this.selected, name))}`)].join(", "));
  }
}
