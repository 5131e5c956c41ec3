/** The verdict on the winner: one word, the probabilities behind it, what speaks for and against, one advice. */

import { fill, h } from "../lib/dom.js";
import { DASH, formatCount, formatNumber, formatPercent } from "../lib/format.js";
import { formatMetric, metricDefinition } from "../lib/metrics.js";
import { roveTerms, term } from "../lib/tooltip.js";
import { isTerminal } from "./session.js";

// Word, and which of the three lamps is lit.
const WORDS = {
  likely_luck: ["LIKELY LUCK", 0], unproven: ["UNPROVEN", 1], likely_real: ["LIKELY REAL", 2], unknown: ["NO VERDICT", null],
};
// While a sweep goes on it is asked again once so much more is done.
const GROWTH = 2;
const SCALE = { width: 104, height: 16 };

const probability = (value) => formatNumber(value, 3);
// Texts come with a plain minus.
const typeset = (text) => text.replace(/(^|[\s(])-(?=\d)/g, "$1−").replace(/(\d)-(?=\d)/g, "$1–");

/** A number of trials as short as a heading needs it. @param {number} n */
function shortCount(n) {
  if (n < 10_000) return formatCount(n);
  return n < 1e6 ? `${formatCount(n / 1e3)}k` : `${formatNumber(n / 1e6, 1)}M`;
}

/**
 * Rows of the table: a name with its definition, a figure of the raw best and of the plateau, where both lie between
 * 0 and 1, and in words how to read it.
 * @param {Object} verdict
 * @returns {Array<{name: string, label: string, tip: string, best: number|null, plateau: number|null,
 *   limit: number|null, band: number[]|null, note: string}>}
 */
export function buildRows({ best, plateau, trials, pbo, thresholds }) {
  const limit = thresholds.dsr_real;
  const read = (value) => (value === null ? "not defined" : value >= limit ? `above ${limit}` : `below ${limit}`);
  const pair = (name, label, tip, note) => ({ name, label, tip, best: best[name], plateau: plateau?.[name] ?? null,
    limit, band: null, note: note ?? read(best[name]) });
  const hasBand = pbo.null_low !== null;
  const place = pbo.value === null ? "not defined" : !hasBand ? "" : pbo.value < pbo.null_low ? "below null"
    : pbo.value > pbo.null_high ? "above null" : "as by chance";
  return [
    pair("psr", "PSR(0)", `${metricDefinition("psr")} It knows nothing of the other combinations tried.`),
    pair("dsr_effective", `DSR, N eff ${shortCount(trials.n_effective)}`,
      `Deflated Sharpe ratio: probability that the true Sharpe is above ${formatNumber(trials.luck_sharpe_effective)}, which the best of ${formatCount(trials.n_effective)} worthless independent tries has on average. So many do ${formatCount(trials.n_raw)} combinations amount to, by the correlation of their returns: ${formatCount(trials.n_clusters)} clusters among ${formatCount(trials.n_sampled)} sampled ones, and an estimate of those not met. With the sample variance of the textbook: ${probability(best.dsr_textbook)}.`),
    pair("dsr_raw", `DSR, N raw ${shortCount(trials.n_raw)}`,
      `The same as if all ${formatCount(trials.n_raw)} combinations that compete were independent, so that luck has a Sharpe of ${formatNumber(trials.luck_sharpe_raw)}: the worst case.`,
      best.dsr_raw !== null && best.dsr_raw >= limit ? undefined : "worst case"),
    { name: "pbo", label: `PBO, ${pbo.n_blocks} blocks`, best: pbo.value, plateau: null, limit: null,
      band: hasBand ? [pbo.null_low, pbo.null_high] : null, note: place,
      tip: `Probability of backtest overfitting: how often the combination that is best on one half of the bars is below the middle on the other half. ${formatCount(pbo.n_splits)} splits, ${formatCount(pbo.n_columns)} different combinations. ${hasBand ? `Without any merit it lies between ${formatNumber(pbo.null_low)} and ${formatNumber(pbo.null_high)} in 90 % of ${formatCount(pbo.n_draws)} draws.` : "Too few bars or combinations."}` },
  ];
}

/**
 * Figures on one line each, with their definitions.
 * @param {Object} verdict @returns {Array<{name: string, label: string, tip: string, text: string}>}
 */
export function buildFigures({ best, trials, pbo, data, objective }) {
  const near = best.score === null ? DASH : formatMetric(objective, best.score);
  return [
    { name: "near", label: "near", text: near,
      tip: `Median of the objective over the raw best and its ${formatCount(best.n_neighbours)} neighbours, one step along one parameter each: much less than its own ${formatMetric(objective, best.value)} makes it a spike.` },
    { name: "out_of_sample", label: "out of sample", text: formatNumber(pbo.out_of_sample),
      tip: `Median Sharpe on one half of the bars of what was best on the other half, where it had ${formatNumber(pbo.in_sample)}. It loses there in ${formatPercent(pbo.loss_share, 0)} of the splits.` },
    { name: "trades", label: "trades", text: formatCount(best.n_trades), tip: "Closed trades of the raw best. Below 30 each of them weighs much." },
    { name: "profitable", label: "profitable", text: formatPercent(trials.share_profitable, 0),
      tip: "Share of the combinations that compete with a total return above 0." },
    { name: "min_years", label: "min length", text: best.min_years_effective === null ? DASH : `${formatNumber(best.min_years_effective, 1)} y`,
      tip: `Minimum backtest length: in less than so many years the best of ${formatCount(trials.n_effective)} worthless tries has such a Sharpe on average. There are ${formatNumber(data.years, 1)} years.` },
    { name: "held", label: "B&H Sharpe", text: formatNumber(best.benchmark_sharpe), tip: "Sharpe of buy and hold on the same bars." },
  ];
}

/** Where figures lie between 0 and 1: hollow the raw best, filled the plateau; a tick is the limit, a bar chance. */
function drawScale({ best, plateau, limit, band }) {
  const { width, height } = SCALE;
  const [x, y] = [(value) => 4 + value * (width - 8), height / 2];
  const diamond = (value, className) => typeof value === "number" && h("svg:path", { class: className,
    d: `M${x(value)} ${y - 4}l4 4l-4 4l-4 -4z` });
  return h("svg:svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", class: "verdict-scale" },
    h("svg:line", { x1: x(0), x2: x(1), y1: y, y2: y }),
    band && h("svg:rect", { x: x(band[0]), width: Math.max(x(band[1]) - x(band[0]), 1), y: y - 4, height: 8 }),
    limit !== null && h("svg:line", { class: "limit", x1: x(limit), x2: x(limit), y1: y - 6, y2: y + 6 }),
    diamond(best, "is-best"), diamond(plateau, "is-plateau"));
}

