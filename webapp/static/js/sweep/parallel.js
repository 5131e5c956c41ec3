/** Parallel coordinates: a line per combination, coloured by the metric; a stretch drawn on an axis keeps its lines. */

import { COLORS, FONT } from "../charts/theme.js";
import { announce, debounce, fill, h } from "../lib/dom.js";
import { formatCount } from "../lib/format.js";
import { SMALLER_IS_BETTER, formatMetric, metricLabel } from "../lib/metrics.js";
import { levelIn } from "./axes.js";
import { brushStretch, isKept, parseBrushes, placeBrush, toFilter, writeBrushes } from "./brush.js";
import { formatLevel, formatLevelOf, rampColor } from "./heat_data.js";
import { buildScales, findNearestLine, placeRow, placeShare, shareAt } from "./parallel_data.js";

const FAINT = 0.35;
const LEFT_OUT = 0.1;
// How near to an axis a drag begins, and how far it goes before it is one [px].
const AXIS_REACH = 12;
const LEAST_DRAG = 4;
const BAND = { half: 6, least: 8 };

/** The panel with its canvas. */
export class Parallel {
  /**
   * @param {HTMLElement} root
   * @param {{onOpen: (row: Object) => void, onBrush: (text: string) => void, onRank: (filter: string) => void}} handlers
   */
  constructor(root, handlers) {
    this.handlers = handlers;
    this.chosen = null;
    this.brushes = new Map();
    this.drag = null;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.box = h("div", { class: "parallel-box", id: "parallel", tabindex: "0", role: "group",
      "aria-label": "Parallel coordinates; up and down walk from best to worst, Enter opens; the field Keep narrows" },
    this.canvas);
    this.readout = h("p", { class: "heat-readout", id: "parallel-readout", role: "status" });
    fill(root, this.buildBar(), this.box, this.readout);
    this.box.addEventListener("pointerdown", (event) => this.startDrag(event));
    this.box.addEventListener("pointermove", (event) => this.point(event));
    this.box.addEventListener("pointerup", (event) => this.endDrag(event));
    this.box.addEventListener("pointercancel", () => { this.drag = null; });
    this.box.addEventListener("pointerleave", () => { if (!this.drag) this.choose(null); });
    this.box.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  buildBar() {
    this.input = h("input", { id: "brush", type: "search", class: "form-control", autocomplete: "off",
      spellcheck: "false", placeholder: "drag along an axis, or name=from..to", "aria-describedby": "brush-error" });
    this.error = h("span", { class: "filter-error", id: "brush-error", role: "alert" });
    this.count = h("span", { class: "second", id: "brush-count", role: "status" });
    this.rank = h("button", { type: "button", id: "brush-rank", class: "btn btn-small", text: "Rank these",
      data: { tip: "The same conditions on all combinations, in the ranking" }, on: { click: () => this.rankThese() } });
    this.clear = h("button", { type: "button", id: "brush-clear", class: "btn btn-small", text: "Clear",
      on: { click: () => { this.setText(""); this.input.focus(); } } });
    this.input.addEventListener("input", debounce(() => this.setText(this.input.value), 200));
    return h("div", { class: "filter-bar" }, h("label", { for: "brush", text: "Keep" }), this.input, this.error,
      h("span", { class: "push" }, this.count), this.rank, this.clear);
  }

  /** Take what the address holds. @param {string} text */
  restore(text) {
    this.input.value = text;
    this.text = text;
  }

  /**
   * @param {Object[]} rows @param {Array<{name: string, values: any[]}>} axes levels in order
   * @param {string} metric @param {number} nAll eligible combinations
   */
  show(rows, axes, metric, nAll) {
    const sign = SMALLER_IS_BETTER.includes(metric) ? -1 : 1;
    this.rows = rows.filter((row) => typeof row.metrics[metric] === "number")
      .sort((one, other) => sign * (other.metrics[metric] - one.metrics[metric]));
    Object.assign(this, { axes, metric, nAll, chosen: null });
    this.readBrushes(this.input.value);
  }

  /** Axes with the metric as the last: what may be brushed. */
  get brushable() {
    return [...this.axes, { name: this.metric, isMetric: true }];
  }

  /** Narrow by a text, wherever it comes from. @param {string} text */
  setText(text) {
    const isHere = document.activeElement === this.input;
    if (!isHere || text === "") this.input.value = text;
    if (text.trim() === (this.text || "")) return;
    this.text = text.trim();
    this.handlers.onBrush(this.text);
    if (this.axes) this.readBrushes(this.text);
  }

  readBrushes(text) {
    const { brushes, fault } = parseBrushes(text, this.brushable);
    this.brushes = brushes;
    this.error.textContent = fault;
    this.input.setAttribute("aria-invalid", String(Boolean(fault)));
    this.kept = this.rows.map((row) => isKept(brushes, row, this.metric));
    const nKept = this.kept.filter(Boolean).length;
    this.count.textContent = brushes.size ? `${formatCount(nKept)} of ${formatCount(this.rows.length)} lines` : "";
    this.clear.hidden = this.rank.hidden = !brushes.size;
    if (this.chosen !== null && !this.kept[this.chosen]) this.chosen = null;
    this.draw();
    this.read();
  }

  rankThese() {
    const { filter, fault } = toFilter(this.brushes, this.axes);
    this.error.textContent = fault || "";
    if (!fault) this.handlers.onRank(filter);
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
    this.drawLines(ctx);
    this.drawAxes(ctx, height, this.scales[this.scales.length - 1]);
    for (const scale of this.scales) this.drawBand(ctx, scale, height);
    if (this.chosen !== null) drawLine(ctx, this.lines[this.chosen], COLORS.amber, 2);
  }

  drawLines(ctx) {
    const metric = this.scales[this.scales.length - 1];
    const nKept = this.kept.filter(Boolean).length;
    // What is left out stays as a ghost behind; of what is kept the best are drawn last, over the others.
    ctx.globalAlpha = LEFT_OUT;
    this.lines.forEach((line, at) => { if (!this.kept[at]) drawLine(ctx, line, COLORS.control, 1); });
    ctx.globalAlpha = nKept > 200 ? FAINT : 0.6;
    for (let at = this.rows.length - 1; at >= 0; at -= 1) {
      if (this.kept[at]) drawLine(ctx, this.lines[at], this.colorOf(metric.share(this.rows[at])), 1);
    }
    ctx.globalAlpha = 1;
  }

  /** Bright is good, whichever end that is. */
  colorOf(share) {
    return rampColor(0.15 + 0.85 * (SMALLER_IS_BETTER.includes(this.metric) ? 1 - share : share));
  }

  /** What is kept of an axis: amber, as everything that is in focus. */
  drawBand(ctx, scale, height) {
    const brush = this.brushes.get(scale.name);
    const stretches = this.drag?.scale.name === scale.name && this.drag.isMoving ? [this.drag.stretch]
      : brush ? placeBrush(brush, scale) : [];
    for (const [from, to] of stretches) {
      const [top, bottom] = [placeShare(to, height), placeShare(from, height)];
      const grow = Math.max(BAND.least - (bottom - top), 0) / 2;
      ctx.globalAlpha = 0.25;
      ctx.fillStyle = COLORS.amber;
      ctx.fillRect(scale.x - BAND.half, top - grow, 2 * BAND.half, bottom - top + 2 * grow);
      ctx.globalAlpha = 1;
      ctx.strokeStyle = COLORS.amber;
      ctx.lineWidth = 1;
      ctx.strokeRect(scale.x - BAND.half + 0.5, top - grow + 0.5, 2 * BAND.half - 1, bottom - top + 2 * grow - 1);
    }
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
    const [first, second] = this.scales;
    const room = second ? Math.floor((second.x - first.x) / ctx.measureText("m").width) - 1 : Infinity;
    for (const scale of this.scales) {
      ctx.fillStyle = COLORS.control;
      ctx.fillRect(scale.x - 0.5, placeShare(1, height), 1, placeShare(0, height) - placeShare(1, height));
      const title = shorten(scale.isMetric ? metricLabel(scale.name) : scale.name, Math.max(room, 4));
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

  place(event) {
    const { left, top, height } = this.box.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top, height };
  }

  /** The axis under a point, null between two. */
  findScale(x) {
    return this.scales?.find((scale) => Math.abs(scale.x - x) <= AXIS_REACH) ?? null;
  }

  startDrag(event) {
    // A finger scrolls; by touch lines are narrowed in the field.
    if (event.button !== 0 || event.pointerType === "touch" || !this.lines) return;
    const { x, y, height } = this.place(event);
    const scale = this.findScale(x);
    if (!scale) return;
    const share = shareAt(y, height);
    this.drag = { scale, from: share, y, isMoving: false, stretch: [share, share] };
    this.box.setPointerCapture(event.pointerId);
  }

  point(event) {
    if (!this.lines) return;
    const { x, y, height } = this.place(event);
    if (this.drag) {
      const share = Math.min(Math.max(shareAt(y, height), 0), 1);
      this.drag.isMoving = this.drag.isMoving || Math.abs(y - this.drag.y) >= LEAST_DRAG;
      const from = Math.min(Math.max(this.drag.from, 0), 1);
      this.drag.stretch = [Math.min(from, share), Math.max(from, share)];
      if (this.drag.isMoving) this.draw();
      return;
    }
    this.box.classList.toggle("is-axis", this.findScale(x) !== null);
    this.choose(findNearestLine(this.lines.map((line, at) => (this.kept[at] ? line : [])), x, y));
  }

  endDrag(event) {
    const { drag } = this;
    this.drag = null;
    if (!this.lines || event.button !== 0) return;
    if (drag?.isMoving) this.brush(drag.scale, brushStretch(drag.scale, ...drag.stretch));
    else if (drag && this.brushes.has(drag.scale.name)) this.brush(drag.scale, null);
    else this.onClick(event);
  }

  /** Keep a stretch of an axis; null keeps all of it. */
  brush(scale, brush) {
    const next = new Map(this.brushes);
    if (brush) next.set(scale.name, brush);
    else next.delete(scale.name);
    this.input.blur();
    this.setText(writeBrushes(next.values()));
    this.draw();
    announce(this.count.textContent || "all lines");
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
    if (this.rows?.[this.chosen]) this.handlers.onOpen(this.rows[this.chosen]);
  }

  /** Walk over the lines that are kept. */
  onKey(event) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step && this.rows?.length) {
      const walk = this.kept.flatMap((isIn, at) => (isIn ? [at] : []));
      const from = this.chosen === null ? -1 : walk.indexOf(this.chosen);
      const next = Math.min(Math.max(from + step * (event.shiftKey ? 10 : 1), 0), walk.length - 1);
      this.choose(walk[next] ?? null);
    } else if (event.key === "Enter") this.open();
    else return;
    event.preventDefault();
  }
}

function shorten(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
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
