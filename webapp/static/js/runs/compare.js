/** The comparison under the history: what differs, metrics side by side, curves over one another. */

import { readAddress, parseZoom, writeAddress } from "../lib/address.js";
import { announce, copyText, fill, h } from "../lib/dom.js";
import { shortId } from "../lib/format.js";
import { request } from "../lib/api.js";
import { bindKeys } from "../lib/keys.js";
import { runPath } from "../run/session.js";
import { buildResultRows, buildSettingRows, findSharedBenchmark } from "./compare_data.js";
import { Overlay } from "./overlay.js";
import { SLOTS } from "./pins.js";

/** Table and chart of the pinned runs. */
export class Compare {
  /**
   * @param {HTMLElement} root @param {import("../lib/boot.js").Boot} boot
   * @param {{onUnpin: (runId: string) => void, onClear: () => void, onError: (error: Error) => void}} handlers
   */
  constructor(root, boot, handlers) {
    this.root = root;
    this.boot = boot;
    this.handlers = handlers;
    this.views = new Map();
    this.turn = 0;
    const { show, scale, rebase } = readAddress();
    Object.assign(this, { isAll: show === "all", isLog: scale !== "lin", isRebased: rebase === "1",
      range: parseZoom(readAddress().zoom) });
    this.build();
    bindKeys(["l"], () => this.pinned && this.setLog(!this.isLog));
    bindKeys(["+", "="], () => this.overlay?.stack?.zoom(0.5));
    bindKeys(["-"], () => this.overlay?.stack?.zoom(2));
    bindKeys(["0"], () => this.overlay?.stack?.setRange(null));
  }

  build() {
    this.count = h("span", { id: "compare-count" });
    const toggle = (id, text, act, tip) => h("button", { type: "button", id, class: "btn btn-small toggle", text,
      data: { tip }, on: { click: act } });
    this.buttons = {
      differences: toggle("compare-differences", "Differences", () => this.setAll(false),
        "Only settings that differ, and the main figures"),
      all: toggle("compare-all", "All", () => this.setAll(true), "Every setting and every figure"),
      log: toggle("compare-log", "Log", () => this.setLog(!this.isLog), "Logarithmic scale, key l"),
      rebase: toggle("compare-rebase", "Rebase", () => this.setRebased(!this.isRebased),
        "Let all curves start alike at the left edge of what is in sight") };
    const plain = (id, text, act) => h("button", { type: "button", id, class: "btn btn-small", text, on: { click: act } });
    this.table = h("table", { class: "grid compare-table" });
    this.chart = h("div", { class: "charts", id: "compare-chart" });
    fill(this.root,
      h("header", { class: "toolbar compare-head" }, h("h2", { text: "Compare" }), this.count,
        h("span", { class: "tool-group push", role: "group", "aria-label": "Shown" }, h("i", { text: "show" }),
          this.buttons.differences, this.buttons.all),
        this.buttons.log, this.buttons.rebase,
        plain("compare-clear", "Clear pins", () => this.handlers.onClear()),
        plain("compare-link", "Copy link", () => copyText(location.href))),
      h("div", { class: "compare-body" },
        h("div", { class: "scroll compare-scroll", tabindex: "0", role: "region", "aria-label": "Differences and figures" },
          this.table), this.chart));
    this.markButtons();
  }

  markButtons() {
    const pressed = { differences: !this.isAll, all: this.isAll, log: this.isLog, rebase: this.isRebased };
    for (const [name, isOn] of Object.entries(pressed)) this.buttons[name].setAttribute("aria-pressed", String(isOn));
  }

  setAll(isAll) {
    this.isAll = isAll;
    writeAddress({ show: isAll ? "all" : null });
    this.markButtons();
    this.drawTable();
  }

  setLog(isLog) {
    this.isLog = isLog;
    writeAddress({ scale: isLog ? null : "lin" });
    this.markButtons();
    this.overlay?.setLog(isLog);
  }

  setRebased(isRebased) {
    this.isRebased = isRebased;
    writeAddress({ rebase: isRebased ? "1" : null });
    this.markButtons();
    this.overlay?.setRebased(isRebased);
  }

