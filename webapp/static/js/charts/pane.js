/** One chart: a heading with the read-out and a uPlot canvas under it. */

import { fill, h } from "../lib/dom.js";
import { AXIS_WIDTH, COLORS, FONT } from "./theme.js";
import {
  canDrawCandles, drawCandles, drawLevels, drawTags, lastValues, placeTags,
} from "./overlays.js";
import { padRange, valueTicks } from "./value_axis.js";

const TIME_AXIS_HEIGHT = 24;
const LABEL_ROOM = 15;
const LABEL_HALF = 7;

/**
 * @typedef {Object} PaneSpec
 * @property {string} title @property {number} weight share of the height
 * @property {Array<{name: string, label: string, color: string, width?: number, dash?: number[],
 *   fill?: string, stepped?: boolean, hidden?: boolean, tagged?: boolean, mark?: string, isOverlay?: boolean}>} series
 *   columns of the run; a `mark` stands before the value of its tag, an overlay stays where candles are drawn
 * @property {(value: number, step?: number) => string} format of tags and, with the step between them, gridlines
 * @property {(value: number) => string} [formatTick] of the axis, by default as the tags
 * @property {boolean} [isLog] @property {boolean} [hasCandles] open, high, low, close come first
 * @property {number[]} [include] @property {boolean} [hasCeiling] @property {number} [room]
 * @property {() => Array<{value: number, label: string, color: string}>} [levels] dotted lines
 * @property {Function[]} [under] @property {Function[]} [over] drawn before, after the lines
 * @property {(values: Object<string, number|null>, bar: number) => Array} readout content of the heading
 */

/** Lines that the read-out of a pane takes on a phone, however far the crosshair moves. */
function linesOf(spec) {
  return 2 + Math.ceil(spec.series.filter(({ isOverlay }) => isOverlay).length / 2);
}

/** A chart inside a stack. */
export class Pane {
  /**
   * @param {PaneSpec} spec @param {import("./stack.js").ChartStack} stack @param {boolean} isLast
   */
  constructor(spec, stack, isLast) {
    this.spec = spec;
    this.stack = stack;
    this.isLast = isLast;
    this.isLog = Boolean(spec.isLog);
    this.names = spec.series.map((series) => series.name);
    this.readout = h("div", { class: "pane-readout" });
    this.plotBox = h("div", { class: "pane-plot" });
    this.root = h("section", { class: "pane",
      style: { "flex-grow": spec.weight, "flex-basis": isLast ? `${TIME_AXIS_HEIGHT}px` : "0",
        "--head-lines": linesOf(spec) } },
      h("header", { class: "pane-head" }, h("h3", { text: spec.title }), this.readout), this.plotBox);
    this.full = null;
    this.view = null;
    this.u = null;
  }

  /** Build the canvas; the element must be in the page, and uPlot loaded. */
  mount() {
    const { width, height } = this.plotBox.getBoundingClientRect();
    this.u = new globalThis.uPlot(this.options(width, height), this.blank(), this.plotBox);
    this.u.over.style.touchAction = "pan-y";
  }

  destroy() {
    this.u?.destroy();
  }

  blank() {
    return [[0, 1], ...this.names.map(() => [null, null])];
  }

  options(width, height) {
    const { spec, stack } = this;
    return {
      width: Math.max(width, 2 * AXIS_WIDTH), height: Math.max(height, 60), pxAlign: 1,
        padding: [4, 0, this.isLast ? 0 : 4, 0],
      legend: { show: false },
      cursor: {
        y: false, drag: { x: true, y: false, setScale: false, dist: 4 },
        sync: { key: stack.syncKey, setSeries: false, scales: ["x", null] },
        points: { size: (_u, idx) => (spec.series[idx - 1].hidden ? 0 : 7), width: 1.5,
          stroke: (_u, idx) => spec.series[idx - 1].color, fill: () => COLORS.ground },
        focus: { prox: -1 },
      },
      scales: {
        x: { time: false, auto: false },
        y: { distr: this.isLog ? 3 : 1, range: (_u, min, max) => padRange(min, max, { ...spec, isLog: this.isLog }) },
      },
      series: [{}, ...spec.series.map((series) => this.seriesOptions(series))],
      axes: [this.timeAxis(), this.valueAxis()],
      hooks: {
        drawClear: spec.under || [],
        draw: [...(spec.hasCandles ? [drawCandles] : []), ...(spec.levels ? [drawLevels(spec.levels)] : []),
          ...(spec.over || []), (u) => drawTags(u, this.tags(u), spec.format)],
        setCursor: [() => stack.followCursor(this)],
        setSelect: [() => stack.takeSelection(this)],
      },
    };
  }

