/** The results of a sweep: heat map, luck, ranking, parallel coordinates, marginals, distribution, importance. */

import { readAddress, writeAddress } from "../lib/address.js";
import { ApiError } from "../lib/api.js";
import { $, fill, h } from "../lib/dom.js";
import { bindKeys } from "../lib/keys.js";
import { SIGNED_METRICS, formatMetric, metricLabel } from "../lib/metrics.js";
import { readDistribution, readImportance, readMarginals, readParallel } from "./answers.js";
import { axisNames } from "./axes.js";
import { findHeld } from "./held.js";
import { HeatPanel } from "./heat_panel.js";
import { showLuck } from "./luck.js";
import { Parallel } from "./parallel.js";
import { Ranking } from "./ranking.js";
import { askSweep, isTerminal, sweepPath } from "./session.js";
import { drawDistribution, drawImportance, marginalChart } from "./spread.js";
import { VerdictPanel } from "./verdict.js";

const TABS = ["ranking", "parallel", "marginals"];
// Of a chart of marginals; a single one takes the room of its panel.
const SMALL = { width: 300, height: 150 };
const LARGE = { width: 640, least: 300, most: 560, heading: 60 };

/** What stands under the progress bar. */
export class SweepResults {
  /** @param {{onOpen: (index: number) => void, onError: (error: Error) => void}} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    this.sweep = null;
    this.spread = null;
    this.held = null;
    this.asking = new Map();
    this.heat = new HeatPanel($("#heat-panel"),
      { ask: (query) => this.ask("heatmap", query), onQuery: (changes) => writeAddress(changes),
      onOpen: handlers.onOpen });
    this.ranking = new Ranking($("#panel-ranking"),
      { ask: (query, onBad) => this.ask("ranking", query, onBad), onOpen: (row) => handlers.onOpen(row.index),
      onQuery: ({ metric, order, filter, min_trades: trades, offset }) =>
        writeAddress({ sort: metric || order !== "best" ? `${metric || ""}:${order}` : null, filter, trades,
        offset: offset || null }) });
    this.parallel = new Parallel($("#panel-parallel"), { onOpen: (row) => handlers.onOpen(row.index),
      onBrush: (text) => writeAddress({ keep: text }), onRank: (filter) => this.rankOnly(filter) });
    this.verdict = new VerdictPanel($("#verdict-panel"),
      { ask: () => this.ask("verdict", {}), onChange: () => this.drawLuck() });
    this.installTabs();
    this.distribution = h("div", { class: "spread-plot", id: "distribution" });
    this.importance = h("div", { id: "importance" });
    fill($("#distribution-panel"), h("header", { class: "panel-head" }, h("h2", { text: "Distribution" }),
      h("span", { class: "second", id: "distribution-title" })),
      this.distribution, h("p", { class: "spread-note", id: "distribution-note" }));
    fill($("#importance-panel"), h("header", { class: "panel-head" }, h("h2", { text: "Importance" }),
      h("span", { class: "second", text: "share of variance" })), this.importance);
    new ResizeObserver(() => this.drawSpread()).observe(this.distribution);
  }

  installTabs() {
    const list = $("#detail-tabs");
    list.addEventListener("click", (event) => {
      const tab = event.target.closest("[role=tab]");
      if (tab) this.openTab(tab.dataset.tab);
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.openTab(TABS[(TABS.indexOf(this.tab) + step + TABS.length) % TABS.length]);
      $(`#tab-${this.tab}`).focus();
    });
    TABS.forEach((name, idx) => bindKeys([String(idx + 1)], () => this.sweep && this.openTab(name)));
  }

  openTab(name, { isQuiet = false } = {}) {
    this.tab = TABS.includes(name) ? name : TABS[0];
    for (const each of TABS) {
      $(`#tab-${each}`).setAttribute("aria-selected", String(each === this.tab));
      $(`#tab-${each}`).tabIndex = each === this.tab ? 0 : -1;
      $(`#panel-${each}`).hidden = each !== this.tab;
    }
    if (!isQuiet) {
      writeAddress({ show: this.tab });
      this.loadTab();
    }
  }

  /** Show the ranking of what a condition leaves. @param {string} filter */
  rankOnly(filter) {
    this.openTab("ranking", { isQuiet: true });
    writeAddress({ show: "ranking" });
    this.ranking.narrow(filter);
    $("#tab-ranking").focus();
  }

  /** Ask for a result; a newer question of the same name ends the one before. Errors are told, then null. */
  ask(kind, query, onBad) {
    return this.attempt(kind, (signal) => askSweep(this.sweep.sweep_id, kind, query, signal), onBad);
  }

  async attempt(kind, action, onBad) {
    this.asking.get(kind)?.abort();
    const controller = new AbortController();
    this.asking.set(kind, controller);
    try {
      return await action(controller.signal);
    } catch (error) {
      if (error.name === "AbortError") return null;
      if (error instanceof ApiError && error.status === 422 && onBad) onBad(error.errors[0]?.message || error.message);
      else if (error instanceof ApiError && error.status === 422) return null;
      else this.handlers.onError(error);
      return null;
    } finally {
      if (this.asking.get(kind) === controller) this.asking.delete(kind);
    }
  }

  clear() {
    for (const controller of this.asking.values()) controller.abort();
    this.sweep = null;
    this.spread = null;
    this.held = null;
    this.verdict.clear();
    $("#sweep-results").hidden = true;
  }

