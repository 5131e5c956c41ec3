/** The list of recent sweeps: what stands on the page while none is open. */

import { findRule } from "../lib/boot.js";
import { fill, h } from "../lib/dom.js";
import { DASH, formatCount, formatPercent, formatShort, formatStamp, shortId } from "../lib/format.js";
import { formatMetric, metricLabel } from "../lib/metrics.js";
import { formatDuration } from "./estimate.js";
import { isTerminal } from "./session.js";

const WORDS = { succeeded: "done" };

/** A table with one chosen row: arrows move, Enter opens. */
export class SweepList {
  /**
   * @param {HTMLElement} root @param {import("../lib/boot.js").Boot} boot
   * @param {{onOpen: (sweepId: string) => void, onMore: () => void}} handlers
   */
  constructor(root, boot, { onOpen, onMore }) {
    this.boot = boot;
    this.onOpen = onOpen;
    this.more = h("button", { type: "button", id: "older-sweeps", class: "btn btn-small", hidden: true,
      text: "Older sweeps", on: { click: onMore } });
    this.chosen = null;
    this.sweeps = [];
    this.table = h("table", { class: "grid list", id: "sweeps-table", role: "grid", "aria-label": "Recent sweeps" });
    this.scroller = h("div", { class: "scroll", id: "sweeps-scroll", tabindex: "0", role: "group",
      "aria-label": "Recent sweeps; arrows move, Enter opens" }, this.table, this.more);
    fill(root, this.scroller);
    this.scroller.addEventListener("keydown", (event) => this.onKey(event));
    this.table.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-sweep]");
      if (row && !event.target.closest("a")) onOpen(row.dataset.sweep);
    });
  }

  /** @param {Object[]} sweeps newest first @param {boolean} hasMore */
  show(sweeps, hasMore) {
    this.more.hidden = !hasMore;
    this.sweeps = sweeps;
    this.chosen = sweeps.some((sweep) => sweep.sweep_id === this.chosen) ? this.chosen : sweeps[0]?.sweep_id;
    const heads = [["Sweep"], ["Time"], ["State"], ["Data"], ["Rule"], ["Space"], ["Search"], ["Combinations", "n"],
      ["Took", "n"],
      ["Objective"], ["Raw best", "n"], ["Plateau", "n"], ["Tags"]];
    fill(this.table, h("thead", {}, h("tr", {},
      heads.map(([text, className]) => h("th", { scope: "col", class: className || null, text })))),
      h("tbody", {}, sweeps.length ? sweeps.map((sweep) => this.row(sweep))
        : h("tr", {}, h("td", { colspan: heads.length, class: "second",
          text: "No sweep yet: the form holds a space to begin with; press Sweep, or type SWEEP AAPL RSI window=2..30 oversold=10..40 GO." }))));
  }

  row(sweep) {
    const figure = (row, value) => h("td", { class: "n", text: row ? formatMetric(sweep.objective, value(row))
      : DASH });
    const cells = [h("a", { href: `/sweep/${sweep.sweep_id}`, tabindex: "-1", text: shortId(sweep.sweep_id) }),
      formatStamp(sweep.submitted_at).slice(5), stateCell(sweep),
      sweep.symbol, findRule(this.boot, sweep.rule)?.title || sweep.rule,
      h("span", { class: "second clip space-names", text: sweep.swept.join(" × ") }),
        sweep.method];
    return h("tr", { data: { sweep: sweep.sweep_id }, "aria-selected": String(sweep.sweep_id === this.chosen) },
      cells.map((cell) => h("td", {}, cell)),
      h("td", { class: "n", text: sweep.n_combinations === null ? formatShort(sweep.n_points)
        : formatCount(sweep.n_combinations) }),
      h("td", { class: "n", text: formatDuration(secondsOf(sweep)) }), h("td", { text: metricLabel(sweep.objective) }),
      figure(sweep.best, (best) => best.metrics[sweep.objective]),
        figure(sweep.plateau, (plateau) => plateau.metrics[sweep.objective]),
      h("td", { class: "amber clip", text: sweep.tags.join(", ") }));
  }

  onKey(event) {
    if (event.target === this.more) return;
    const at = this.sweeps.findIndex((sweep) => sweep.sweep_id === this.chosen);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.sweeps.length) this.choose(Math.min(Math.max(at + step * (event.shiftKey ? 10 : 1), 0),
      this.sweeps.length - 1));
    else if (event.key === "Enter" && this.chosen) this.onOpen(this.chosen);
    else return;
    event.preventDefault();
  }

  choose(at) {
    this.chosen = this.sweeps[at].sweep_id;
    for (const row of this.table.querySelectorAll("tr[data-sweep]")) {
      const isChosen = row.dataset.sweep === this.chosen;
      row.setAttribute("aria-selected", String(isChosen));
      if (isChosen) row.scrollIntoView({ block: "nearest" });
    }
  }
}

function stateCell(sweep) {
  if (sweep.state === "failed") return h("span", { class: "word", text: "FAILED" });
  const share = isTerminal(sweep.state) ? "" : ` ${formatPercent(sweep.progress, 0)}`;
  return h("span", { class: sweep.state === "succeeded" ? "second" : "amber",
    text: (WORDS[sweep.state] || sweep.state) + share });
}

function secondsOf({ started_at: from, finished_at: to }) {
  return from && to ? (new Date(to) - new Date(from)) / 1000 : null;
}
