/** What is drawn over and under the lines: held bars, entries and exits, candles, value tags. */

import { formatNarrow } from "../lib/format.js";
import { AXIS_WIDTH, COLORS, FONT } from "./theme.js";
import { lowerBound } from "./time_axis.js";

const CANDLE_PIXELS = 2.6;
const MARK_GAP = 3;
// Fewer pixels a trade than this, and marks shrink to specks.
const CROWDED_PIXELS = 9;
const TAG_HEIGHT = 15;
const TAG_PADDING = 8;
const LABEL_HEIGHT = 13;

const exitBars = new WeakMap();

/** Position of the first trade that is not over before `bar`. @param {Object[]} trades in order @param {number} bar */
export function findTrade(trades, bar) {
  let exits = exitBars.get(trades);
  // Listed once: every frame of a zoom asks.
  if (exits?.length !== trades.length) {
    exits = trades.map((trade) => trade.exit_idx);
    exitBars.set(trades, exits);
  }
  return lowerBound(exits, bar);
}

/** Trades that touch the visible bars, in order of entry, as far as they are loaded. */
function visibleTrades(u, marks) {
  const { min, max } = u.scales.x;
  const { trades, isThinned } = marks.at(min, max);
  let first = findTrade(trades, min);
  const found = [];
  for (; first < trades.length && trades[first].entry_idx <= max; first += 1) found.push(trades[first]);
  return { shown: found, isThinned };
}

/** Shade the bars in which a position was held. @param {import("../run/trade_data.js").TradeMarks} marks */
export function shadeHeld(marks) {
  return (u) => {
    const { left, top, width, height } = u.bbox;
    const { shown, isThinned } = visibleTrades(u, marks);
    // So many trades that the shading would be one even tint.
    if (isThinned || shown.length > width / devicePixelRatio / 3) return;
    u.ctx.save();
    let drawnTo = left;
    for (const trade of shown) {
      const from = Math.max(u.valToPos(trade.entry_idx, "x", true), drawnTo);
      const to = Math.min(Math.max(u.valToPos(trade.exit_idx, "x", true), from + 1), left + width);
      if (to <= from) continue;
      u.ctx.fillStyle = trade.direction === "long" ? COLORS.held : COLORS.heldShort;
      u.ctx.fillRect(from, top, to - from, height);
      drawnTo = to;
    }
    u.ctx.restore();
  };
}

/**
 * Mark entries (hollow) and exits (filled in the colour of the result).
 * @param {import("../run/trade_data.js").TradeMarks} marks @param {() => Object|null} selected trade drawn brighter
 */
export function markTrades(marks, selected = () => null) {
  return (u) => {
    const { shown, isThinned } = visibleTrades(u, marks);
    const isCrowded = isThinned || shown.length > u.bbox.width / devicePixelRatio / CROWDED_PIXELS;
    const size = (isCrowded ? 2.2 : 4.5) * devicePixelRatio;
    const { ctx } = u;
    ctx.save();
    clipToPlot(u);
    ctx.lineWidth = 1.2 * devicePixelRatio;
    // The scale is linear, and tens of thousands of trades may be in sight.
    const { min, max } = u.scales.x;
    const perBar = u.bbox.width / (max - min);
    const xOf = (bar) => u.bbox.left + (bar - min) * perBar;
    let lastEntry = -Infinity;
    let lastExit = -Infinity;
    for (const trade of shown) {
      const isLong = trade.direction === "long";
      const entryX = xOf(trade.entry_idx);
      const exitX = xOf(trade.exit_idx);
      const isChosen = selected() === trade;
      // The two fills of a reversal are in one bar and on one side: a short's marks stand further out.
      const offset = size * (isLong ? 2.6 : 4.8);
      if (entryX - lastEntry >= MARK_GAP || isChosen) {
        const y = u.valToPos(trade.entry_price, "y", true);
        triangle(ctx, entryX, isLong ? y + offset : y - offset, size, isLong ? -1 : 1);
        ctx.strokeStyle = isChosen ? COLORS.amber : COLORS.text;
        ctx.fillStyle = COLORS.ground;
        ctx.fill();
        ctx.stroke();
        lastEntry = entryX;
      }
      if (trade.exit_reason !== "open" && (exitX - lastExit >= MARK_GAP || isChosen)) {
        const y = u.valToPos(trade.exit_price, "y", true);
        triangle(ctx, exitX, isLong ? y - offset : y + offset, size, isLong ? 1 : -1);
        ctx.fillStyle = trade.pnl > 0 ? COLORS.gain : trade.pnl < 0 ? COLORS.loss : COLORS.second;
        ctx.fill();
        lastExit = exitX;
      }
    }
    ctx.restore();
  };
}

function triangle(ctx, x, y, size, direction) {
  ctx.beginPath();
  ctx.moveTo(x - size, y - direction * size * 0.8);
  ctx.lineTo(x + size, y - direction * size * 0.8);
  ctx.lineTo(x, y + direction * size * 0.9);
  ctx.closePath();
}

function clipToPlot(u) {
  const { left, top, width, height } = u.bbox;
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
}

/** True where every visible bar is loaded and few enough to draw one by one. */
export function canDrawCandles(u) {
  const { min, max } = u.scales.x;
  if (max - min > u.bbox.width / devicePixelRatio / CANDLE_PIXELS) return false;
  const idx = u.data[0];
  const first = lowerBound(idx, min);
  const last = Math.min(lowerBound(idx, max), idx.length - 1);
  return last > first && idx[last] - idx[first] === last - first;
}