  /** Show results for the first time. @param {Object} sweep */
  start(sweep) {
    const address = readAddress();
    this.heat.restore(address);
    this.ranking.restore(address);
    this.parallel.restore(address.keep || "");
    $("#sweep-results").hidden = false;
    // One parameter has no plane: its own curve stands first.
    this.openTab(address.show || (sweep.axes.length === 1 ? "marginals" : TABS[0]), { isQuiet: true });
    this.update(sweep);
  }

  /** Load everything in sight again. @param {Object} sweep */
  update(sweep) {
    this.bind(sweep);
    const hasPlane = axisNames(sweep).length > 1;
    $("#sweep-results").classList.toggle("is-line", !hasPlane);
    if (hasPlane) this.heat.load();
    this.loadTab();
    this.loadSpread();
    this.loadImportance();
    this.verdict.load();
  }

  /** Take a newer state of the sweep without asking for results. @param {Object} sweep */
  bind(sweep) {
    this.sweep = sweep;
    this.heat.bind(sweep);
    this.ranking.bind(sweep, sweepPath(sweep.sweep_id));
    this.verdict.bind(sweep);
    this.drawLuck();
  }

  drawLuck() {
    showLuck($("#luck"), this.sweep,
      { spread: this.spread, held: this.held, isJudged: this.verdict.verdict !== null, onOpen: this.handlers.onOpen });
  }

  loadTab() {
    if (this.tab === "ranking") this.ranking.load();
    if (this.tab === "parallel") this.loadParallel();
    if (this.tab === "marginals") this.drawMarginals();
  }

  async loadParallel() {
    const answer = await this.ask("parallel", {});
    if (!answer) return;
    const { rows, axes, metric, nAll } = readParallel(answer);
    this.parallel.show(rows, axes, metric, nAll);
  }

  async loadSpread() {
    const answer = await this.ask("marginals", {});
    if (!answer) return;
    this.marginals = readMarginals(answer);
    this.spread = readDistribution(answer);
    if (!this.spread) fill(this.distribution, h("p", { class: "field-help empty", text: "no combination is eligible" }));
    this.drawSpread();
    this.drawLuck();
    this.drawMarginals();
    if (this.spread && isTerminal(this.sweep.state)) this.loadHeld();
  }

  /** Buy and hold, and how many combinations are better, once both are known. */
  async loadHeld() {
    const value = await this.attempt("held", (signal) => findHeld(this.sweep, signal));
    if (value === null) return;
    const { objective, sweep_id: id } = this.sweep;
    const answer = await this.attempt("above",
      (signal) => askSweep(id, "ranking", { limit: 1, filter: `${objective}>${value}` }, signal));
    this.held = { value, share: typeof answer?.total === "number" ? answer.total / this.spread.n : null };
    this.drawSpread();
    this.drawLuck();
  }

  drawSpread() {
    if (!this.spread || !this.sweep) return;
    const { objective, best, plateau } = this.sweep;
    const { histogram, note } = this.spread;
    const { held } = this;
    $("#distribution-title").textContent = `${metricLabel(objective)}, all eligible`;
    const show = (value) => formatMetric(objective, value);
    drawDistribution(this.distribution, objective, histogram, [
      SIGNED_METRICS.includes(objective) && { value: 0, text: "zero", className: "is-zero" },
      held && { value: held.value, text: `B&H ${show(held.value)}`, className: "is-held" },
      best && { value: best.metrics[objective], text: `raw best ${show(best.metrics[objective])}`,
        className: "is-best" },
      plateau && { value: plateau.metrics[objective], text: `plateau ${show(plateau.metrics[objective])}`,
        className: "is-plateau" }].filter(Boolean));
    fill($("#distribution-note"), note.map((text) => h("span", { text })));
  }

  drawMarginals() {
    const isLine = axisNames(this.sweep).length < 2;
    if (this.tab !== "marginals" || !this.marginals) return;
    const { axes, metric } = this.marginals;
    if (!axes.length) {
      fill($("#panel-marginals"), h("p", { class: "field-help", text: "nothing was swept" }));
      return;
    }
    fill($("#panel-marginals"), h("p", { class: "marginal-key" },
      h("span", { class: "text", text: metricLabel(metric) }),
      h("span", {}, h("span", { class: "key-best", "aria-hidden": "true" }), "best"),
        h("span", {}, h("span", { class: "key-median", "aria-hidden": "true" }), "median"),
      h("span", {}, h("span", { class: "key-quartiles", "aria-hidden": "true" }), "middle half"), !isLine
        && h("span", { class: "hint", text: "over all values of the others" })),
    h("div", { class: "marginal-grid" }, axes.map((axis) =>
      h("figure", {}, h("figcaption", { text: axis.name }), marginalChart(axis, metric, isLine ? this.largeSize : SMALL)))));
  }

  get largeSize() {
    const { width, height } = $("#panel-marginals").getBoundingClientRect();
    const scaled = (LARGE.width * (height - LARGE.heading)) / Math.max(width, 1);
    return { width: LARGE.width, height: Math.min(Math.max(scaled, LARGE.least), LARGE.most) };
  }

  async loadImportance() {
    const answer = await this.ask("importance", {});
    if (!answer) return;
    const shares = readImportance(answer);
    if (shares.length) drawImportance(this.importance, shares);
    else fill(this.importance, h("p", { class: "field-help", text: "too few combinations to tell" }));
  }
}
