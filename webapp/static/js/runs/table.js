/** The history as a table: one row is chosen; arrows move, Space pins, Enter opens. */

import { announce, fill, h } from "../lib/dom.js";
import { shortId } from "../lib/format.js";

const STEPS = { ArrowDown: 1, ArrowUp: -1 };
const FAR = 10;

/** Rows of runs. */
export class RunTable {
  /**
   * @param {HTMLElement} scroller @param {HTMLTableElement} table @param {import("./columns.js").Column[]} columns
   * @param {{onOpen: (run: Object) => void, onPin: (run: Object) => void, onSort: (column: Object) => void,
   *   onChoose: (run: Object|null) => void, onEdit: (kind: "tags"|"note") => void,
   *   slotOf: (runId: string) => Object|null}} handlers
   */
  constructor(scroller, table, columns, handlers) {
    Object.assign(this, { scroller, table, columns, handlers });
    this.rows = [];
    this.chosenId = null;
    scroller.addEventListener("keydown", (event) => this.onKey(event));
    table.addEventListener("click", (event) => this.onClick(event));
    table.addEventListener("dblclick", (event) => {
      const isText = event.target.closest("button, a, input, .col-tags, .col-note");
      if (event.target.closest("tr[data-run]") && !isText) handlers.onOpen(this.chosen);
    });
  }

  get chosen() {
    return this.rows.find((run) => run.run_id === this.chosenId) || null;
  }

  /**
   * @param {Object[]} rows @param {{name: string, isDown: boolean}} sort @param {string} emptyText
   */
  show(rows, sort, emptyText) {
    const at = this.rows.findIndex((run) => run.run_id === this.chosenId);
    this.rows = rows;
    // What stood there is gone: the row that took its place is next.
    if (!this.chosen) this.chosenId = rows[Math.min(Math.max(at, 0), rows.length - 1)]?.run_id ?? null;
    fill(this.table,
      h("thead", {}, h("tr", {}, this.columns.map((column) => this.heading(column, sort)))),
      h("tbody", {}, rows.length ? rows.map((run) => this.row(run))
        : h("tr", {}, h("td", { colspan: this.columns.length, class: "second wrap", text: emptyText }))));
    this.handlers.onChoose(this.chosen);
  }

  heading(column, { name, isDown }) {
    const isSorted = column.name === name;
    const way = isDown ? "descending" : "ascending";
    return h("th", { scope: "col", class: `col-${column.name} ${column.isFigure ? "n" : ""}`, "aria-sort": isSorted ? way
      : null, data: column.tip ? { tip: column.tip } : {} },
      column.isFixed ? column.title
        : h("button", { type: "button", class: "sort", on: { click: () => this.handlers.onSort(column) } }, column.title,
          isSorted && h("span", { "aria-hidden": "true", text: isDown ? " ▼" : " ▲" })));
  }

  row(run) {
    const isChosen = run.run_id === this.chosenId;
    return h("tr", { data: { run: run.run_id }, "aria-selected": String(isChosen) },
      this.columns.map((column) => h("td", { class: [`col-${column.name}`, column.isFigure ? "n" : "",
        column.className ? column.className(run) : ""].join(" ") },
        column.name === "pin" ? this.pinButton(run) : column.cell(run))));
  }

  pinButton(run) {
    const slot = this.handlers.slotOf(run.run_id);
    return h("button", { type: "button", class: "pin", tabindex: "-1", "aria-pressed": String(Boolean(slot)),
      "aria-label": slot ? `Unpin ${slot.letter}` : `Pin ${shortId(run.run_id)} to compare`,
      style: slot ? { color: slot.color } : {}, text: slot ? `◆ ${slot.letter}` : "◇",
      on: { click: () => this.handlers.onPin(run) } });
  }

  onClick(event) {
    const row = event.target.closest("tr[data-run]");
    if (!row) return;
    const cell = event.target.closest(".col-tags, .col-note");
    // The first click chooses the row, one more on its texts writes into them.
    if (cell && row.dataset.run === this.chosenId && !event.target.closest("input")) {
      this.handlers.onEdit(cell.matches(".col-tags") ? "tags" : "note");
    } else this.choose(row.dataset.run);
  }

  /** @param {string} runId */
  choose(runId) {
    this.chosenId = runId;
    for (const row of this.table.querySelectorAll("tr[data-run]")) {
      const isChosen = row.dataset.run === runId;
      row.setAttribute("aria-selected", String(isChosen));
      if (isChosen) row.scrollIntoView({ block: "nearest" });
    }
    this.handlers.onChoose(this.chosen);
    const { symbol, rule, state } = this.chosen;
    const slot = this.handlers.slotOf(runId);
    announce(`${shortId(runId)} ${symbol} ${rule} ${state}${slot ? `, pinned as ${slot.letter}` : ""}`);
  }

  /** The cell of a run. @param {string} runId @param {string} name of the column */
  cellOf(runId, name) {
    return this.table.querySelector(`tr[data-run="${runId}"] td.col-${name}`);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input")) return;
    const step = STEPS[event.key] ?? { PageDown: FAR, PageUp: -FAR }[event.key]
      ?? { Home: -Infinity, End: Infinity }[event.key];
    const at = this.rows.findIndex((run) => run.run_id === this.chosenId);
    if (step && this.rows.length) {
      const to = at + step * (event.shiftKey ? FAR : 1);
      this.choose(this.rows[Math.min(Math.max(to, 0), this.rows.length - 1)].run_id);
    } else if (event.target.closest("button, a")) return;
    else if (event.key === "Enter" && this.chosen) this.handlers.onOpen(this.chosen);
    else if (event.key === " " && this.chosen) this.handlers.onPin(this.chosen);
    else return;
    event.preventDefault();
  }
}
