/** The result of a finished run: ribbon, five tabs, exports. Tabs are built when first looked at. */

import { writeAddress } from "../lib/address.js";
import { $, debounce, saveFile } from "../lib/dom.js";
import { shortId } from "../lib/format.js";
import { bindKeys } from "../lib/keys.js";
import { drawStats, stampPicture } from "../charts/picture.js";
import { findRule } from "../lib/boot.js";
import { showDrawdown, showEquity, showPortfolio } from "./chart_tabs.js";
import { pictureSection } from "./pictures.js";
import { showAssumptions } from "./assumptions.js";
import { EXPORTS, openExports } from "./export_dialog.js";
import { showHeading, showRibbon } from "./ribbon.js";
import { runPath } from "./session.js";
import { showStats } from "./stats.js";
import { installTabs, selectTab, TABS } from "./tabs.js";
import { TradesTab } from "./trades.js";

const CHART_TABS = { equity: showEquity, drawdown: showDrawdown, portfolio: showPortfolio };
const RAIL_KEY = "rail";
const ADDRESS_DELAY = 150;

// Safari has no idle time.
const whenIdle = globalThis.requestIdleCallback ?? ((action) => setTimeout(action, 200));
const panelOf = (name) => $(`#panel-${name} > .panel-body`);

/** What stands to the right of the form once a run has succeeded. */
export class ResultView {
  /** @param {{onError: (error: Error) => void, onAgain: () => void}} handlers */
  constructor({ onError, onAgain }) {
    Object.assign(this, { onError, onAgain });
    this.built = new Map();
    this.tab = "equity";
    this.result = null;
    // Browsers count changes of the address: not one a frame.
    this.writeZoom = debounce((result) => {
      if (result === this.result) writeAddress({ zoom: this.range ? this.range.join("-") : null });
    }, ADDRESS_DELAY);
    installTabs((name) => this.openTab(name));
    this.bindAllKeys();
    for (const button of document.querySelectorAll("[data-scale]")) {
      button.addEventListener("click", () => this.setScale(button.dataset.scale === "log"));
    }
    $("#export-png").addEventListener("click", () => this.savePicture());
    for (const id of ["#export-all", "#phone-export"]) $(id).addEventListener("click", () => this.offerExports());
    $("#rail-toggle").addEventListener("click", () => this.toggleRail());
    $("#zoom-in").addEventListener("click", () => this.stack?.zoom(0.5));
    $("#zoom-out").addEventListener("click", () => this.stack?.zoom(2));
    $("#zoom-reset").addEventListener("click", () => this.stack?.setRange(null));
    const saved = localStorage.getItem(RAIL_KEY);
    document.body.classList.toggle("is-rail-closed", saved ? saved === "closed" : !matchMedia("(min-width: 1360px)").matches);
  }

  bindAllKeys() {
    TABS.forEach((name, idx) => bindKeys([String(idx + 1)], () => this.result && this.openTab(name)));
    bindKeys(["+", "="], () => this.stack?.zoom(0.5));
    bindKeys(["-"], () => this.stack?.zoom(2));
    bindKeys(["0"], () => this.stack?.setRange(null));
    bindKeys(["l"], () => this.setScale(!this.isLog));
    bindKeys(["s"], () => this.toggleRail());
    bindKeys(["x"], () => this.offerExports());
    bindKeys(["["], () => this.stepTrade(-1));
    bindKeys(["]"], () => this.stepTrade(1));
  }

  /** @returns {boolean} */
  get isShowing() {
    return this.result !== null;
  }

  /** The charts of the tab in sight. */
  get stack() {
    const built = this.built.get(this.tab);
    return built?.stack || (built?.panes ? built : null);
  }

  clear() {
    for (const [name, built] of this.built) {
      built?.destroy?.();
      panelOf(name).replaceChildren(); // nothing of one run stands under the figures of the next
    }
    this.built.clear();
    this.result = null;
    document.body.classList.remove("has-result");
  }

