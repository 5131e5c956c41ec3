/** The runs page: history with search, filters, tags and notes; pinned runs compared; cancel, delete, re-run. */

import { readAddress, writeAddress } from "../lib/address.js";
import { ApiError, request } from "../lib/api.js";
import { findDataset } from "../lib/boot.js";
import { $, announce, confirmDialog, debounce, fill, h, saveFile } from "../lib/dom.js";
import { formatCount, shortId } from "../lib/format.js";
import { bindKeys } from "../lib/keys.js";
import { clearTrouble, installShell, showTrouble } from "../lib/shell.js";
import { setStatus } from "../lib/status.js";
import { editTags } from "../lib/tag_dialog.js";
import { changedTrading } from "../run/ribbon.js";
import { isTerminal, runPath } from "../run/session.js";
import { buildColumns } from "./columns.js";
import { Compare } from "./compare.js";
import { editCell } from "./edit.js";
import { parseRunFilter, pickedValues, sortRuns, writePicked } from "./filter.js";
import { RunHistory } from "./history.js";
import { loadPins, savePins, SLOTS } from "./pins.js";
import { RunTable } from "./table.js";
import { FilterToggles } from "./toggles.js";

const TYPING_PAUSE = 150;
const DEFAULT_SORT = "submitted_at:down";
// Conditions as addresses of earlier versions had them, one by one.
const OLD_FILTERS = ["symbol", "rule", "state", "tag"];
const isPhone = () => matchMedia("(max-width: 767.98px)").matches;

class RunsPage {
  constructor() {
    this.boot = installShell();
    this.columns = buildColumns(this.boot, (spec) => changedTrading(spec, this.boot.trading));
    this.settings = [...new Set([...this.boot.rules.flatMap((rule) => rule.parameters), ...this.boot.trading]
      .map((field) => field.name))];
    this.search = $("#runs-search");
    this.history = new RunHistory(this.boot, { onChange: () => this.draw() });
    this.toggles = new FilterToggles($("#runs-toggles"), this.boot, (name, values, alias) => {
      this.setQuery(writePicked(this.search.value, name, values, alias));
    });
    this.table = new RunTable($("#runs-scroll"), $("#runs-table"), this.columns, {
      onOpen: (run) => location.assign(`/?run=${run.run_id}`), onPin: (run) => this.togglePin(run.run_id),
      onSort: (column) => this.sortBy(column), onChoose: (run) => this.showChosen(run),
      onEdit: (kind) => this.edit(kind), slotOf: (runId) => this.pins.slotOf(runId) });
    this.compare = new Compare($("#compare"), this.boot, { onUnpin: (runId) => this.togglePin(runId),
      onClear: () => { this.pins.clear(); this.keepPins(); }, onError: (error) => { this.pinKey = null; this.explain(error); } });
    this.others = new Map();
    this.readState();
    this.listen();
    this.load();
    this.showPins();
    if (!isPhone()) $("#runs-scroll").focus();
  }

  readState() {
    const address = readAddress();
    const old = Object.fromEntries(OLD_FILTERS.filter((name) => address[name]).map((name) => [name, address[name]]));
    this.search.value = Object.entries(old).reduce((text, [name, value]) => writePicked(text, name, [value]),
      address.q || "");
    const [name, way] = (address.sort || DEFAULT_SORT).split(":");
    this.sort = { name: this.columns.some((column) => column.name === name) ? name : "submitted_at",
      isDown: way !== "up" };
    this.pins = loadPins(address.pins);
    this.table.chosenId = address.row || null;
    writeAddress({ ...Object.fromEntries(OLD_FILTERS.map((each) => [each, null])), q: this.search.value,
      pins: this.pins.toString() });
  }

