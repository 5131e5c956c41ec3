/** The heat map: a canvas that is moved over by pointer and arrows and opened with a click or Enter. */

import { COLORS, FONT } from "../charts/theme.js";
import { h } from "../lib/dom.js";
import { colorScale, formatLevel, formatLevelOf, layoutHeatmap, placeOnAxis } from "./heat_data.js";

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
// Lines between cells are left out where they would cover the colours.
const SMALLEST_WITH_GAP = 5;
const SMALLEST_WITH_DASH = 5;
const CASING = "#0b0d10";
const LEAST_LABEL = 28;
const LONGEST_LABEL = 14;
const LABEL_HEIGHT = 16;
const LABEL_GAP = 4;
const MARK_RADIUS = 8;

/** One heat map. */
export class HeatMap {
  /**
   * @param {HTMLElement} root
   * @param {{onMove: (cell: {x: number, y: number}|null) => void, onOpen: (cell: {x: number, y: number}) => void}}
   *   handlers
   */
  constructor(root, handlers) {
    this.handlers = handlers;
    this.data = null;
    this.cell = null;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.box = h("div", { id: "heatmap", class: "heat-box", tabindex: "0", role: "group",
      "aria-label": "Heat map; arrows move the cell, Enter opens it as a run" }, this.canvas);
    root.append(this.box);
    this.box.addEventListener("pointermove", (event) => this.move(this.find(event)));
    this.box.addEventListener("pointerleave", () => { if (document.activeElement !== this.box) this.move(null); });
    this.box.addEventListener("click", (event) => this.onClick(event));
    this.box.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  /**
   * @param {Object} data answer of /heatmap
   * @param {Array<{kind: "raw"|"plateau", row: Object|null, text: string}>} marks @param {boolean} isPartial
   */
  show(data, marks, isPartial) {
    this.data = data;
    this.isPartial = isPartial;
    this.marks = marks.map((mark) => ({ ...mark, x: placeOnAxis(data.x, mark.row), y: placeOnAxis(data.y, mark.row) }))
      .filter((mark) => mark.x !== null && mark.y !== null);
    if (this.cell && (this.cell.x >= data.x.values.length || this.cell.y >= data.y.values.length)) this.cell = null;
    this.draw();
    this.handlers.onMove(this.cell);
  }

  find(event) {
    const { left, top } = this.box.getBoundingClientRect();
    return this.layout?.cellAt(event.clientX - left, event.clientY - top) ?? null;
  }

  move(cell) {
    if (!this.data || (cell?.x === this.cell?.x && cell?.y === this.cell?.y)) return;
    this.cell = cell;
    this.box.classList.toggle("is-over", cell !== null);
    this.draw();
    this.handlers.onMove(cell);
  }

  open(cell) {
    if (cell && this.data.index[cell.y][cell.x] !== null) this.handlers.onOpen(cell);
  }

  onClick(event) {
    const cell = this.find(event);
    // A finger cannot hover: its first tap reads the cell, a second one opens it.
    const isRead = event.pointerType !== "touch" || (cell?.x === this.tapped?.x && cell?.y === this.tapped?.y);
    this.tapped = cell;
    if (isRead) this.open(cell);
    else this.move(cell);
  }

  onKey(event) {
    if (!this.data) return;
    const step = STEPS[event.key];
    if (step) {
      const reach = event.shiftKey ? 10 : 1;
      const limit = (value, count) => Math.min(Math.max(value, 0), count - 1);
      const from = this.cell || this.home;
      this.move(this.cell ? { x: limit(from.x + step[0] * reach, this.data.x.values.length),
        y: limit(from.y + step[1] * reach, this.data.y.values.length) } : from);
    } else if (event.key === "Enter" && this.cell) this.open(this.cell);
    else return;
    event.preventDefault();
  }

  /** Where arrows start: at the raw best if it is in the picture. */
  get home() {
    const [mark] = this.marks;
    return mark ? { x: mark.x, y: mark.y } : { x: 0, y: 0 };
  }

  draw() {
    const { width, height } = this.box.getBoundingClientRect();
    if (!this.data || width < 120 || height < 100) return;
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const ctx = this.canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.font = FONT;
    ctx.fillStyle = COLORS.ground;
    ctx.fillRect(0, 0, width, height);
    const { x, y } = this.data;
    const labelWidth = Math.max(...y.values.map((value) => ctx.measureText(rowLabel(value)).width), LEAST_LABEL);
    this.layout = layoutHeatmap(width, height, x.values.length, y.values.length, labelWidth);
    this.scale = colorScale(this.data.metric, this.data.min, this.data.max);
    this.drawCells(ctx);
    this.drawAxes(ctx, height);
    if (this.scale) this.drawLegend(ctx);
    for (const mark of this.marks) (mark.kind === "plateau" ? drawFrame : drawTarget)(ctx, this.layout, mark,
      this.data);
    this.drawLabels(ctx);
    if (this.cell) outline(ctx, this.layout, this.cell, COLORS.text, 2);
  }

  drawCells(ctx) {
    const { cell, place } = this.layout;
    const gap = Math.min(cell.width, cell.height) >= SMALLEST_WITH_GAP ? 1 : 0;
    const hasDash = Math.min(cell.width, cell.height) >= SMALLEST_WITH_DASH;
    this.data.values.forEach((row, y) => row.forEach((value, x) => {
      const { left, top } = place(x, y);
      if (value !== null) {
        ctx.fillStyle = this.scale.colorAt(this.scale.share(value));
        // Whole pixels, so that neighbours neither overlap nor leave a seam.
        const [x0, y0, x1, y1] = [left, top, left + cell.width, top + cell.height].map(Math.round);
        ctx.fillRect(x0, y0, x1 - x0 - gap, y1 - y0 - gap);
      } else if (this.data.n_failed?.[y][x]) this.drawFailed(ctx, left, top, gap);
      else if (hasDash) this.drawUndefined(ctx, left, top, this.data.n_combinations[y][x] > 0);
    }));
  }

  /** A cross-hatch: computing it failed. Seams would cut the lines of neighbours. */
  drawFailed(ctx, left, top, gap) {
    const { cell } = this.layout;
    const [x0, y0, x1, y1] = [left, top, left + cell.width - gap, top + cell.height - gap].map(Math.round);
    ctx.lineWidth = 1;
    ctx.strokeStyle = COLORS.second;
    ctx.beginPath();
    for (const [from, to] of [[y0, y1], [y1, y0]]) {
      ctx.moveTo(x0, from);
      ctx.lineTo(x1, to);
    }
    ctx.stroke();
  }

  /** A dash: too few trades; a dot: nothing is known yet; neither: a constraint leaves it out. */
  drawUndefined(ctx, left, top, hasCombinations) {
    if (!hasCombinations && !this.isPartial) return;
    const { cell } = this.layout;
    const [width, height] = hasCombinations ? [Math.min(cell.width / 2, 8), 1] : [2, 2];
    ctx.fillStyle = COLORS.control;
    ctx.fillRect(left + (cell.width - width) / 2, top + (cell.height - height) / 2, width, height);
  }

  drawAxes(ctx, height) {
    const { plot, cell, xTicks, yTicks, place } = this.layout;
    ctx.fillStyle = COLORS.second;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    for (const y of yTicks) ctx.fillText(rowLabel(this.data.y.values[y]), plot.left - 6,
      place(0, y).top + cell.height / 2);
    ctx.textAlign = "center";
    for (const x of xTicks) {
      ctx.fillText(formatLevel(this.data.x.values[x]).slice(0, this.data.x.ordered ? 7 : LONGEST_LABEL), plot.left + (x + 0.5) * cell.width,
        plot.top + plot.height + 11);
    }
    ctx.fillText(this.data.x.name, plot.left + plot.width / 2, height - 9);
    ctx.save();
    ctx.translate(9, plot.top + plot.height / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(this.data.y.name, 0, 0);
    ctx.restore();
  }

  drawLegend(ctx) {
    const { left, top, width, height } = this.layout.legend;
    for (let row = 0; row < height; row += 1) {
      ctx.fillStyle = this.scale.colorAt(1 - row / height);
      ctx.fillRect(left, top + row, width, 1);
    }
    ctx.textAlign = "left";
    ctx.fillStyle = COLORS.second;
    for (const tick of this.scale.ticks) {
      const y = top + height * (1 - this.scale.share(tick));
      ctx.fillText(formatLevelOf(this.data.metric, tick), left + width + 6, y);
    }
  }

  /** Names of the marks beside them, where they cover neither a mark nor one another. */
  drawLabels(ctx) {
    const taken = this.marks.map((mark) => this.boxOf(mark));
    this.marks.forEach((mark, idx) => {
      const width = ctx.measureText(mark.text).width + 8;
      const box = placeLabel(taken[idx], width, this.layout.plot, taken);
      taken.push(box);
      ctx.fillStyle = CASING;
      ctx.fillRect(box.x, box.y, box.width, box.height);
      ctx.fillStyle = mark.kind === "plateau" ? COLORS.amber : COLORS.text;
      ctx.textAlign = "left";
      ctx.fillText(mark.text, box.x + 4, box.y + LABEL_HEIGHT / 2);
    });
  }

  /** What a mark covers. A frame reaches over the neighbours, which only levels have. */
  boxOf(mark) {
    const { cell, place } = this.layout;
    const { left, top } = place(mark.x, mark.y);
    const reach = (axis, size) => Math.max((mark.kind === "plateau" && axis.ordered ? 1.5 : 0.5) * size, MARK_RADIUS);
    const [across, up] = [reach(this.data.x, cell.width), reach(this.data.y, cell.height)];
    return { x: left + cell.width / 2 - across, y: top + cell.height / 2 - up, width: 2 * across, height: 2 * up };
  }
}

/**
 * The first free place for a label around a mark: to its right, its left, under it, above it.
 * @param {{x: number, y: number, width: number, height: number}} mark @param {number} width of the label
 * @param {{left: number, top: number, width: number, height: number}} plot that it must not leave
 * @param {Object[]} taken boxes that it must not cover
 */
export function placeLabel(mark, width, plot, taken) {
  const middle = mark.y + mark.height / 2 - LABEL_HEIGHT / 2;
  const [right, left] = [mark.x + mark.width + LABEL_GAP, mark.x - width - LABEL_GAP];
  const [under, above] = [mark.y + mark.height + LABEL_GAP, mark.y - LABEL_HEIGHT - LABEL_GAP];
  const within = (x) => Math.min(Math.max(x, plot.left), plot.left + plot.width - width);
  const places = [[right, middle], [left, middle], ...[0, 1, 2, 3].flatMap((row) => {
    const [low, high] = [under + row * (LABEL_HEIGHT + 1), above - row * (LABEL_HEIGHT + 1)];
    return [[within(mark.x), low], [within(mark.x), high], [within(left), low], [within(left), high]];
  })];
  const boxes = places.map(([x, y]) => ({ x, y, width, height: LABEL_HEIGHT }));
  const isInside = (box) => box.x >= plot.left && box.x + width <= plot.left + plot.width && box.y >= plot.top
    && box.y + LABEL_HEIGHT <= plot.top + plot.height;
  const touches = (box) => taken.some((other) => box.x < other.x + other.width && other.x < box.x + width
    && box.y < other.y + other.height && other.y < box.y + LABEL_HEIGHT);
  return boxes.find((box) => isInside(box) && !touches(box)) || boxes.find(isInside) || boxes[0];
}

function rowLabel(value) {
  return formatLevel(value).slice(0, LONGEST_LABEL);
}

function outline(ctx, layout, { x, y }, color, width) {
  const { left, top } = layout.place(x, y);
  stroke(ctx, left - 1, top - 1, layout.cell.width + 1, layout.cell.height + 1, color, width);
}

function stroke(ctx, left, top, width, height, color, lineWidth) {
  ctx.lineWidth = lineWidth + 2;
  ctx.strokeStyle = CASING;
  ctx.strokeRect(left, top, width, height);
  ctx.lineWidth = lineWidth;
  ctx.strokeStyle = color;
  ctx.strokeRect(left, top, width, height);
}

/** The plateau: a frame over the cell and its neighbours. */
function drawFrame(ctx, layout, mark, data) {
  // Names have no neighbours.
  const span = (axis, at) => (axis.ordered ? [Math.max(at - 1, 0), Math.min(at + 1, axis.values.length - 1)] : [at, at]);
  const [x0, x1] = span(data.x, mark.x);
  const [y0, y1] = span(data.y, mark.y);
  const { left, top } = layout.place(x0, y1);
  stroke(ctx, left, top, (x1 - x0 + 1) * layout.cell.width, (y1 - y0 + 1) * layout.cell.height, COLORS.amber, 2);
}

/** The raw best: a ring with a dark casing. */
function drawTarget(ctx, layout, mark) {
  const { left, top } = layout.place(mark.x, mark.y);
  const [x, y] = [left + layout.cell.width / 2, top + layout.cell.height / 2];
  for (const [color, width, radius] of [[CASING, 6, 6], [COLORS.text, 2, 6], [COLORS.text, 4, 1]]) {
    ctx.lineWidth = width;
    ctx.strokeStyle = color;
    ctx.beginPath();
    ctx.arc(x, y, radius, 0, 2 * Math.PI);
    ctx.stroke();
  }
}
