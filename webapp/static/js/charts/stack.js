/** A stack of charts over one time axis: shared zoom, shared crosshair, data fetched as needed. */

import { announce, debounce, h } from "../lib/dom.js";
import { installGestures } from "./gestures.js";
import { loadUPlot } from "./library.js";
import { Pane } from "./pane.js";
import { composePicture } from "./picture.js";
import { formatMoment, TimeIndex } from "./time_axis.js";

const FETCH_DELAY = 120;
const POINTS_PER_PIXEL = 2;
// Asked for in steps, so that panes of nearly the same width share an answer that the browser keeps.
const POINTS_STEP = 1000;
const MAX_POINTS = 4000;
const LABEL_WIDTH = 84;
let stacks = 0;

/** Charts that move together. */
export class ChartStack {
  /**
   * @param {HTMLElement} root
   * @param {{panes: import("./pane.js").PaneSpec[], nBars: number, spacing: string, label: string,
   *   range: [number, number]|null, onRange?: (range: [number, number]|null) => void,
   *   marks?: import("../run/trade_data.js").TradeMarks,
   *   load: (names: string[], start: number, end: number, points: number, signal: AbortSignal) => Promise<Object>,
   *   onError: (error: Error) => void}} options `load` answers columns for bars start to end, inclusive
   */
  constructor(root, options) {
    Object.assign(this, options);
    stacks += 1;
    this.syncKey = `stack-${stacks}`;
    this.whole = [-0.5, Math.max(this.nBars - 0.5, 0.5)];
    this.range = this.clamp(options.range) || this.whole;
    this.timeIndex = new TimeIndex([], []);
    this.dateTag = h("div", { class: "date-tag", hidden: true, "aria-hidden": "true" });
    this.box = h("div", {
      class: "stack", tabindex: "0", role: "group", "aria-label": options.label,
      "aria-roledescription": "chart, arrow keys read values",
    }, this.dateTag);
    root.replaceChildren(this.box);
    this.panes = options.panes.map((spec, idx) => new Pane(spec, this, idx === options.panes.length - 1));
    this.box.prepend(...this.panes.map((pane) => pane.root));
    this.refetch = debounce(() => this.fetchDetail(), FETCH_DELAY);
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.box);
    this.fetching = new AbortController();
    this.isStarted = false;
    /** @type {Promise<void>} there is something to see, or it was said why not */
    this.ready = this.start();
  }

  destroy() {
    this.fetching.abort();
    cancelAnimationFrame(this.frame);
    this.resizing.disconnect();
    this.stopGestures?.();
    for (const pane of this.panes) pane.destroy();
  }

  async start() {
    await this.guarded(async (signal) => {
      const loads = this.panes.map((pane) => this.load(pane.names, 0, this.nBars - 1, this.pointBudget(), signal));
      // Canvas text is drawn once: the typeface has to be there first.
      const [views] = await Promise.all([Promise.all(loads), loadUPlot(), document.fonts.ready]);
      if (signal.aborted) return;
      this.timeIndex = new TimeIndex(views[0].idx, views[0].epoch);
      this.panes.forEach((pane, idx) => {
        pane.full = views[idx];
        pane.mount();
      });
      this.stopGestures = installGestures(this);
      this.isStarted = true;
      this.draw(); // the first time that anything is drawn
      if (!this.isWhole()) await this.fetchDetail();
    });
  }

  async fetchDetail() {
    const [first, last] = this.range;
    // A zoom while the first answers are on their way must not abort them: every pane needs its own.
    const isFine = this.panes.every((pane) => this.isFineEnough(pane)) && (this.marks?.isFineEnough(first, last) ?? true);
    if (!this.isStarted || isFine) return;
    this.fetching.abort();
    this.fetching = new AbortController();
    const margin = (last - first) / 2;
    const start = Math.max(Math.floor(first - margin), 0);
    const end = Math.min(Math.ceil(last + margin), this.nBars - 1);
    await this.guarded(async (signal) => {
      const series = this.panes.map((pane) => this.load(pane.names, start, end, this.pointBudget() * 2, signal));
      const [views] = await Promise.all([Promise.all(series), this.marks?.load(start, end, signal)]);
      this.panes.forEach((pane, idx) => { pane.detail = views[idx]; });
      this.timeIndex = new TimeIndex(views[0].idx, views[0].epoch);
      this.draw();
    });
  }

  async guarded(action) {
    try {
      await action(this.fetching.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.onError(error);
    }
  }

  pointBudget() {
    const steps = Math.ceil(this.box.clientWidth * POINTS_PER_PIXEL / POINTS_STEP);
    return Math.min(Math.max(steps, 1) * POINTS_STEP, MAX_POINTS);
  }

  isFineEnough(pane) {
    const { full, detail } = pane;
    if (!full || full.idx.length >= this.nBars) return true;
    if (!detail || !this.covers(detail)) return this.isWhole();
    // Zoomed in so far that the last answer is coarse here.
    const loaded = detail.idx[detail.idx.length - 1] - detail.idx[0] + 1;
    return detail.idx.length === loaded || loaded < (this.range[1] - this.range[0]) * 3;
  }

  covers(view) {
    const [first, last] = this.range;
    return view.idx.length > 1 && view.idx[0] <= Math.max(first, 0) + 0.5
      && view.idx[view.idx.length - 1] >= Math.min(last, this.nBars - 1) - 0.5;
  }

  draw() {
    this.ticksKey = "";
    for (const pane of this.panes) {
      if (!pane.full) continue;
      const isDetailed = pane.detail && this.covers(pane.detail) && !this.isWhole();
      pane.show(isDetailed ? pane.detail : pane.full);
    }
  }

  /** Labels of the time axis for the visible bars. @param {number} width of the plot in CSS pixels */
  timeTicks(width) {
    const key = `${this.range}|${width}|${this.timeIndex.idx.length}`;
    if (key !== this.ticksKey) {
      const count = Math.max(Math.floor(width / LABEL_WIDTH), 2);
      this.ticksCache = this.timeIndex.idx.length ? this.timeIndex.ticks(...this.range, count) : { positions: [],
        labels: [] };
      this.ticksKey = key;
    }
    return this.ticksCache;
  }

  clamp(range) {
    if (!range) return null;
    const width = Math.min(Math.max(range[1] - range[0], 4), this.whole[1] - this.whole[0]);
    const middle = (range[0] + range[1]) / 2;
    let first = Math.max(middle - width / 2, this.whole[0]);
    const last = Math.min(first + width, this.whole[1]);
    first = Math.min(first, last - width);
    return [Math.max(first, this.whole[0]), last];
  }

  isWhole() {
    return this.range[0] <= this.whole[0] && this.range[1] >= this.whole[1];
  }

  /**
   * Show bars `range`, or all of them.
   * @param {[number, number]|null} range @param {{isQuiet?: boolean}} [options] quiet: tell nobody
   */
  setRange(range, { isQuiet = false } = {}) {
    const next = this.clamp(range) || this.whole;
    // A tab that is opened again, and zoomed nowhere meanwhile, is drawn already.
    if (isQuiet && next.every((bar, idx) => bar === this.range[idx])) return;
    this.range = next;
    this.drawSoon();
    this.refetch();
    if (!isQuiet && this.onRange) {
      this.onRange(this.isWhole() ? null : [Math.max(Math.round(this.range[0]), 0), Math.round(this.range[1])]);
    }
  }

  /** Draw once a frame, however many wheel events it brings. */
  drawSoon() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /** Zoom by `factor` around the crosshair or the middle. @param {number} factor @param {number} [around] bar */
  zoom(factor, around = this.cursorBar() ?? (this.range[0] + this.range[1]) / 2) {
    const [first, last] = this.range;
    this.setRange([around - (around - first) * factor, around + (last - around) * factor]);
  }

  /** Move by a share of the visible width. @param {number} share */
  pan(share) {
    const [first, last] = this.range;
    const step = Math.min(Math.max((last - first) * share, this.whole[0] - first), this.whole[1] - last);
    this.setRange([first + step, last + step]);
  }

  /** @param {boolean} isLog */
  setLog(isLog) {
    for (const pane of this.panes) pane.setLog(isLog);
  }

  cursorBar() {
    const { u } = this.panes[0];
    if (!u) return null;
    return u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null;
  }

  /** Put the crosshair on a bar, as arrow keys do. @param {number} step bars */
  moveCursor(step) {
    const from = this.cursorBar() ?? this.range[1];
    const bar = Math.min(Math.max(Math.round(from) + step, Math.ceil(this.range[0])), Math.floor(this.range[1]));
    const { u } = this.panes[0];
    u.setCursor({ left: u.valToPos(bar, "x"), top: 10 }, true, true);
    for (const pane of this.panes.slice(1)) pane.u.setCursor({ left: pane.u.valToPos(bar, "x"), top: 10 });
    announce(`${formatMoment(this.timeIndex.timeAt(bar), this.spacing)}. ${this.panes.map((pane) => `${pane.spec.title} ${pane.readout.textContent}`).join(". ")}`);
  }

  followCursor(pane) {
    pane.updateReadout();
    if (!pane.isLast) return;
    const { left } = pane.u.cursor;
    this.dateTag.hidden = !(left >= 0);
    if (this.dateTag.hidden) return;
    this.dateTag.textContent = formatMoment(this.timeIndex.timeAt(Math.round(pane.u.posToVal(left, "x"))),
      this.spacing);
    this.dateTag.style.left = `${left}px`;
  }

  takeSelection(pane) {
    const { left, width } = pane.u.select;
    // Every pane mirrors the drag; only the one it began in speaks.
    if (pane !== this.dragged || width < 4) return;
    this.dragged = null;
    const range = [pane.u.posToVal(left, "x"), pane.u.posToVal(left + width, "x")];
    for (const each of this.panes) each.u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.setRange(range);
  }

  resize() {
    if (!this.isStarted || !this.box.clientWidth) return;
    for (const pane of this.panes) pane.resize();
  }

  /** Draw all panes into one picture. @returns {HTMLCanvasElement} */
  toPicture() {
    return composePicture(this.panes);
  }
}
