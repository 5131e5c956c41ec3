/** Panes, or the table of statistics, as one PNG that says which result it shows. */

import { formatMetric, GROUPS, metricLabel } from "../lib/metrics.js";
import { DASH } from "../lib/format.js";
import { scaleFont } from "./overlays.js";
import { COLORS } from "./theme.js";

const HEAD = 24;
const FOOT = 22;
const PAD = 8;
const STATS = { columns: 3, width: 340, row: 18, run: 250, held: 332 };

/**
 * Draw panes under each other, with their headings.
 * @param {import("./pane.js").Pane[]} panes from top to bottom
 * @returns {HTMLCanvasElement}
 */
export function composePicture(panes) {
  const ratio = devicePixelRatio;
  const canvases = panes.map((pane) => pane.u.ctx.canvas);
  const [picture, ctx] = newPicture(Math.max(...canvases.map((canvas) => canvas.width)) + 2 * PAD * ratio,
    canvases.reduce((sum, canvas) => sum + canvas.height + HEAD * ratio, PAD * ratio));
  let top = 0;
  panes.forEach((pane, idx) => {
    const middle = top + (HEAD * ratio) / 2;
    const title = pane.spec.title.toUpperCase();
    write(ctx, title, PAD * ratio, middle, COLORS.amber);
    write(ctx, readoutText(pane), PAD * ratio + ctx.measureText(`${title}  `).width, middle, COLORS.second);
    ctx.drawImage(canvases[idx], PAD * ratio, top + HEAD * ratio);
    top += HEAD * ratio + canvases[idx].height;
  });
  return picture;
}

function readoutText(pane) {
  return [...pane.readout.children].map((node) => node.textContent).join("   ");
}

/** Draw all metrics beside buy and hold. @param {Object} summary @returns {HTMLCanvasElement} */
export function drawStats(summary) {
  const ratio = devicePixelRatio;
  const blocks = GROUPS.map(([title, names]) => [title, names.filter((name) => name in summary.metrics)]);
  const columns = Array.from({ length: STATS.columns }, () => []);
  // Each group goes where most room is left.
  const heightOf = (column) => column.reduce((sum, [, names]) => sum + names.length + 2, 0);
  for (const block of blocks) columns.reduce((a, b) => (heightOf(b) < heightOf(a) ? b : a)).push(block);
  const rows = Math.max(...columns.map(heightOf));
  const [picture, ctx] = newPicture((STATS.columns * (STATS.width + 2 * PAD)) * ratio,
    (rows * STATS.row + PAD) * ratio);
  columns.forEach((column, idx) => drawColumn(ctx, column, idx * (STATS.width + 2 * PAD) + PAD, summary, ratio));
  return picture;
}

function drawColumn(ctx, blocks, left, summary, ratio) {
  let row = 1;
  const line = (label, run, held, color) => {
    const y = row * STATS.row * ratio;
    write(ctx, label, left * ratio, y, color || COLORS.second);
    write(ctx, run, (left + STATS.run) * ratio, y, color || COLORS.text, "right");
    write(ctx, held, (left + STATS.held) * ratio, y, color || COLORS.bench, "right");
    row += 1;
  };
  for (const [title, names] of blocks) {
    line(title.toUpperCase(), "RUN", "B&H", COLORS.amber);
    for (const name of names) {
      const held = summary.benchmark[name];
      line(metricLabel(name), formatMetric(name, summary.metrics[name]),
        held === undefined ? DASH : formatMetric(name, held));
    }
    row += 1;
  }
}

/**
 * Write under a picture whose result it is.
 * @param {HTMLCanvasElement} drawn @param {{runId: string, summary: Object}} result
 * @returns {Promise<Blob>} PNG
 */
export function stampPicture(drawn, { runId, summary }) {
  const ratio = devicePixelRatio;
  const [picture, ctx] = newPicture(drawn.width, drawn.height + 2 * FOOT * ratio);
  ctx.drawImage(drawn, 0, 0);
  const lines = [
    `${summary.spec.dataset.symbol} ${summary.rule.title}   run ${runId}   definitions ${summary.definitions_version || "1"}`,
    `fingerprint ${summary.fingerprint}`,
  ];
  lines.forEach((text, idx) => write(ctx, text, PAD * ratio, drawn.height + (idx * 16 + FOOT / 2) * ratio, COLORS.hint));
  return new Promise((resolve) => { picture.toBlob(resolve, "image/png"); });
}

function newPicture(width, height) {
  const picture = document.createElement("canvas");
  Object.assign(picture, { width, height });
  const ctx = picture.getContext("2d");
  ctx.fillStyle = COLORS.ground;
  ctx.fillRect(0, 0, width, height);
  ctx.font = scaleFont(devicePixelRatio);
  ctx.textBaseline = "middle";
  return [picture, ctx];
}

function write(ctx, text, x, y, color, align = "left") {
  ctx.fillStyle = color;
  ctx.textAlign = align;
  ctx.fillText(text, x, y);
}
