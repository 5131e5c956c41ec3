/** The table of trades: only the rows in sight are in the page, so that 100,000 stay smooth. */

import { fill, h } from "../lib/dom.js";
import {
  formatCount, formatNumber, formatPercent, formatPrice, formatShares, formatSignedMoney, formatSignedPercent,
  moneyDigits, signClass,
} from "../lib/format.js";
import { COLORS } from "../charts/theme.js";

const ROW_HEIGHT = 22;
const TOUCH_ROW_HEIGHT = 44;
const SPARE_ROWS = 12;
// Where no trade goes this far, a tenth of a percent is much.
const FAR = 0.1;
const BAR = { width: 130, height: 14 };

// field, heading, is a figure, cell
const COLUMNS = [
  ["number", "#", true, (trade) => trade.number],
  ["entry_time", "Entry", false, (trade) => trade.entry_time.replace("T", " ").replace(":00Z", "")],
  ["exit_time", "Exit", false,
    (trade) => (trade.exit_reason === "open" ? "open" : trade.exit_time.replace("T", " ").replace(":00Z", ""))],
  ["direction", "Side", false, (trade) => trade.direction],
  ["bars_held", "Bars", true, (trade) => formatCount(trade.bars_held)],
  ["shares", "Shares", true,
    (trade) => formatShares(trade.shares)],
  ["entry_price", "Entry px", true, (trade) => formatPrice(trade.entry_price)],
  ["exit_price", "Exit px", true, (trade) => formatPrice(trade.exit_price)],
  ["commission", "Costs", true, (trade, digits) => formatNumber(trade.commission, digits.commission)],
  ["pnl", "P&L USD", true, (trade, digits) => formatSignedMoney(trade.pnl, digits.pnl), (trade) => signClass(trade.pnl)],
  ["return", "Return", true, (trade) => formatSignedPercent(trade.return), (trade) => signClass(trade.return)],
  ["mae", "MAE", true, (trade, digits) => formatPercent(trade.mae, digits.excursion)],
  ["mfe", "MFE", true, (trade, digits) => formatSignedPercent(trade.mfe, digits.excursion)],
  ["", "MAE to MFE", false, null],
  ["exit_reason", "Exit reason", false, (trade) => trade.exit_reason],
];

// What the row of totals has no room to say.
const TIPS = { entry_time: () => "Means and sum of P&L of the closed trades; costs of all fills, an open trade's too.", exit_reason: (text) => text };

