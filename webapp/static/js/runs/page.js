/** The runs page: history with search, filter, sort, tags and notes; cancel, delete, re-run. */

import { readAddress, writeAddress } from "../lib/address.js";
import { ApiError, request } from "../lib/api.js";
import { $, announce, confirmDialog, debounce, fill, h, saveFile } from "../lib/dom.js";
import { formatCount, shortId } from "../lib/format.js";
import { bindKeys } from "../lib/keys.js";
import { installShell, showTrouble } from "../lib/shell.js";
import { editTags } from "../lib/tag_dialog.js";
import { changedTrading } from "../run/ribbon.js";
import { isTerminal, runPath } from "../run/session.js";
import { buildColumns } from "./columns.js";
import { parseRunFilter, sortRuns } from "./filter.js";

const PAGE_SIZE = 100;
const POLL_DELAY = 2000;
const STATES = ["succeeded", "queued", "running", "failed", "cancelled"];
const FILTERS = ["symbol", "rule", "state", "tag"];

class RunsPage {
  constructor() {
    this.boot = installShell();
    this.columns = buildColumns(this.boot, (spec) => changedTrading(spec, this.boot.trading));
    this.runs = [];
    this.cursor = null;
    this.selectedId = null;
    this.readFilters();
    this.listen();
    this.load();
  }

  readFilters() {
    const address = readAddress();
    const choices = { symbol: this.boot.datasets.map((item) => item.symbol),
      rule: this.boot.rules.map((rule) => rule.name), state: STATES };
    for (const [name, values] of Object.entries(choices)) {
      const known = new Set(values.concat(address[name] || []));
      fill($(`#filter-${name}`), h("option", { value: "", text: "all" }),
        [...known].map((value) => h("option", { value, text: value })));
    }
    for (const name of FILTERS) $(`#filter-${name}`).value = address[name] || "";
    $("#runs-search").value = address.q || "";
    [this.sortName, this.sortWay] = (address.sort || "submitted_at:down").split(":");
  }