/** Draw candles, hollow where the close is above the open; series 1 to 4 are open, high, low, close. */
export function drawCandles(u) {
  if (!canDrawCandles(u)) return;
  const [idx, open, high, low, close] = u.data;
  const { min, max } = u.scales.x;
  const step = u.bbox.width / (max - min);
  const half = Math.max(Math.floor(step * 0.34), 1);
  const { ctx } = u;
  ctx.save();
  clipToPlot(u);
  ctx.lineWidth = Math.max(1, Math.round(devicePixelRatio));
  for (let i = lowerBound(idx, min); i < idx.length && idx[i] <= max; i += 1) {
    const x = Math.round(u.valToPos(idx[i], "x", true)) + (ctx.lineWidth % 2) / 2;
    const [yOpen, yHigh, yLow, yClose] = [open, high, low, close]
      .map((column) => Math.round(u.valToPos(column[i], "y", true)));
    const isUp = close[i] >= open[i];
    ctx.strokeStyle = isUp ? COLORS.text : COLORS.second;
    ctx.fillStyle = isUp ? COLORS.ground : COLORS.second;
    ctx.beginPath();
    ctx.moveTo(x, yHigh);
    ctx.lineTo(x, yLow);
    ctx.stroke();
    const top = Math.min(yOpen, yClose);
    ctx.fillRect(x - half, top, half * 2, Math.max(Math.abs(yOpen - yClose), 1));
    ctx.strokeRect(x - half, top, half * 2, Math.max(Math.abs(yOpen - yClose), 1));
  }
  ctx.restore();
}

/**
 * Draw levels as dotted lines with a name.
 * @param {() => Array<{value: number, label: string, color: string}>} levels
 */
export function drawLevels(levels) {
  return (u) => {
    const ratio = devicePixelRatio;
    const { left, top, width, height } = u.bbox;
    const { ctx } = u;
    ctx.save();
    ctx.font = scaleFont(ratio);
    ctx.textAlign = "right";
    for (const { value, label, color } of levels()) {
      const y = u.valToPos(value, "y", true);
      if (y < top || y > top + height) continue;
      ctx.strokeStyle = color;
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
      ctx.fillStyle = color;
      const isHigh = y - top < LABEL_HEIGHT * ratio; // no room above the line
      ctx.textBaseline = isHigh ? "top" : "bottom";
      ctx.fillText(label, left + width - 6 * ratio, y + (isHigh ? 3 : -2) * ratio);
    }
    ctx.restore();
  };
}

/**
 * Tags for the last visible value of each line.
 * @param {uPlot} u @param {Array<{series: number, color: string, mark?: string}>} lines
 * @returns {Array<{value: number, color: string, mark?: string}>}
 */
export function lastValues(u, lines) {
  const idx = u.data[0];
  const last = Math.min(lowerBound(idx, u.scales.x.max + 1e-9), idx.length) - 1;
  if (last < 0) return [];
  return lines.map(({ series, color, mark }) => ({ value: u.data[series][last], color, mark }));
}

/**
 * Place tags on the value axis, moved apart where they meet.
 * @param {uPlot} u @param {Array<{value: number|null, color: string}>} tags
 * @returns {Array<{value: number, color: string, y: number}>} y in CSS pixels from the top of the plot
 */
export function placeTags(u, tags) {
  const room = u.bbox.height / devicePixelRatio;
  const placed = tags
    .filter(({ value }) => value !== null && value !== undefined)
    .map((tag) => ({ ...tag, y: u.valToPos(tag.value, "y") }))
    .filter(({ y }) => y > -1 && y < room + 1)
    .sort((one, other) => one.y - other.y);
  for (let i = 0; i < placed.length; i += 1) {
    const least = i === 0 ? TAG_HEIGHT / 2 : placed[i - 1].y + TAG_HEIGHT + 1;
    placed[i].y = Math.max(placed[i].y, least);
  }
  // Those that were moved below the plot push the others up.
  let most = room - TAG_HEIGHT / 2;
  for (const tag of placed.toReversed()) {
    tag.y = Math.min(tag.y, most);
    most = tag.y - TAG_HEIGHT - 1;
  }
  return placed;
}

/** Draw placed tags. @param {uPlot} u @param {Object[]} tags @param {(value: number) => string} format */
export function drawTags(u, tags, format) {
  const ratio = devicePixelRatio;
  const { ctx } = u;
  const height = TAG_HEIGHT * ratio;
  const x = u.bbox.left + u.bbox.width + 3 * ratio;
  ctx.save();
  ctx.font = scaleFont(ratio);
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.lineWidth = ratio;
  // The last line may have been a dashed one.
  ctx.setLineDash([]);
  const widest = (AXIS_WIDTH - 3 - TAG_PADDING) * ratio;
  for (const { value, color, mark, y } of tags) {
    const label = ctx.measureText(format(value)).width > widest ? formatNarrow(value) : format(value);
    const text = mark ? `${mark} ${label}` : label;
    const top = u.bbox.top + y * ratio - height / 2;
    const width = Math.max(ctx.measureText(text).width + TAG_PADDING * ratio, 58 * ratio);
    ctx.fillStyle = COLORS.ground;
    ctx.fillRect(x, top, width, height);
    ctx.strokeStyle = color;
    ctx.strokeRect(x + 0.5, top + 0.5, width - 1, height - 1);
    ctx.fillStyle = color;
    ctx.fillText(text, x + (TAG_PADDING / 2) * ratio, top + height / 2 + ratio * 0.5);
  }
  ctx.restore();
}

/** The canvas font in device pixels. @param {number} ratio */
export function scaleFont(ratio) {
  return FONT.replace("11px", `${11 * ratio}px`);
}