/** A sortable grid with one selected row. */
export class TradeTable {
  /**
   * @param {HTMLElement} root
   * @param {{onSort: (field: string, isAdded: boolean) => void, onChoose: (trade: Object) => void}} handlers
   *   choose is called on moving, on Enter and on a click
   */
  constructor(root, handlers) {
    this.handlers = handlers;
    this.rows = [];
    this.selected = null;
    this.keys = [];
    this.rowHeight = matchMedia("(pointer: coarse)").matches ? TOUCH_ROW_HEIGHT : ROW_HEIGHT;
    this.head = h("tr", { role: "row" });
    this.body = h("tbody", { role: "rowgroup" });
    this.foot = h("tfoot", { role: "rowgroup" });
    this.grid = h("table", { class: "grid list trades", role: "grid", "aria-label": "Trades" },
      h("thead", { role: "rowgroup" }, this.head), this.body, this.foot);
    this.scroller = h("div", { class: "scroll trade-scroll", tabindex: "0", role: "group",
      "aria-label": "Trades; arrows move, Enter zooms" }, this.grid);
    root.replaceChildren(this.scroller);
    this.scroller.addEventListener("scroll", () => this.drawRows(), { passive: true });
    this.scroller.addEventListener("keydown", (event) => this.onKey(event));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-at]");
      if (row) this.open(Number(row.dataset.at));
    });
    this.observer = new ResizeObserver(() => this.drawRows());
    this.observer.observe(this.scroller);
  }

  destroy() {
    this.observer.disconnect();
  }

  /**
   * @param {Object[]} rows in order @param {Array<{field: string, isDown: boolean}>} keys @param {Object} totals
   * @param {Object|null} selected the trade that is brought into sight
   */
  show(rows, keys, totals, selected) {
    Object.assign(this, { rows, keys, selected });
    this.grid.setAttribute("aria-rowcount", String(rows.length + 1));
    const reach = rows.reduce((most, trade) => Math.max(most, Math.abs(trade.mae ?? 0), Math.abs(trade.mfe ?? 0)),
      0.01);
    const low = rows.reduce((least, trade) => Math.min(least, trade.mae ?? 0, trade.return ?? 0), -reach * 0.05);
    const high = rows.reduce((most, trade) => Math.max(most, trade.mfe ?? 0, trade.return ?? 0), reach * 0.05);
    this.position = (value) => ((value - low) / (high - low)) * (BAR.width - 4) + 2;
    const largest = (name) => rows.reduce((most, trade) => Math.max(most, Math.abs(trade[name] ?? 0)), 0);
    this.digits = { commission: moneyDigits(largest("commission")), pnl: moneyDigits(largest("pnl")),
      excursion: reach < FAR ? 2 : 1 };
    this.drawHead();
    this.drawFoot(totals);
    this.drawn = "";
    this.drawRows();
    this.select(selected);
  }

  drawHead() {
    fill(this.head, COLUMNS.map(([field, text, isFigure]) => {
      const key = this.keys.find((each) => each.field === field);
      const sorted = key ? (key.isDown ? "descending" : "ascending") : "none";
      return h("th", { scope: "col", role: "columnheader", class: isFigure ? "n" : "",
        "aria-sort": field ? sorted : null },
        field ? h("button", { type: "button", class: "sort",
          on: { click: (event) => this.handlers.onSort(field, event.shiftKey) } },
          text, key && h("span", { "aria-hidden": "true", text: key.isDown ? " ▼" : " ▲" })) : text);
    }));
  }

  drawFoot(totals) {
    const reasons = Object.entries(totals.reasons).map(([name, count]) => `${formatCount(count)} ${name}`).join(" · ");
    const cells = { entry_time: `${formatCount(totals.n_closed)} closed`, bars_held: formatNumber(totals.mean_bars, 1),
      commission: formatNumber(totals.commission, this.digits.commission),
        pnl: formatSignedMoney(totals.pnl, this.digits.pnl),
        return: formatSignedPercent(totals.mean_return),
      mae: formatPercent(totals.mean_mae, this.digits.excursion),
      mfe: formatSignedPercent(totals.mean_mfe, this.digits.excursion),
      exit_reason: reasons };
    const colored = { pnl: totals.pnl, return: totals.mean_return };
    fill(this.foot, h("tr", { role: "row" },
      // The reasons take the room of the excursions, which have no sum.
      COLUMNS.filter(([field]) => field).map(([field, , isFigure]) => h("td", { role: "gridcell", text: cells[field] || "",
      colspan: field === "exit_reason" ? 2 : null,
      data: TIPS[field] ? { tip: TIPS[field](cells[field]) } : {},
      class: [isFigure ? "n" : "", field in colored ? signClass(colored[field]) : "",
        field === "entry_time" ? "amber" : ""].join(" ") }))));
  }

  drawRows() {
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(Math.floor(scrollTop / this.rowHeight) - SPARE_ROWS, 0);
    const last = Math.min(first + Math.ceil(clientHeight / this.rowHeight) + 2 * SPARE_ROWS, this.rows.length);
    const key = `${first}-${last}-${this.rows.indexOf(this.selected)}`;
    if (key === this.drawn) return;
    this.drawn = key;
    const spacer = (count) => count > 0 && h("tr", { "aria-hidden": "true", class: "spacer" },
      h("td", { colspan: COLUMNS.length, style: { height: `${count * this.rowHeight}px` } }));
    fill(this.body, spacer(first), this.rows.slice(first, last).map((trade, idx) => this.buildRow(trade, first + idx)),
      spacer(this.rows.length - last),
      this.rows.length === 0 && h("tr", {},
        h("td", { colspan: COLUMNS.length, class: "second", text: "no trade fits" })));
  }

  buildRow(trade, at) {
    const isChosen = trade === this.selected;
    return h("tr", { role: "row", data: { at }, "aria-rowindex": at + 2, "aria-selected": String(isChosen),
      class: isChosen ? "is-selected" : "" },
      COLUMNS.map(([, , isFigure, cell, cellClass]) => h("td",
        { role: "gridcell", class: [isFigure ? "n" : "", cellClass ? cellClass(trade) : ""].join(" ") },
        cell ? String(cell(trade, this.digits)) : this.excursion(trade))));
  }

  excursion(trade) {
    const [from, to, zero, result] = [trade.mae ?? 0, trade.mfe ?? 0, 0, trade.return ?? 0].map(this.position);
    const middle = BAR.height / 2;
    return h("svg:svg", { width: BAR.width, height: BAR.height, role: "img",
      "aria-label": `between ${formatPercent(trade.mae, this.digits.excursion)} and ${formatSignedPercent(trade.mfe, this.digits.excursion)}` },
      h("svg:rect", { x: from, y: middle - 1.5, width: Math.max(to - from, 1), height: 3, fill: COLORS.control }),
      h("svg:rect", { x: zero, y: 1, width: 1, height: BAR.height - 2, fill: COLORS.second }),
      h("svg:rect", { x: result - 1.5, y: 2, width: 3, height: BAR.height - 4,
        fill: result > zero ? COLORS.gain : result < zero ? COLORS.loss : COLORS.second }));
  }

  /** Select without telling anybody. @param {Object|null} trade */
  select(trade) {
    this.selected = trade;
    const at = this.rows.indexOf(trade);
    if (at >= 0) this.scrollTo(at);
    this.drawRows();
  }

  scrollTo(at) {
    const headHeight = this.head.offsetHeight;
    const top = at * this.rowHeight;
    const room = this.scroller.clientHeight - headHeight - this.rowHeight * 2;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top > this.scroller.scrollTop + room) this.scroller.scrollTop = top - room;
  }

  open(at) {
    if (!this.rows[at]) return;
    this.select(this.rows[at]);
    this.handlers.onChoose(this.rows[at]);
  }

  /** Open the trade `step` rows further. @param {number} step */
  step(step) {
    this.open(Math.min(Math.max(this.rows.indexOf(this.selected) + step, 0), this.rows.length - 1));
  }

  onKey(event) {
    const at = this.rows.indexOf(this.selected);
    const page = Math.max(Math.floor(this.scroller.clientHeight / this.rowHeight) - 3, 1);
    const target = { ArrowDown: at + (event.shiftKey ? 10 : 1), ArrowUp: at - (event.shiftKey ? 10 : 1), Home: 0,
      End: this.rows.length - 1, PageDown: at + page, PageUp: at - page }[event.key];
    if (target !== undefined) {
      const trade = this.rows[Math.min(Math.max(target, 0), this.rows.length - 1)];
      if (trade) {
        this.select(trade);
        this.handlers.onChoose(trade);
      }
    } else if (event.key === "Enter" && at >= 0 && !event.target.closest("button")) this.open(at);
    else return;
    event.preventDefault();
  }
}