  listen() {
    const reload = () => {
      writeAddress(Object.fromEntries(FILTERS.map((name) => [name, $(`#filter-${name}`).value.trim()])));
      this.load();
    };
    for (const name of FILTERS) $(`#filter-${name}`).addEventListener("change", reload);
    $("#runs-search").addEventListener("input", debounce(() => {
      writeAddress({ q: $("#runs-search").value });
      this.draw();
    }, 150));
    $("#runs-filter").addEventListener("submit", (event) => event.preventDefault());
    $("#runs-more").addEventListener("click", () => this.load(this.cursor));
    $("#runs-csv").addEventListener("click", () => this.saveCsv());
    $("#runs-scroll").addEventListener("keydown", (event) => this.onKey(event));
    $("#runs-table").addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-run]");
      if (row) this.select(row.dataset.run);
    });
    $("#runs-table").addEventListener("dblclick", (event) => {
      if (event.target.closest("tr[data-run]")) this.openSelected();
    });
    bindKeys(["t"], () => this.edit("tags"));
    bindKeys(["n"], () => this.edit("note"));
    bindKeys(["c"], () => $("#action-cancel")?.focus());
  }

  /** Load the newest page, or the one after `cursor`. @param {string|null} [cursor] */
  async load(cursor = null) {
    const query = new URLSearchParams({ limit: PAGE_SIZE });
    for (const name of FILTERS) if ($(`#filter-${name}`).value.trim()) query.set(name,
      $(`#filter-${name}`).value.trim());
    if (cursor) query.set("cursor", cursor);
    await this.guard(async () => {
      const page = await request(`/api/v1/runs?${query}`);
      this.runs = cursor ? [...this.runs, ...page.runs] : page.runs;
      this.cursor = page.next_cursor;
      if (!this.runs.some((run) => run.run_id === this.selectedId)) this.selectedId = this.runs[0]?.run_id ?? null;
      $("#runs-more").hidden = !this.cursor;
      this.draw();
      this.poll();
    }, () => this.load(cursor));
  }

  /** Ask again for runs that are not done yet; stops by itself. */
  poll() {
    clearTimeout(this.timer);
    const open = this.runs.filter((run) => !isTerminal(run.state)).slice(0, 10);
    if (!open.length) return;
    this.timer = setTimeout(() => this.guard(async () => {
      const fresh = await Promise.all(open.map((run) => request(runPath(run.run_id))));
      for (const run of fresh) this.replace(run);
      this.draw();
      this.poll();
    }, () => this.load()), POLL_DELAY);
  }

  replace(run) {
    this.runs = this.runs.map((known) => (known.run_id === run.run_id ? run : known));
  }

  async guard(action, retry) {
    try {
      await action();
      showTrouble(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      $("#runs-error").textContent = error.isTrouble ? "" : error.message;
      if (error.isTrouble) showTrouble({ title: error.title || "The platform is in trouble", text: error.message,
        retry });
    }
  }

  get rows() {
    const column = this.columns.find((each) => each.name === this.sortName) || this.columns[1];
    return sortRuns(this.runs.filter(parseRunFilter($("#runs-search").value)), column, this.sortWay === "down");
  }

  get selected() {
    return this.runs.find((run) => run.run_id === this.selectedId) || null;
  }

  draw() {
    const { rows } = this;
    $("#runs-count").textContent = `${formatCount(rows.length)} of ${formatCount(this.runs.length)}${this.cursor ? "+" : ""}`;
    fill($("#runs-table"),
      h("thead", {}, h("tr", {}, this.columns.map((column) => this.heading(column)))),
      h("tbody", {}, rows.length ? rows.map((run) => this.buildRow(run))
        : h("tr", {}, h("td", { colspan: this.columns.length, class: "second",
          text: this.runs.length ? "No run fits the search." : "No run yet: type a command, for example AAPL RSI 14 30 70 GO." }))));
    this.drawActions();
  }

  heading(column) {
    const isSorted = column.name === this.sortName;
    const way = this.sortWay === "down" ? "descending" : "ascending";
    return h("th", { scope: "col", class: column.isFigure ? "n" : "", "aria-sort": isSorted ? way : "none" },
      h("button", { type: "button", class: "sort", on: { click: () => this.sortBy(column) } }, column.title,
        isSorted && h("span", { "aria-hidden": "true", text: this.sortWay === "down" ? " ▼" : " ▲" })));
  }

  sortBy(column) {
    const isSame = column.name === this.sortName;
    this.sortWay = isSame ? (this.sortWay === "down" ? "up" : "down") : column.isFigure || column.name === "submitted_at" ? "down" : "up";
    this.sortName = column.name;
    writeAddress({ sort: `${this.sortName}:${this.sortWay}` });
    this.draw();
  }

  buildRow(run) {
    const isChosen = run.run_id === this.selectedId;
    return h("tr", { data: { run: run.run_id }, "aria-selected": String(isChosen) },
      this.columns.map((column) => h("td",
        { class: [column.isFigure ? "n" : "", column.className ? column.className(run) : ""].join(" ") },
        column.cell(run))));
  }

  select(runId) {
    this.selectedId = runId;
    for (const row of $("#runs-table").querySelectorAll("tr[data-run]")) {
      const isChosen = row.dataset.run === runId;
      row.setAttribute("aria-selected", String(isChosen));
      if (isChosen) row.scrollIntoView({ block: "nearest" });
    }
    this.drawActions();
    announce(`${shortId(runId)} ${this.selected.symbol} ${this.selected.rule} ${this.selected.state}`);
  }

  openSelected() {
    if (this.selected) location.assign(`/?run=${this.selected.run_id}`);
  }

  drawActions() {
    const run = this.selected;
    const button = (id, text, act, isMain = false) => h("button",
      { type: "button", id, class: `btn ${isMain ? "btn-primary" : ""}`, text, on: { click: act } });
    fill($("#runs-actions"), run && [
      h("span", { class: "amber", text: "SELECTED" }), h("span", { text: run.run_id }),
      button("action-open", "Open", () => this.openSelected(), true),
      h("a", { id: "action-rerun", class: "btn", href: `/?from=${run.run_id}`, text: "Re-run with changes" }),
      button("action-tags", "Tags & note", () => this.edit("tags")),
      !isTerminal(run.state) && button("action-cancel", "Cancel", () => this.cancel()),
      button("action-delete", "Delete", () => this.remove())]);
  }

  async edit(focus) {
    const run = this.selected;
    if (!run) return;
    await this.guard(async () => {
      const changes = await editTags(run, focus);
      if (changes) this.replace({ ...run, ...changes });
      this.draw();
    }, () => this.edit(focus));
  }

  async cancel() {
    const run = this.selected;
    await this.guard(async () => {
      await request(`${runPath(run.run_id)}/cancel`, { method: "POST" });
      this.replace(await request(runPath(run.run_id)));
      this.draw();
      announce("cancelled");
    }, () => this.cancel());
  }

  async remove() {
    const run = this.selected;
    const isSure = await confirmDialog({ title: `Delete run ${shortId(run.run_id)}`,
      text: `${run.symbol} ${run.rule}: its result, trades and pictures are removed for good.`, yes: "Delete" });
    if (!isSure) return;
    await this.guard(async () => {
      await request(runPath(run.run_id), { method: "DELETE" });
      const at = this.rows.findIndex((each) => each.run_id === run.run_id);
      this.runs = this.runs.filter((each) => each.run_id !== run.run_id);
      this.selectedId = this.rows[Math.min(at, this.rows.length - 1)]?.run_id ?? null;
      this.draw();
      announce("deleted");
    }, () => this.remove());
  }

  onKey(event) {
    const { rows } = this;
    const at = rows.findIndex((run) => run.run_id === this.selectedId);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && rows.length) this.select(rows[Math.min(Math.max(at + step * (event.shiftKey ? 10 : 1), 0),
      rows.length - 1)].run_id);
    else if (event.key === "Enter" && !event.target.closest("button, a")) this.openSelected();
    else return;
    event.preventDefault();
  }

  saveCsv() {
    // A cell that a spreadsheet would run as a formula is quoted away.
    const cell = (value) => {
      const text = value === null || value === undefined ? "" : String(value);
      const safe = typeof value !== "number" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
      return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const lines = [this.columns.map((column) => column.name),
      ...this.rows.map((run) => this.columns.map((column) => column.read(run)))];
    saveFile("runs.csv", new Blob([lines.map((line) => line.map(cell).join(",")).join("\r\n")], { type: "text/csv" }));
  }
}

new RunsPage();
