/** The closes of a dataset, stored or not, with a mark at each bar that its report names. */

import { ChartStack } from "../charts/stack.js";
import { COLORS } from "../charts/theme.js";
import { ApiError, request } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { formatCount, formatPrice, formatTick } from "../lib/format.js";

const MARK = 5;
const SPREAD = 30;
const STORED = ["open", "high", "low", "close"];

/**
 * @typedef {Object} Charted
 * @property {number} n_bars @property {string} spacing
 * @property {string|null} id of a stored dataset @property {Object|null} series of a preview
 */

/** A chart of the closes that can be pointed at a bar. */
export class CloseChart {
  /**
   * @param {HTMLElement} root @param {Charted} dataset
   * @param {{isLog: boolean, isAdjusted: boolean, onError: (text: string) => void}} options
   */
  constructor(root, dataset, { isLog, isAdjusted, onError }) {
    this.dataset = dataset;
    this.findings = [];
    this.chosen = null;
    const names = dataset.id ? STORED : ["close"];
    this.stack = new ChartStack(root, {
      panes: [this.pane(names, isLog, isAdjusted)], nBars: dataset.n_bars, spacing: dataset.spacing, range: null,
      label: "Closes", load: (...where) => this.load(isAdjusted, ...where),
      onError: (error) => {
        if (!(error instanceof ApiError)) throw error;
        onError(error.message);
      },
    });
  }

  pane(names, isLog, isAdjusted) {
    return {
      title: isAdjusted ? "Close adjusted" : "Close as delivered", weight: 1, isLog, room: 0.1,
      hasCandles: names.length > 1,
      series: names.map((name) => (name === "close"
        ? { name, label: name, color: COLORS.text, width: 1.25, tagged: true }
        : { name, label: name, color: COLORS.second, hidden: true })),
      format: formatPrice, formatTick,
      over: [(u) => this.drawMarks(u)],
      readout: (values, bar) => [
        h("span", { class: "ohlc", text: names.map((name) => `${name[0].toUpperCase()} ${formatPrice(values[name])}`).join("  ") }),
        h("span", { text: `bar ${formatCount(bar + 1)}` }),
        h("span", { class: "amber", text: this.describe(bar) })],
    };
  }

  load(isAdjusted, names, start, end, points, signal) {
    if (this.dataset.series) return Promise.resolve(this.dataset.series);
    const query = new URLSearchParams({ names: names.join(","), start_idx: start, end_idx: end, points });
    if (isAdjusted) query.set("adjust", "1");
    return request(`/api/v1/datasets/${this.dataset.id}/series?${query}`, { signal });
  }

  /** @param {Object[]} findings of the report */
  showFindings(findings) {
    this.findings = findings;
    this.stack.draw();
    for (const pane of this.stack.panes) pane.u?.redraw(false);
  }

  describe(bar) {
    const found = this.findings.flatMap((finding) => finding.examples.filter((example) => example.idx === bar)
      .map((example) => `! ${finding.code.replaceAll("_", " ")}: ${example.text}`));
    return found[0] || "";
  }

  /** Zoom to the bars around one. @param {number} bar */
  pointAt(bar) {
    this.chosen = bar;
    this.stack.setRange([bar - SPREAD, bar + SPREAD]);
    this.stack.box.focus({ preventScroll: true });
    this.stack.box.scrollIntoView({ block: "nearest" });
  }

  /** An amber tick at the foot for each bar named; the chosen one through the whole height. */
  drawMarks(u) {
    const { left, top, width, height } = u.bbox;
    const { min, max } = u.scales.x;
    const { ctx } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.fillStyle = COLORS.amber;
    for (const { examples } of this.findings.filter((finding) => finding.level === "warning")) {
      for (const { idx } of examples) {
        if (idx < min || idx > max) continue;
        const x = u.valToPos(idx, "x", true);
        ctx.beginPath();
        ctx.moveTo(x - MARK * ratio, top + height);
        ctx.lineTo(x + MARK * ratio, top + height);
        ctx.lineTo(x, top + height - MARK * 1.8 * ratio);
        ctx.fill();
      }
    }
    if (this.chosen !== null && this.chosen >= min && this.chosen <= max) {
      const x = Math.min(Math.max(u.valToPos(this.chosen, "x", true), left), left + width);
      ctx.globalAlpha = 0.5;
      ctx.fillRect(x - ratio / 2, top, ratio, height);
    }
    ctx.restore();
  }

  setLog(isLog) {
    this.stack.setLog(isLog);
  }

  destroy() {
    this.stack.destroy();
  }
}
