/** Parallel coordinates: a line per combination, coloured by the metric; the arrows walk from best to worst. */

import { COLORS, FONT } from "../charts/theme.js";
import { fill, h } from "../lib/dom.js";
import { formatCount } from "../lib/format.js";
import { formatMetric, metricLabel } from "../lib/metrics.js";
import { levelIn } from "./axes.js";
import { formatLevel, formatLevelOf, rampColor } from "./heat_data.js";
import { buildScales, findNearestLine, placeRow, placeShare } from "./parallel_data.js";

const FAINT = 0.35;

/** The panel with its canvas. */
export class Parallel {
  /** @param {HTMLElement} root @param {(row: Object) => void} onOpen */
  constructor(root, onOpen) {
    this.onOpen = onOpen;
    this.chosen = null;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.box = h("div", { class: "parallel-box", id: "parallel", tabindex: "0", role: "group",
      "aria-label": "Parallel coordinates; up and down walk from best to worst, Enter opens" }, this.canvas);
    this.readout = h("p", { class: "heat-readout", id: "parallel-readout", role: "status" });
    fill(root, this.box, this.readout);
    this.box.addEventListener("pointermove", (event) => this.point(event));
    this.box.addEventListener("pointerleave", () => this.choose(null));
    this.box.addEventListener("click", (event) => this.onClick(event));
    this.box.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  /**
   * @param {Object[]} rows @param {Array<{name: string, values: any[]}>} axes levels in order
   * @param {string} metric @param {boolean} isSmallBetter @param {number} nAll eligible combinations
   */
  show(rows, axes, metric, isSmallBetter, nAll) {
    const sign = isSmallBetter ? -1 : 1;
    this.rows = rows.filter((row) => typeof row.metrics[metric] === "number")
      .sort((one, other) => sign * (other.metrics[metric] - one.metrics[metric]));
    Object.assign(this, { axes, metric, nAll, chosen: null });
    this.draw();
    this.read();
  }

  draw() {
    const { width, height } = this.box.getBoundingClientRect();
    if (!this.rows || width < 160 || height < 80) return;
    const ratio = devicePixelRatio;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const ctx = this.canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.font = FONT;
    ctx.clearRect(0, 0, width, height);
    if (!this.rows.length) return;
    this.scales = buildScales(this.axes, this.metric, this.rows, width);
    this.lines = this.rows.map((row) => placeRow(this.scales, row, height));
    const metric = this.scales[this.scales.length - 1];
    ctx.globalAlpha = this.rows.length > 200 ? FAINT : 0.6;
    // The best are drawn last, over the others.
    for (let at = this.rows.length - 1; at >= 0; at -= 1) drawLine(ctx, this.lines[at],
      rampColor(0.15 + 0.85 * metric.share(this.rows[at])), 1);
    ctx.globalAlpha = 1;
    this.drawAxes(ctx, height, metric);
    if (this.chosen !== null) drawLine(ctx, this.lines[this.chosen], COLORS.amber, 2);
  }

  drawAxes(ctx, height, metric) {
    const tag = (text, x, y, align) => {
      const width = ctx.measureText(text).width;
      const left = align === "left" ? x : align === "right" ? x - width : x - width / 2;
      ctx.fillStyle = COLORS.ground;
      ctx.globalAlpha = 0.75;
      ctx.fillRect(left - 2, y - 7, width + 4, 14);
      ctx.globalAlpha = 1;
      ctx.fillStyle = COLORS.second;
      ctx.textAlign = "left";
      ctx.fillText(text, left, y);
    };
    ctx.textBaseline = "middle";
    const { width } = this.box.getBoundingClientRect();
    for (const scale of this.scales) {
      ctx.fillStyle = COLORS.control;
      ctx.fillRect(scale.x - 0.5, placeShare(1, height), 1, placeShare(0, height) - placeShare(1, height));
      const title = scale.isMetric ? metricLabel(scale.name) : scale.name;
      const half = ctx.measureText(title).width / 2;
      ctx.fillStyle = COLORS.amber;
      ctx.textAlign = "center";
      ctx.fillText(title, Math.min(Math.max(scale.x, half + 2), width - half - 2), 10);
      for (const { text, share } of scale.ticks) tag(formatLevel(text).slice(0, 10), scale.x - 6,
        placeShare(share, height), "right");
    }
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      tag(formatLevelOf(this.metric, metric.low + share * (metric.high - metric.low)), metric.x + 6,
        placeShare(share, height), "left");
    }
  }

  point(event) {
    const { left, top } = this.box.getBoundingClientRect();
    if (this.lines) this.choose(findNearestLine(this.lines, event.clientX - left, event.clientY - top));
  }

  onClick(event) {
    this.point(event);
    // A finger cannot hover: its first tap reads the line, a second one opens it.
    const isRead = event.pointerType !== "touch" || this.chosen === this.tapped;
    this.tapped = this.chosen;
    if (isRead) this.open();
  }

  choose(at) {
    if (at === this.chosen) return;
    this.chosen = at;
    this.draw();
    this.read();
  }

  read() {
    const row = this.rows[this.chosen];
    this.box.classList.toggle("is-over", Boolean(row));
    fill(this.readout, row ? [this.axes.map(({ name }) =>
      h("span", {}, h("i", { text: `${name} ` }), formatLevel(levelIn(row, name)))),
      h("span", {}, h("i", { text: `${metricLabel(this.metric)} ` }),
        h("b", { text: formatMetric(this.metric, row.metrics[this.metric]) }))]
      : h("span", { class: "hint",
        text: `${formatCount(this.rows.length)} of ${formatCount(this.nAll)} combinations: the best, and an even sample` }));
  }

  open() {
    if (this.rows?.[this.chosen]) this.onOpen(this.rows[this.chosen]);
  }

  onKey(event) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step && this.rows?.length) {
      const from = this.chosen ?? -1;
      this.choose(Math.min(Math.max(from + step * (event.shiftKey ? 10 : 1), 0), this.rows.length - 1));
    } else if (event.key === "Enter") this.open();
    else return;
    event.preventDefault();
  }
}

function drawLine(ctx, points, color, width) {
  ctx.strokeStyle = color;
  ctx.lineWidth = width;
  ctx.beginPath();
  let isDown = false;
  for (const point of points) {
    if (point) ctx[isDown ? "lineTo" : "moveTo"](...point);
    isDown = point !== null;
  }
  ctx.stroke();
}
