/** Tab 5: the table of trades, the price around the chosen one, the histogram of returns. */

import { drawHistogram } from "../charts/histogram.js";
import { indicatorPanes, pricePane } from "../charts/panes.js";
import { ChartStack } from "../charts/stack.js";
import { COLORS } from "../charts/theme.js";
import { readAddress, writeAddress } from "../lib/address.js";
import { announce, debounce, fill, h } from "../lib/dom.js";
import {
  formatChosenPercent, formatCount, formatSignedMoney, formatSignedPercent, moneyDigits, signClass,
} from "../lib/format.js";
import { loadSeries } from "./session.js";
import { TradeMarks } from "./trade_data.js";
import { parseSort, parseTradeFilter, SHOWN, sortTrades, writeSort } from "./trade_filter.js";
import { TradeTable } from "./trade_table.js";

const MIN_CONTEXT_BARS = 30;

/** The Trades tab of one run. */
export class TradesTab {
  /** @param {HTMLElement} root @param {import("./chart_tabs.js").View} view */
  constructor(root, view) {
    this.view = view;
    this.leaving = new AbortController();
    const { marks } = view.result;
    if (marks.all) this.open(root, marks.all);
    else this.openLater(root, marks);
  }

  /** Tens of thousands come when somebody looks at them. */
  async openLater(root, marks) {
    const note = h("p", { class: "hint", role: "status", text: `loading ${formatCount(marks.count)} trades` });
    fill(root, h("div", { class: "trades-tab" }, note));
    const { signal } = this.leaving;
    try {
      const trades = await marks.loadAll((count) => {
        note.textContent = `${formatCount(count)} of ${formatCount(marks.count)} trades`;
      }, signal);
      this.open(root, trades);
    } catch (error) {
      if (error.name === "AbortError") return;
      note.textContent = "the trades did not come";
      this.view.onError(error);
    }
  }

  open(root, trades) {
    this.trades = trades;
    const address = readAddress();
    this.filter = address.filter || "";
    this.shown = SHOWN[address.show] ? address.show : "all";
    this.keys = parseSort(address.sort);
    this.chosen = this.trades[Number(address.trade) - 1] || this.trades[this.trades.length - 1] || null;
    this.build(root);
    this.refresh();
    // The chart is a task of its own: the table is there first.
    setTimeout(() => { if (!this.leaving.signal.aborted) this.showTrade(); });
  }

  build(root) {
    this.error = h("span", { class: "filter-error", role: "alert" });
    const input = h("input", { class: "form-control", id: "trade-filter", type: "search", value: this.filter,
      autocomplete: "off",
      placeholder: "e.g. return<0 reason=stop_loss",
        on: { input: debounce((event) => this.setFilter(event.target.value), 120) } });
    this.buttons = Object.keys(SHOWN)
      .map((name) => [name, this.trades.filter(SHOWN[name]).length])
      // Few runs have a trade that breaks even.
      .filter(([name, count]) => name !== "even" || count > 0)
      .map(([name, count]) => h("button", { type: "button", class: "btn toggle", data: { show: name },
        text: `${name} ${formatCount(count)}`, on: { click: () => this.setShown(name) } }));
    const tableBox = h("div", { class: "trade-table" });
    this.heading = h("div", { class: "trade-heading" });
    this.chartBox = h("div", { class: "charts" });
    this.histogram = h("div", { class: "histogram" });
    const { n_closed: closed } = this.view.result.summary.trade_totals;
    const binWidth = this.view.result.summary.trade_histogram.bin_width;
    fill(root, h("div", { class: "trades-tab" },
      h("div", { class: "filter-bar" }, h("label", { for: "trade-filter", text: "Filter" }), input, this.buttons,
        this.error,
        h("span", { class: "hint wide-only",
          text: "↑↓ select · ⏎ zoom · click a heading to sort, shift-click adds a key" })),
      tableBox,
      h("div", { class: "trade-detail" },
        h("div", { class: "trade-chart" }, this.heading, this.chartBox),
        h("section", { class: "trade-histogram" },
          h("header", { class: "pane-head" }, h("h3", { text: "Return per trade" }),
            h("span", { class: "push",
              text: binWidth ? `${formatCount(closed)} closed, bin ${formatChosenPercent(Number(binWidth.toPrecision(3)))}` : "" })),
          this.histogram))));
    this.table = new TradeTable(tableBox, {
      onSort: (field, isAdded) => this.sortBy(field, isAdded),
      onChoose: (trade) => this.choose(trade),
    });
    this.sizing = new ResizeObserver(() => this.drawHistogram());
    this.sizing.observe(this.histogram);
  }