  /**
   * Show a result: its figures at once, its tabs when the marks have come.
   * @param {{runId: string, summary: Object, marks: import("./trade_data.js").TradeMarks|null}} result
   * @param {Promise<import("./trade_data.js").TradeMarks>} marks
   * @param {{tab?: string, range: [number, number]|null, isLog: boolean, boot: Object}} state of the address
   */
  async show(result, marks, { tab, range, isLog, boot }) {
    this.clear();
    this.result = result;
    this.range = range;
    this.isLog = isLog;
    document.body.classList.add("has-result");
    showHeading(result.summary.spec, result.summary, boot);
    showRibbon(result.summary);
    showAssumptions(result, findRule(boot, result.summary.spec.rule));
    this.markScale();
    this.openTab(TABS.includes(tab) ? tab : this.tab, { isQuiet: true });
    result.marks = await marks;
    if (this.result !== result) return;
    this.openTab(this.tab, { isQuiet: true });
    await this.stack?.ready;
    // The tab with the most to build is ready before somebody wants it.
    whenIdle(() => { if (this.result === result) this.buildOnce("stats"); });
  }

  openTab(name, { isQuiet = false } = {}) {
    if (!this.result) return;
    this.tab = name;
    selectTab(name);
    this.linkExports();
    if (!isQuiet) writeAddress({ tab: name });
    if (!this.result.marks) return; // opened when they have come
    if (this.built.has(name)) this.stack?.resize();
    else this.buildOnce(name);
    // Zoomed elsewhere in the meantime: the time axes of the tabs move together.
    if (CHART_TABS[name]) this.stack.setRange(this.range, { isQuiet: true });
  }

  buildOnce(name) {
    if (!this.built.has(name)) this.built.set(name, this.build(name, panelOf(name)));
  }

  build(name, root) {
    if (name === "stats") {
      return showStats(root, this.result, { pictures: pictureSection(this.result.runId), onAgain: this.onAgain });
    }
    if (name === "trades") return new TradesTab(root, this.shared());
    return CHART_TABS[name](root, this.shared());
  }

  shared() {
    return {
      result: this.result, range: this.range, isLog: this.isLog, onError: this.onError,
      onRange: (range, isFromTable = false) => {
        this.range = range;
        this.writeZoom(this.result);
        if (isFromTable) this.stack.setRange(range, { isQuiet: true });
      },
    };
  }

  linkExports() {
    const base = `${runPath(this.result.runId)}/export/${EXPORTS[this.tab]}`;
    for (const kind of ["csv", "json"]) $(`#export-${kind}`).href = `${base}.${kind}`;
    $("#export-report").href = `${runPath(this.result.runId)}/report.html`;
  }

  offerExports() {
    if (this.result) openExports(this.result.runId, this.tab, () => this.savePicture());
  }

  async savePicture() {
    if (!this.result) return;
    const { result, tab, stack } = this;
    await stack?.ready;
    const picture = tab === "stats" ? drawStats(result.summary) : stack?.isStarted && stack.toPicture();
    if (!picture) return; // it is on its way, or the banner says why not
    saveFile(`${shortId(result.runId)}-${tab}.png`, await stampPicture(picture, result));
  }

  setScale(isLog) {
    if (!this.result) return;
    this.isLog = isLog;
    writeAddress({ scale: isLog ? "log" : "lin" });
    this.markScale();
    for (const built of this.built.values()) (built?.stack || built)?.setLog?.(isLog);
  }

  markScale() {
    for (const button of document.querySelectorAll("[data-scale]")) {
      button.setAttribute("aria-pressed", String((button.dataset.scale === "log") === this.isLog));
    }
  }

  toggleRail() {
    const isClosed = document.body.classList.toggle("is-rail-closed");
    localStorage.setItem(RAIL_KEY, isClosed ? "closed" : "open");
    this.stack?.resize();
  }

  stepTrade(step) {
    const built = this.built.get("trades");
    if (this.tab === "trades") built.step(step);
  }
}