  listen() {
    this.search.addEventListener("input", debounce(() => this.load(), TYPING_PAUSE));
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "ArrowDown") return;
      event.preventDefault();
      $("#runs-scroll").focus();
    });
    $("#runs-filter").addEventListener("submit", (event) => event.preventDefault());
    $("#runs-more").addEventListener("click", () => this.guard(() => this.history.more(), () => this.load(), true));
    $("#runs-csv").addEventListener("click", () => this.saveCsv());
    // Whoever comes back wants to see what was run meanwhile.
    const refresh = () => this.guard(() => this.history.refresh(), () => this.load(), true);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && refresh());
    window.addEventListener("pageshow", (event) => event.persisted && refresh());
    bindKeys(["f"], () => this.search.focus());
    bindKeys([" "], () => this.table.chosen && this.togglePin(this.table.chosenId));
    bindKeys(["t"], () => this.edit("tags"));
    bindKeys(["n"], () => this.edit("note"));
    bindKeys(["c"], () => $("#action-cancel")?.focus());
  }

  setQuery(text) {
    this.search.value = text;
    this.load();
  }

  /** Show what the search and the order ask for, loading what is missing. */
  async load() {
    writeAddress({ q: this.search.value.trim() });
    const filter = parseRunFilter(this.search.value, this.settings);
    $("#runs-error").textContent = filter.fault;
    this.search.setAttribute("aria-invalid", String(Boolean(filter.fault)));
    await this.guard(() => this.history.show(filter, this.sort.name, this.sort.isDown), () => this.load(), true);
  }

  /** @param {() => Promise<void>} action @param {() => void} retry @param {boolean} [isLoading] it changes nothing */
  async guard(action, retry, isLoading = false) {
    try {
      await action();
      clearTrouble();
    } catch (error) {
      this.explain(error, retry, isLoading);
    }
  }

  explain(error, retry = () => this.load(), isLoading = true) {
    if (!(error instanceof ApiError)) throw error;
    if (error.isTrouble) showTrouble(error, { retry, isLoading });
    else {
      clearTrouble();
      $("#runs-error").textContent = error.errors[0]?.message || error.message;
    }
  }

  get rows() {
    const column = this.columns.find((each) => each.name === this.sort.name);
    return sortRuns(this.history.runs.filter(this.history.filter.test), column, this.sort.isDown);
  }

  draw() {
    // A poll must not take away what somebody is writing.
    if (this.isEditing) return;
    const { runs, cursor, filter, isStarted } = this.history;
    const { rows } = this;
    const loaded = `${formatCount(runs.length)}${cursor ? "+" : ""}`;
    $("#runs-count").textContent = isStarted ? `${formatCount(rows.length)} of ${loaded}` : "";
    this.toggles.show(filter.terms, runs);
    this.table.show(rows, this.sort, this.emptyText);
    $("#runs-more").hidden = !cursor;
    $("#runs-more").textContent = this.search.value.trim() ? "Search older runs" : "Older runs";
    const nFailed = runs.filter((run) => run.state === "failed").length;
    setStatus("RUNS", isStarted ? `${loaded}${nFailed ? `, ${formatCount(nFailed)} failed` : ""}` : "");
    this.showPins();
  }

  get emptyText() {
    const { runs, isStarted, cursor } = this.history;
    if (!isStarted) return "Loading…";
    const [symbol, ...others] = pickedValues(this.history.filter.terms, "symbol");
    if (symbol && !others.length && !findDataset(this.boot, symbol)) {
      return `No run fits, and no dataset is called ${symbol}: there is ${this.boot.datasets.map((item) => item.symbol).join(", ") || "none yet"}.`;
    }
    if (this.search.value.trim()) {
      return `No run fits${runs.length && cursor ? ` among the newest ${formatCount(runs.length)}` : ""}: take words out of the search, or a filter off.`;
    }
    return "No run yet: type a command above, for example AAPL RSI 14 30 70 GO, or fill the form on the run page.";
  }

  sortBy(column) {
    const { name, isDown } = this.sort;
    this.sort = { name: column.name, isDown: column.name === name ? !isDown
      : column.isFigure || column.name === "submitted_at" };
    const text = `${this.sort.name}:${this.sort.isDown ? "down" : "up"}`;
    writeAddress({ sort: text === DEFAULT_SORT ? null : text });
    this.load();
  }

  /** @param {Object|null} run the chosen one */
  showChosen(run) {
    writeAddress({ row: run && run !== this.rows[0] ? run.run_id : null });
    setStatus("SELECTED", run ? run.run_id : "");
    const button = (id, text, act, isMain = false) => h("button",
      { type: "button", id, class: `btn btn-small ${isMain ? "btn-primary" : ""}`, text, on: { click: act } });
    fill($("#runs-actions"), run && [
      h("span", { class: "amber", text: "SELECTED" }), h("span", { class: "selected-id", text: shortId(run.run_id) }),
      button("action-open", "Open", () => location.assign(`/?run=${run.run_id}`), true),
      button("action-pin", this.pins.slotOf(run.run_id) ? "Unpin" : "Pin", () => this.togglePin(run.run_id)),
      h("a", { id: "action-rerun", class: "btn btn-small", href: `/?from=${run.run_id}`, text: "Re-run with changes" }),
      button("action-tags", "Tags & note", () => this.edit("tags", true)),
      !isTerminal(run.state) && button("action-cancel", "Cancel", () => this.cancel(run)),
      button("action-delete", "Delete", () => this.remove(run)),
      h("span", { class: "push hint wide-only", text: "↑↓ select · space pins · ⏎ opens · t tags · n note · f search" })]);
  }

  /** @param {string} runId */
  togglePin(runId) {
    if (!this.pins.toggle(runId)) {
      const text = `${SLOTS.length} runs are pinned already: take one off first`;
      $("#runs-error").textContent = text;
      announce(text);
      return;
    }
    $("#runs-error").textContent = "";
    const slot = this.pins.slotOf(runId);
    announce(slot ? `pinned as ${slot.letter}` : "pin taken off");
    this.keepPins();
  }

  keepPins() {
    writeAddress({ pins: this.pins.toString() });
    savePins(this.pins);
    this.draw();
  }

  /** Compare what is pinned; runs that the list does not hold are fetched. */
  async showPins() {
    const ids = this.pins.ids;
    const missing = ids.filter((id) => id && !this.history.find(id) && !this.others.has(id));
    if (missing.length && !this.history.isStarted) return;
    await Promise.all(missing.map((id) => this.fetchPinned(id)));
    const chosen = ids.map((id, at) => ({ slot: SLOTS[at], run: id && (this.history.find(id) || this.others.get(id)) }))
      .filter(({ run }) => run);
    // Drawn again only where something is different, so that a poll does not move the page.
    const key = JSON.stringify(chosen.map(({ slot, run }) => [slot.letter, run.run_id, run.state]));
    if (key === this.pinKey) return;
    this.pinKey = key;
    await this.compare.show(chosen);
  }

  async fetchPinned(id) {
    this.others.set(id, null);
    try {
      this.others.set(id, await request(runPath(id)));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) {
        this.others.delete(id);
        this.explain(error);
        return;
      }
      this.pins.toggle(id);
      announce(`the pinned run ${shortId(id)} was deleted`);
      this.keepPins();
    }
  }

  /** @param {"tags"|"note"} kind @param {boolean} [isDialog] both at once, where a cell has no room */
  async edit(kind, isDialog = false) {
    const run = this.table.chosen;
    if (!run || this.isEditing) return;
    const cell = this.table.cellOf(run.run_id, kind);
    const isInPlace = !isDialog && !isPhone() && cell?.getClientRects().length > 0 && !run.note.includes("\n");
    await this.guard(async () => {
      this.isEditing = true;
      try {
        const changes = isInPlace ? await editCell(cell, run, kind) : await editTags(run, kind);
        if (changes && isInPlace) await request(runPath(run.run_id), { method: "PATCH", json: changes });
        if (changes) this.history.replace({ ...run, ...changes });
        if (changes) announce("stored");
      } finally {
        this.isEditing = false;
        this.draw();
      }
    }, () => this.edit(kind, isDialog));
    if (document.activeElement === document.body) $("#runs-scroll").focus();
  }

  async cancel(run) {
    await this.guard(async () => {
      await request(`${runPath(run.run_id)}/cancel`, { method: "POST" });
      this.history.replace(await request(runPath(run.run_id)));
      this.draw();
      announce("cancelled");
    }, () => this.cancel(run));
  }

  async remove(run) {
    const isSure = await confirmDialog({ title: `Delete run ${shortId(run.run_id)}`,
      text: `${run.symbol} ${run.rule}: its result, trades and pictures are removed for good.`, yes: "Delete" });
    if (!isSure) return;
    await this.guard(async () => {
      await request(runPath(run.run_id), { method: "DELETE" });
      this.history.remove(run.run_id);
      this.others.delete(run.run_id);
      if (this.pins.slotOf(run.run_id)) this.pins.toggle(run.run_id);
      this.keepPins();
      announce("deleted");
    }, () => this.remove(run));
    $("#runs-scroll").focus();
  }

  saveCsv() {
    // A cell that a spreadsheet would run as a formula is quoted away.
    const cell = (value) => {
      const text = value === null || value === undefined ? "" : String(value);
      const safe = typeof value !== "number" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
      return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const columns = this.columns.filter((column) => !column.isFixed);
    const lines = [columns.map((column) => column.name),
      ...this.rows.map((run) => columns.map((column) => column.read(run)))];
    saveFile("runs.csv", new Blob([lines.map((line) => line.map(cell).join(",")).join("\r\n")], { type: "text/csv" }));
  }
}

new RunsPage();
