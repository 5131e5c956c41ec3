/** The list of stored datasets: search, sort, one row selected. */

import { readAddress, writeAddress } from "../lib/address.js";
import { findDataset } from "../lib/boot.js";
import { $, debounce, fill, h } from "../lib/dom.js";
import { formatCount, formatStamp } from "../lib/format.js";
import { formatBytes } from "./report.js";

const shortTime = (text) => (text.length > 10 ? formatStamp(text) : text);

const COLUMNS = [
  { name: "symbol", title: "Symbol", read: (item) => item.symbol, cell: (item) => h("b", { text: item.symbol }) },
  { name: "version", title: "Versions", isFigure: true, read: (item) => item.version },
  { name: "n_bars", title: "Bars", isFigure: true, read: (item) => item.n_bars, cell: (item) => formatCount(item.n_bars) },
  { name: "start", title: "First", read: (item) => item.start, cell: (item) => shortTime(item.start) },
  { name: "end", title: "Last", read: (item) => item.end, cell: (item) => shortTime(item.end) },
  { name: "spacing", title: "Spacing", read: (item) => item.spacing },
  { name: "adjusted", title: "Adjusted", read: (item) => (item.has_adjustment ? "yes" : "no") },
  { name: "n_bytes", title: "Size", isFigure: true, read: (item) => item.n_bytes, cell: (item) => formatBytes(item.n_bytes) },
  { name: "tags", title: "Tags", read: (item) => item.tags.join(", "),
    cell: (item) => h("span", { class: "amber", text: item.tags.join(", ") }) },
  { name: "warnings", title: "Warnings", read: (item) => item.warnings.length,
    cell: (item) => (item.warnings.length ? [h("span", { class: "word", text: "!" }),
      ` ${item.warnings.map((warning) => warning.code.replaceAll("_", " ")).join(", ")}`]
      : h("span", { class: "second", text: "none" })) },
  { name: "file", title: "File", isRoomy: true, read: (item) => item.file_name,
    cell: (item) => h("span", { class: "second clip-line", title: item.file_name, text: item.file_name }) },
  { name: "created_at", title: "Added", isRoomy: true, read: (item) => item.created_at,
    cell: (item) => h("span", { class: "second", text: formatStamp(item.created_at) }) },
];

/** The table and its toolbar. */
export class DatasetList {
  /**
   * @param {Object[]} datasets
   * @param {{onSelect: (item: Object) => void, onOpen: (item: Object) => void, isAway?: boolean}} handlers away: what is stored is not known
   */
  constructor(datasets, { onSelect, onOpen, isAway = false }) {
    Object.assign(this, { datasets, onSelect, onOpen, isAway });
    const address = readAddress();
    [this.sortName, this.sortWay] = (address.sort || "symbol:up").split(":");
    // Somebody who writes an address by hand does so in any case.
    this.selected = (address.symbol && findDataset(this, address.symbol)?.symbol) || address.symbol || null;
    $("#data-search").value = address.q || "";
    $("#data-filter").addEventListener("submit", (event) => event.preventDefault());
    $("#data-search").addEventListener("input", debounce(() => {
      writeAddress({ q: $("#data-search").value });
      this.draw();
    }, 120));
    $("#datasets").addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-symbol]");
      if (row) this.select(row.dataset.symbol);
    });
    $("#datasets").addEventListener("dblclick", (event) => {
      if (event.target.closest("tr[data-symbol]")) this.onOpen(this.item);
    });
    $("#data-scroll").addEventListener("keydown", (event) => this.onKey(event));
    this.draw();
  }

  /** @returns {Object|null} the selected dataset */
  get item() {
    return this.datasets.find((item) => item.symbol === this.selected) || null;
  }

  get rows() {
    const words = $("#data-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const column = COLUMNS.find((each) => each.name === this.sortName) || COLUMNS[0];
    const way = this.sortWay === "down" ? -1 : 1;
    const text = (item) => [item.symbol, item.file_name, item.sha256, item.spacing, ...item.tags].join(" ").toLowerCase();
    return this.datasets.filter((item) => words.every((word) => text(item).includes(word)))
      .sort((one, other) => way * compare(column.read(one), column.read(other)));
  }

  /** @param {Object[]} datasets */
  show(datasets) {
    this.datasets = datasets;
    this.draw();
  }

  draw() {
    const { rows } = this;
    $("#data-count").textContent = `${formatCount(rows.length)} of ${formatCount(this.datasets.length)}`;
    fill($("#datasets"),
      h("thead", {}, h("tr", {}, COLUMNS.map((column) => this.heading(column)))),
      h("tbody", {}, rows.length ? rows.map((item) => this.row(item))
        : h("tr", {}, h("td", { colspan: COLUMNS.length, class: "second empty-hint",
          text: this.isAway ? "Waiting for the database …"
            : this.datasets.length ? "No dataset fits the search."
            : "No data yet: drop a file of bars on this page, or choose one under “Add a file”." }))));
  }

  heading(column) {
    const isSorted = column.name === this.sortName;
    const way = this.sortWay === "down" ? "descending" : "ascending";
    return h("th", { scope: "col", class: classOf(column), "aria-sort": isSorted ? way : "none" },
      h("button", { type: "button", class: "sort", on: { click: () => this.sortBy(column) } }, column.title,
        isSorted && h("span", { "aria-hidden": "true", text: this.sortWay === "down" ? " ▼" : " ▲" })));
  }

  sortBy(column) {
    const isSame = column.name === this.sortName;
    this.sortWay = isSame ? (this.sortWay === "down" ? "up" : "down") : column.isFigure ? "down" : "up";
    this.sortName = column.name;
    writeAddress({ sort: `${this.sortName}:${this.sortWay}` });
    this.draw();
  }

  row(item) {
    return h("tr", { data: { symbol: item.symbol }, "aria-selected": String(item.symbol === this.selected) },
      COLUMNS.map((column) => h("td", { class: classOf(column) },
        column.cell ? column.cell(item) : String(column.read(item)))));
  }

  /** @param {string|null} symbol @param {{isQuiet?: boolean}} [options] quiet: tell nobody */
  select(symbol, { isQuiet = false } = {}) {
    this.selected = symbol;
    writeAddress({ symbol });
    for (const row of $("#datasets").querySelectorAll("tr[data-symbol]")) {
      const isChosen = row.dataset.symbol === symbol;
      row.setAttribute("aria-selected", String(isChosen));
      if (isChosen) row.scrollIntoView({ block: "nearest" });
    }
    if (!isQuiet && this.item) this.onSelect(this.item);
  }

  onKey(event) {
    const { rows } = this;
    const at = rows.findIndex((item) => item.symbol === this.selected);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && rows.length) {
      this.select(rows[Math.min(Math.max(at + step * (event.shiftKey ? 10 : 1), 0), rows.length - 1)].symbol);
    } else if (event.key === "Enter" && this.item && !event.target.closest("button, a")) this.onOpen(this.item);
    else return;
    event.preventDefault();
  }
}

function compare(one, other) {
  return typeof one === "number" ? one - other : String(one).localeCompare(String(other));
}

function classOf(column) {
  return [column.isFigure && "n", column.isRoomy && "data-roomy"].filter(Boolean).join(" ");
}
