/** Progress of a sweep: one square per chunk, counts, rate, time left, and the buttons that steer it. */

import { COLORS } from "../charts/theme.js";
import { $, announce, fill, h } from "../lib/dom.js";
import { formatCount, formatPercent, formatShort, sentence } from "../lib/format.js";
import { formatDuration } from "./estimate.js";
import { isTerminal } from "./session.js";

const MOST_SQUARES = 400;
const SQUARE = { height: 14, gap: 2, most: 12 };
// What a square shows of the chunks it stands for: trouble first, then work.
const URGENCY = "frqcd";
let lastSpoken = "";

/**
 * Squares for chunks; above `MOST_SQUARES` each stands for several.
 * @param {string} states one letter per chunk @returns {{letters: string[], size: number}}
 */
export function groupChunks(states) {
  const size = Math.ceil(states.length / MOST_SQUARES);
  const letters = [];
  for (let at = 0; at < states.length; at += size) {
    const part = states.slice(at, at + size);
    letters.push([...URGENCY].find((letter) => part.includes(letter)) || "q");
  }
  return { letters, size };
}

/** @param {Object} sweep @param {string} states */
function drawChunks(canvas, sweep, states) {
  const { width } = canvas.parentElement.getBoundingClientRect();
  const { letters } = groupChunks(states || "q");
  const ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = SQUARE.height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${SQUARE.height}px`;
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  const pitch = Math.min(width / letters.length, SQUARE.most + SQUARE.gap);
  const gap = pitch > 5 ? SQUARE.gap : pitch > 2.5 ? 1 : 0;
  letters.forEach((letter, idx) => drawSquare(ctx, letter, idx * pitch, Math.max(pitch - gap, 1)));
}

function drawSquare(ctx, letter, left, width) {
  const { height } = SQUARE;
  if (letter === "d" || letter === "r") {
    ctx.fillStyle = letter === "d" ? COLORS.bench : COLORS.amber;
    ctx.fillRect(left, 0, width, height);
    return;
  }
  ctx.strokeStyle = letter === "f" ? COLORS.text : COLORS.control;
  ctx.lineWidth = letter === "f" ? 1.4 : 1;
  ctx.strokeRect(left + 0.5, 0.5, Math.max(width - 1, 0.5), height - 1);
  if (letter !== "f" && letter !== "c") return;
  ctx.beginPath();
  ctx.moveTo(left + 1, height - 1);
  ctx.lineTo(left + width - 1, 1);
  if (letter === "f") {
    ctx.moveTo(left + 1, 1);
    ctx.lineTo(left + width - 1, height - 1);
  }
  ctx.stroke();
}

/** The bar of a sweep. */
export class SweepStatus {
  /** @param {HTMLElement} root @param {(action: "pause"|"resume"|"cancel"|"retry") => void} onSteer */
  constructor(root, onSteer) {
    this.root = root;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.line = h("div", { class: "progress-line" });
    this.buttons = Object.fromEntries([["pause", "Pause", "p"], ["resume", "Resume", "p"], ["cancel", "Cancel", "c"],
      ["retry", "Retry", "r"]]
      .map(([action, text, key]) => [action, h("button",
        { type: "button", id: `${action}-sweep`, class: "btn", hidden: true,
        on: { click: () => onSteer(action) } }, h("span", { text }), " ",
          h("kbd", { text: key, "aria-hidden": "true" }))]));
    fill(root, h("div", { class: "chunk-bar" }, this.canvas),
      h("div", { class: "progress-row" }, this.line, h("div", { class: "button-row" }, Object.values(this.buttons))));
    new ResizeObserver(() => this.sweep && drawChunks(this.canvas, this.sweep, this.states)).observe(root);
  }

  /** @param {Object} sweep @param {string} states */
  show(sweep, states) {
    this.sweep = sweep;
    this.states = states;
    this.root.hidden = false;
    drawChunks(this.canvas, sweep, states);
    const { chunks } = sweep;
    const isLive = !isTerminal(sweep.state);
    const total = sweep.n_combinations;
    const share = total ? sweep.n_done / total : sweep.progress;
    const { size } = groupChunks(states || "q");
    // Over all of it once it has ended, pauses included.
    const rate = isLive ? sweep.rate : sweep.seconds > 0 && sweep.n_done / sweep.seconds;
    const item = (...content) => h("span", {}, content);
    const count = (letter, word, value) => value > 0
      && item(h("span", { class: `chunk-key is-${letter}`, "aria-hidden": "true" }),
      h("span", { class: "second", text: `${word} ` }), formatCount(value));
    fill(this.line,
      h("span", { class: `word-state is-${sweep.state}`, id: "sweep-state", text: describeState(sweep) }),
      count("d", "done", chunks.done), count("r", "running", chunks.running), count("q", "queued", chunks.queued),
      count("f", "failed", chunks.failed), size > 1
        && item(h("span", { class: "hint", text: `a square is ${size} chunks`,
          data: { tip: "It shows the state that needs you most: failed, then running, queued, cancelled; done if all of its chunks are." } })),
      item(h("b", { text: formatPercent(share, share < 1 && share > 0.999 ? 2 : 1) })),
      item(h("span", { id: "n-done", text: formatCount(sweep.n_done) }),
        h("span", { class: "second", text: ` of ${formatCount(total)}` })),
      sweep.n_failed > 0 && item(h("span", { class: "second", text: "no result " }), formatCount(sweep.n_failed)),
      rate > 0 && item(h("i", { text: "RATE " }), `${rate >= 1e6 ? formatShort(rate) : formatCount(rate)}/s`),
      item(h("i", { text: "TIME " }), formatDuration(sweep.seconds)),
      isLive && sweep.state !== "paused" && item(h("i", { text: "ETA " }), formatDuration(sweep.eta_seconds)));
    const shown = { pause: isLive && sweep.state !== "paused", resume: sweep.state === "paused", cancel: isLive,
      retry: chunks.failed > 0 && sweep.state !== "cancelled" };
    for (const [action, button] of Object.entries(this.buttons)) button.hidden = !shown[action];
    $("span", this.buttons.retry).textContent = `Retry ${formatCount(chunks.failed)}`;
    this.buttons.retry.classList.toggle("is-hot", shown.retry);
    this.speak(sweep, share);
  }

  speak(sweep, share) {
    const text = `${describeState(sweep)}${isTerminal(sweep.state) ? "" : `, ${Math.floor(share * 4) * 25} percent`}`;
    if (text !== lastSpoken) announce(`sweep ${text}`);
    lastSpoken = text;
  }

  /** Press a button by its key; does nothing where the button is not there. @param {string} action */
  press(action) {
    if (!this.buttons[action].hidden) this.buttons[action].click();
  }
}

function describeState({ state, stage, queue_position: position }) {
  if (state === "succeeded") return "done";
  if (state === "running" && stage && stage !== "running") return stage;
  if (state === "queued" && stage) return `queued, ${stage}`; // what an executor waits for
  return state === "queued" && position > 1 ? `queued, ${position - 1} before it` : state;
}

/**
 * What stands in the place of results, or above them; null where results speak for themselves.
 * @param {Object} sweep @returns {{word?: string, title: string, remedy?: string}|null}
 */
export function describePanel({ state, chunks, error }) {
  if (state === "failed") return { word: "FAILED", title: error?.message ? sentence(error.message) : "Some chunks failed.",
    remedy: error?.remedy ? sentence(error.remedy) : "Retry the failed chunks; what is done stays and is shown below." };
  if (chunks.done > 0) return null;
  if (state === "cancelled") return { title: "Cancelled before anything was computed",
    remedy: "The form holds its inputs: Sweep starts it anew." };
  if (state === "paused") return { title: "Paused before anything was computed", remedy: "Resume goes on with it." };
  if (state === "queued") return { title: "Queued", remedy: "A worker takes it as soon as one is free." };
  return state === "running" ? { title: "Computing the first chunk",
    remedy: "It measures how fast this goes; the others are cut to that." } : null;
}
