/** The chart of the comparison: equity of every pinned run, and buy and hold, from the same cash. */

import { ChartStack } from "../charts/stack.js";
import { COLORS } from "../charts/theme.js";
import { formatMoment } from "../charts/time_axis.js";
import { h } from "../lib/dom.js";
import { formatCount, formatShort } from "../lib/format.js";
import { loadSeries } from "../run/session.js";
import { SharedAxis, findFactors, mergeSeries, scaleView } from "./curves.js";

const FULL_POINTS = 2000;

/** Curves over one another. */
export class Overlay {
  /**
   * @param {HTMLElement} root @param {import("./compare_data.js").Pinned[]} pinned all with a result
   * @param {{hasHeld: boolean, isLog: boolean, isRebased: boolean, range: [number, number]|null,
   *   onRange: (range: [number, number]|null) => void, onError: (error: Error) => void}} options
   */
  constructor(root, pinned, options) {
    this.root = root;
    this.pinned = pinned;
    Object.assign(this, options);
    this.cash = pinned[0].view.spec.trading.initial_cash;
    this.curves = [
      ...(this.hasHeld ? [this.curve("held", pinned[0], "benchmark", 0)] : []),
      ...pinned.map((each, at) => this.curve(each.slot.letter, each, "equity", at))];
    this.loading = new AbortController();
  }

  curve(name, { run, view }, source, at) {
    return { name, source, at, runId: run.run_id, nBars: view.n_bars, cash: view.spec.trading.initial_cash };
  }

  /** Load the curves and draw them. */
  async start() {
    const { signal } = this.loading;
    try {
      this.whole = await Promise.all(this.pinned.map(({ run, view }, at) => loadSeries(run.run_id, this.sourcesOf(at), 0,
        view.n_bars - 1, FULL_POINTS, signal)));
    } catch (error) {
      if (error.name !== "AbortError") this.onError(error);
      return;
    }
    this.axis = new SharedAxis(this.whole, this.pinned.map(({ view }) => view.n_bars));
    this.stack = new ChartStack(this.root, { panes: [this.pane()], nBars: this.axis.nSteps, range: this.range,
      spacing: this.pinned[0].view.spacing, label: "Equity of the pinned runs", onError: this.onError,
      onRange: (range) => this.follow(range),
      load: (_names, start, end, points, stop) => this.load(start, end, points, stop) });
  }

  sourcesOf(at) {
    return [...new Set(this.curves.filter((curve) => curve.at === at).map(({ source }) => source))];
  }

  destroy() {
    this.loading.abort();
    this.stack?.destroy();
    this.root.replaceChildren();
  }

  pane() {
    const slots = Object.fromEntries(this.pinned.map(({ slot }) => [slot.letter, slot]));
    const series = this.curves.map(({ name }) => (name === "held"
      ? { name, label: "buy & hold", color: COLORS.bench, width: 1, tagged: true, mark: "H" }
      : { name, label: name, ...slots[name], tagged: true, mark: name }));
    return { title: "Equity USD", weight: 1, isLog: this.isLog, series, format: formatShort,
      include: this.isLog ? [] : [this.cash],
      readout: (values, place) => [
        ...series.map(({ name, color, mark }, idx) => h("span", { class: "key", style: { color } },
          name === "held" ? "H buy & hold " : `◆ ${mark} `, this.readValue(values[name], this.curves[idx].at, place))),
        h("span", { class: "hint", text: this.startText })] };
  }

  /** A figure, or why there is none. @param {number|null} value @param {number} at the run @param {number} place */
  readValue(value, at, place) {
    const absence = value === null ? this.axis.absenceAt(at, place) : null;
    if (!absence) return formatCount(value);
    return `${absence.word} ${formatMoment(absence.epoch, this.pinned[at].view.spacing)}`;
  }

  /** From where, and with what, the curves start. */
  get startText() {
    const cash = formatCount(this.cash);
    if (!this.isRebased || !this.stack) {
      return `all start at ${cash}${this.axis.isOfBars ? "" : ", each on its first bar"}`;
    }
    const { timeIndex, range, spacing } = this.stack;
    return `all are ${cash} on ${formatMoment(timeIndex.timeAt(Math.max(Math.ceil(range[0]), 0)), spacing)}`;
  }

  /** Columns between two places of the axis, inclusive. */
  async load(start, end, points, signal) {
    const isWhole = start === 0 && end === this.axis.nSteps - 1;
    const found = isWhole ? this.whole : await Promise.all(this.pinned.map(({ run, view }, at) => {
      const bars = this.axis.barsBetween(at, start, end, view.n_bars);
      return bars ? loadSeries(run.run_id, this.sourcesOf(at), ...bars, points, signal) : null;
    }));
    const view = mergeSeries(this.curves.filter(({ at }) => found[at]).map(({ name, source, at }) => ({ name,
      places: this.axis.place(found[at]), epoch: found[at].epoch, values: found[at][source] })));
    for (const { name } of this.curves) view.raw[name] ??= view.idx.map(() => null);
    this.scale(view);
    return view;
  }

  scale(view) {
    const from = this.isRebased && this.stack ? this.stack.range[0] : null;
    scaleView(view, findFactors(this.curves, view, this.cash, from));
  }

  /** Multiply again: from another bar, or from the beginning. */
  rescale() {
    const [pane] = this.stack.panes;
    for (const view of [pane.full, pane.detail]) if (view) this.scale(view);
    pane.view = null;
    this.stack.draw();
  }

  follow(range) {
    this.onRange(range);
    if (this.isRebased) this.rescale();
  }

  setLog(isLog) {
    this.isLog = isLog;
    this.stack?.setLog(isLog);
  }

  setRebased(isRebased) {
    this.isRebased = isRebased;
    if (this.stack?.isStarted) this.rescale();
  }
}