/** @param {string} word of the verdict @returns {HTMLElement} three lamps; the word says the same */
function drawLamps(word) {
  return h("span", { class: "lamps", "aria-hidden": "true" }, [0, 1, 2].map((idx) =>
    h("span", { class: idx === WORDS[word][1] ? "is-lit" : "" })));
}

/** The verdict in its panel: asked for with the first results, now and then while they grow, and at the end. */
export class VerdictPanel {
  /** @param {HTMLElement} root @param {{ask: () => Promise<Object|null>, onChange: () => void}} handlers */
  constructor(root, handlers) {
    Object.assign(this, { root, handlers });
    roveTerms(root);
    this.clear();
  }

  clear() {
    Object.assign(this, { sweep: null, verdict: null, askedShare: 0, question: null, hasFailed: false });
  }

  /** Whether there are figures to look at. */
  get isKnown() {
    return this.verdict !== null && this.verdict.word !== "unknown";
  }

  /** Take a newer state of the sweep. @param {Object} sweep */
  bind(sweep) {
    this.sweep = sweep;
    this.draw();
  }

  /** Ask unless that was done not long ago: each answer takes a worker a second. */
  async load() {
    const { sweep } = this;
    const share = sweep.n_positions_done / sweep.n_positions;
    const isStill = isTerminal(sweep.state) || sweep.state === "paused";
    if (!isStill && (this.question || share < GROWTH * this.askedShare)) return;
    const question = Symbol("question");
    Object.assign(this, { askedShare: share, question });
    const answer = await this.handlers.ask();
    if (this.question !== question) return; // a newer one was asked, or another sweep is shown
    Object.assign(this, { question: null, hasFailed: !answer, verdict: answer ?? this.verdict });
    this.draw();
    this.handlers.onChange();
  }

  /** What is provisional about it, "" if nothing is. */
  get progress() {
    const { state, chunks } = this.sweep;
    if (state === "succeeded") return this.verdict?.complete === false ? "provisional, the last one comes" : "";
    return `provisional, ${formatCount(chunks.done)} of ${formatCount(chunks.total)} chunks`;
  }

  draw() {
    const { verdict } = this;
    const head = (...parts) => h("header", { class: "panel-head verdict-head" }, h("h2", { text: "Verdict" }), parts,
      h("span", { class: "push hint", text: this.progress }));
    if (!verdict) {
      const text = this.hasFailed ? "no worker could tell; load the page again" : "real or luck? A worker looks at it";
      fill(this.root, head(h("span", { class: "second", role: "status", text })));
      return;
    }
    fill(this.root,
      head(drawLamps(verdict.word), h("strong", { class: "verdict-word", role: "status", text: WORDS[verdict.word][0] })),
      this.isKnown && [drawTable(verdict), drawFigures(verdict)],
      h("ul", { class: "facts-list verdict-reasons", "aria-label": "Reasons" }, verdict.reasons.map(({ sign, text }) =>
        h("li", {}, h("span", { class: sign === "+" ? "text" : "amber", "aria-label": sign === "+" ? "for" : "against",
          text: sign === "+" ? "+" : "−" }), typeset(text)))),
      h("p", { class: "verdict-advice" }, h("span", { class: "amber", "aria-hidden": "true", text: "→ " }), verdict.advice));
  }
}

function drawTable(verdict) {
  const hidden = (text) => h("span", { class: "visually-hidden", text });
  return h("table", { class: "grid verdict-table" },
    h("caption", { class: "visually-hidden", text: "How likely the winner is no luck" }),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, hidden("Figure")),
      h("th", { scope: "col", class: "n", text: "Raw best" }), h("th", { scope: "col", class: "n", text: "Plateau" }),
      h("th", { scope: "col" }, h("div", { class: "verdict-key" }, h("span", { text: "0" }),
        h("span", { class: "text", text: "◇ raw ◆" }), h("span", { text: "1" }))),
      h("th", { scope: "col" }, hidden("Reading")))),
    h("tbody", {}, buildRows(verdict).map((row, idx) => h("tr", { data: { figure: row.name } },
      h("th", { scope: "row" }, term(row.label, row.tip, idx === 0)),
      h("td", { class: "n", text: probability(row.best) }),
      h("td", { class: "n", text: row.plateau === null ? "" : probability(row.plateau) }),
      h("td", {}, drawScale(row)), h("td", { class: "second", text: row.note })))));
}

function drawFigures(verdict) {
  return h("dl", { class: "verdict-figures" }, buildFigures(verdict).map(({ name, label, tip, text }) =>
    h("div", { data: { figure: name } }, h("dt", {}, term(label, tip, false)), h("dd", { text }))));
}