  destroy() {
    this.leaving.abort();
    this.stack?.destroy();
    this.table?.destroy();
    this.sizing?.disconnect();
  }

  setFilter(text) {
    this.filter = text;
    this.refresh();
  }

  setShown(name) {
    this.shown = name;
    this.refresh();
  }

  sortBy(field, isAdded) {
    const known = this.keys.find((key) => key.field === field);
    const next = { field, isDown: known ? !known.isDown : field !== "number" && field !== "entry_time" };
    this.keys = isAdded ? [...this.keys.filter((key) => key !== known), next] : [next];
    this.refresh();
  }

  refresh() {
    const { test, error } = parseTradeFilter(this.filter);
    this.error.textContent = error;
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.show === this.shown));
    const rows = sortTrades(this.trades.filter((trade) => SHOWN[this.shown](trade) && test(trade)), this.keys);
    this.table.show(rows, this.keys.length ? this.keys : [{ field: "entry_time", isDown: false }],
      this.view.result.summary.trade_totals, this.chosen);
    writeAddress({ filter: this.filter, show: this.shown === "all" ? null : this.shown, sort: writeSort(this.keys) });
  }

  /** Show a trade in chart, histogram and address. @param {Object} trade */
  choose(trade) {
    this.chosen = trade;
    writeAddress({ trade: trade.number });
    this.showTrade();
    announce(`trade ${trade.number}, entry ${trade.entry_time}: ${trade.exit_reason}, ${formatSignedPercent(trade.return)}`);
  }

  /** Go to a neighbour, as the keys [ and ] do. @param {number} step */
  step(step) {
    this.table?.step(step);
  }

  showTrade() {
    const trade = this.chosen;
    if (!trade) {
      fill(this.heading, h("h3", { text: "Trade" }), h("span", { text: "this run has no trade" }));
      return;
    }
    fill(this.heading, h("h3", { text: `Trade ${trade.number}` }),
      h("span", { class: "text",
        text: `${trade.entry_time} → ${trade.exit_reason === "open" ? "open" : trade.exit_time}` }),
      h("span", { class: "text", text: `${formatCount(trade.bars_held)} ${trade.bars_held === 1 ? "bar" : "bars"}` }),
      h("span", { class: signClass(trade.return), text: formatSignedPercent(trade.return) }),
      h("span", { class: signClass(trade.pnl), text: `${formatSignedMoney(trade.pnl, moneyDigits(trade.pnl))} USD` }),
      h("span", { class: "wide-only", text: this.tell(trade) }));
    const range = this.rangeOf(trade);
    if (this.stack) this.stack.setRange(range);
    else this.buildStack(range);
    this.drawHistogram();
  }

  tell({ mfe, mae, exit_reason: reason }) {
    const words = { stop_loss: "then hit the stop", trailing_stop: "then fell back to the trailing stop",
      take_profit: "and took its profit",
      signal: "and left on a signal", ruin: "and ended in ruin", open: "and is still open" };
    return `${mfe > -mae ? `ran ${formatSignedPercent(mfe, 1)} its way` : `went ${formatSignedPercent(mae, 1)} against it`}, ${words[reason] || reason}`;
  }

  rangeOf(trade) {
    const context = Math.max(MIN_CONTEXT_BARS, Math.round(trade.bars_held * 0.6));
    return [trade.entry_idx - context, trade.exit_idx + context];
  }

  buildStack(range) {
    const { result, isLog, onError } = this.view;
    const marks = new TradeMarks(this.trades);
    const context = { ...result, marks };
    const panes = [pricePane(context, isLog, { selected: () => this.chosen, levels: () => this.levels(), weight: 2.4 }),
      ...indicatorPanes(context)];
    this.stack = new ChartStack(this.chartBox, {
      panes, label: "Price around the trade", nBars: result.summary.n_bars, spacing: result.summary.spacing,
      range, onError, load: (...where) => loadSeries(result.runId, ...where),
    });
  }

  levels() {
    const { stop_loss: stop, take_profit: take } = this.view.result.summary.spec.trading;
    const { entry_price: entry, direction } = this.chosen;
    const side = direction === "long" ? 1 : -1;
    return [{ value: entry, label: "entry", color: COLORS.text },
      stop && { value: entry * (1 - side * stop), label: `stop ${formatChosenPercent(stop)}`,
        color: COLORS.loss },
      take && { value: entry * (1 + side * take), label: `take ${formatChosenPercent(take)}`,
        color: COLORS.gain }].filter(Boolean);
  }

  drawHistogram() {
    drawHistogram(this.histogram, this.view.result.summary, this.chosen);
  }
}