  /**
   * Compare runs.
   * @param {Array<{slot: Object, run: Object}>} chosen in the order of their slots
   */
  async show(chosen) {
    this.turn += 1;
    const { turn } = this;
    this.root.hidden = !chosen.length;
    const views = await Promise.all(chosen.map(({ run }) => this.loadView(run)));
    if (turn !== this.turn) return;
    this.pinned = chosen.map((each, at) => ({ ...each, view: views[at] }));
    this.count.textContent = `${chosen.length} of ${SLOTS.length} pinned`;
    this.drawTable();
    this.drawChart();
  }

  /** Everything that the tabs of a run show, once; a run without a result has none. */
  async loadView(run) {
    if (run.state !== "succeeded") return null;
    if (!this.views.has(run.run_id)) {
      const asking = request(`${runPath(run.run_id)}/view`).catch((error) => {
        this.views.delete(run.run_id);
        this.handlers.onError(error);
        return null;
      });
      this.views.set(run.run_id, asking);
    }
    return this.views.get(run.run_id);
  }

  drawTable() {
    if (!this.pinned?.length) return;
    const settings = buildSettingRows(this.pinned, this.boot, this.isAll);
    const results = buildResultRows(this.pinned, this.isAll);
    const hasHeld = findSharedBenchmark(this.pinned) !== null;
    const width = this.pinned.length + (hasHeld ? 2 : 1);
    const nDiffer = settings.filter(({ differs }) => differs).length;
    const heading = (text) => h("tr", { class: "group-row" }, h("th", { scope: "colgroup", colspan: width, text }));
    fill(this.table, h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Parameter" }),
      this.pinned.map((each) => this.slotHead(each)), hasHeld && h("th", { scope: "col", class: "n", text: "B&H",
        data: { tip: "Buy and hold on the same bars" } }))),
      h("tbody", {}, settings.map((row) => settingRow(row, hasHeld)),
        results.map((row) => (row.title ? heading(row.title) : resultRow(row, hasHeld)))));
    if (this.spoken !== this.count.textContent) {
      announce(`${this.count.textContent}, ${nDiffer} ${nDiffer === 1 ? "setting differs" : "settings differ"}`);
    }
    this.spoken = this.count.textContent;
  }

  slotHead({ slot, run }) {
    const label = `Take the pin ${slot.letter} off ${shortId(run.run_id)}`;
    return h("th", { scope: "col", class: "n" }, h("button", { type: "button", class: "sort slot-head", "aria-label": label,
      style: { color: slot.color }, text: `◆ ${slot.letter}`, on: { click: () => this.handlers.onUnpin(run.run_id) },
      data: { tip: `${run.symbol} ${run.rule} ${shortId(run.run_id)}\nclick: take the pin off` } }));
  }

  drawChart() {
    const drawn = this.pinned.filter(({ view }) => view);
    const key = drawn.map(({ slot, run }) => slot.letter + run.run_id).join();
    // The zoom belongs to its axis: other runs have another one.
    if (this.chartKey && key !== this.chartKey) this.takeRange(null);
    if (key === this.chartKey) return;
    this.chartKey = key;
    this.overlay?.destroy();
    this.overlay = null;
    if (!drawn.length) {
      fill(this.chart, this.pinned.length > 0 && h("p", { class: "hint empty-note",
        text: "No pinned run has a result yet; curves come as soon as one has." }));
      return;
    }
    this.overlay = new Overlay(this.chart, drawn, { hasHeld: findSharedBenchmark(this.pinned) !== null,
      isLog: this.isLog, isRebased: this.isRebased, range: this.range, onRange: (range) => this.takeRange(range),
      onError: this.handlers.onError });
    this.overlay.start();
  }

  takeRange(range) {
    this.range = range;
    writeAddress({ zoom: range ? range.join("-") : null });
  }
}

function settingRow({ name, help, values, differs, isRest }, hasHeld) {
  return h("tr", { class: differs ? "differs" : isRest ? "second" : null },
    h("th", { scope: "row", class: "clip", data: help ? { tip: help } : {} },
      differs && h("span", { class: "amber", "aria-hidden": "true", text: "≠ " }),
      differs && h("span", { class: "visually-hidden", text: "differs: " }), name),
    values.map((value) => h("td", { class: "n", text: value })), hasHeld && h("td", {}));
}

function resultRow({ name, help, cells, held }, hasHeld) {
  return h("tr", {}, h("th", { scope: "row", data: help ? { tip: help } : {}, text: name }),
    cells.map(({ text, className, why }) => h("td", { class: `n ${className}`, text,
      data: why ? { tip: `not defined: ${why}` } : {} })), hasHeld && h("td", { class: "n second", text: held }));
}