  seriesOptions(series) {
    const { uPlot } = globalThis;
    const line = series.stepped ? uPlot.paths.stepped({ align: 1 }) : uPlot.paths.linear();
    const isDrawn = (u) => !series.hidden && (series.isOverlay || !(this.spec.hasCandles && canDrawCandles(u)));
    return {
      label: series.label, stroke: series.color, width: series.width || 1.25, dash: series.dash, fill: series.fill,
      points: { show: false }, spanGaps: false,
      // An area hangs from zero where zero is in sight, as in the drawdown pane.
      fillTo: 0,
      paths: (u, ...where) => (isDrawn(u) ? line(u, ...where) : null),
    };
  }

  timeAxis() {
    const ticksOf = (u) => this.stack.timeTicks(u.bbox.width / devicePixelRatio);
    return {
      size: this.isLast ? TIME_AXIS_HEIGHT : 0, font: FONT, stroke: COLORS.second, gap: 6,
      grid: { stroke: COLORS.rule, width: 1 }, ticks: { show: false },
      splits: (u) => ticksOf(u).positions,
      values: (u) => (this.isLast ? ticksOf(u).labels : ticksOf(u).positions.map(() => null)),
    };
  }

  valueAxis() {
    return {
      side: 1, size: AXIS_WIDTH, font: FONT, stroke: COLORS.second, gap: 6,
      grid: { stroke: COLORS.rule, width: 1 }, ticks: { show: false },
      splits: (u, _axis, min, max) => valueTicks(min, max, Math.max(u.bbox.height / devicePixelRatio / 32, 3),
        this.isLog),
      values: (u, splits) => this.labelTicks(u, splits),
      // uPlot thins labels of log axes by itself; ours are thin already.
      filter: (_u, splits) => splits,
    };
  }

  tags(u) {
    const lines = this.spec.series.flatMap(({ tagged, color, mark }, idx) => (tagged ? [{ series: idx + 1, color, mark }]
      : []));
    return placeTags(u, [...lastValues(u, lines), ...(this.spec.levels ? this.spec.levels() : [])]);
  }

  /** A label that a tag would cover, or the heading cut, is left out. */
  labelTicks(u, splits) {
    const format = this.spec.formatTick || this.spec.format;
    const taken = this.tags(u).map(({ y }) => y);
    const room = u.bbox.height / devicePixelRatio;
    const step = splits.length > 1 ? splits[1] - splits[0] : undefined;
    return splits.map((value) => {
      const y = u.valToPos(value, "y");
      const isCut = y < LABEL_HALF - 4 || y > room + 4 - LABEL_HALF;
      return isCut || taken.some((other) => Math.abs(other - y) < LABEL_ROOM) ? "" : format(value, step);
    });
  }

  /** Draw `view` over the visible bars. @param {Object} view columns with `idx` */
  show(view) {
    if (view !== this.view) {
      this.view = view;
      this.u.setData([view.idx, ...this.names.map((name) => this.clean(view[name]))], false);
    }
    const [min, max] = this.stack.range;
    this.u.setScale("x", { min, max });
    this.updateReadout();
  }

  clean(values) {
    return this.isLog ? values.map((value) => (value > 0 ? value : null)) : values;
  }

  /** Switch between log and linear. @param {boolean} isLog */
  setLog(isLog) {
    if (this.spec.isLog === undefined || isLog === this.isLog) return;
    this.isLog = isLog;
    if (!this.u) return;
    // A hidden canvas has no size to be drawn in: it is rebuilt when it is looked at.
    this.isStale = true;
    this.resize();
  }

  remount() {
    this.isStale = false;
    this.u.destroy();
    const view = this.view;
    this.view = null;
    this.mount();
    if (view) this.show(view);
  }

  resize() {
    const { width, height } = this.plotBox.getBoundingClientRect();
    if (width <= AXIS_WIDTH || height < 20) return;
    if (this.isStale) this.remount();
    else if (width !== this.u.width || height !== this.u.height) this.u.setSize({ width, height });
  }

  /** Write the values under the crosshair, or the last visible ones, into the heading. */
  updateReadout() {
    if (!this.view || !this.view.idx.length) return;
    const inSight = this.u.cursor.left >= 0 && this.u.cursor.idx !== null && this.u.cursor.idx !== undefined;
    const at = inSight ? this.u.cursor.idx : this.u.valToIdx(this.stack.range[1]);
    const values = Object.fromEntries(this.names.map((name) => [name, this.view[name][at]]));
    fill(this.readout, this.spec.readout(values, this.view.idx[at]));
  }
}
