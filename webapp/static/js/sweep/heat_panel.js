/** The panel of the heat map: which axes, which metric, what becomes of the others, and the read-out. */

import { fill, h } from "../lib/dom.js";
import { formatCount } from "../lib/format.js";
import { HEADLINE_METRICS, formatMetric, metricLabel } from "../lib/metrics.js";
import { axisLevels, axisNames, decodeIndex, levelIn } from "./axes.js";
import { binText, formatLevel } from "./heat_data.js";
import { HeatMap } from "./heatmap.js";

const OTHERS = ["best", "median", "fixed"];
const MOST_LEVELS = 500;

/** Heading, canvas, read-out. */
export class HeatPanel {
  /**
   * @param {HTMLElement} root
   * @param {{ask: (query: Object) => Promise<Object|null>, onQuery: (changes: Object) => void,
   *   onOpen: (index: number) => void}} handlers
   */
  constructor(root, handlers) {
    this.handlers = handlers;
    this.query = { x: null, y: null, metric: null, other: "best", fixed: {} };
    this.controls = h("div", { class: "heat-controls" });
    this.fixedRow = h("div", { class: "heat-controls heat-fixed", hidden: true });
    this.readout = h("p", { id: "heat-readout", class: "heat-readout", role: "status" });
    this.plot = h("div", { class: "heat-plot" });
    this.legend = h("p", { class: "heat-legend" });
    fill(root, h("header", { class: "panel-head" }, h("h2", { text: "Heat map" }), this.controls), this.fixedRow,
      this.plot,
      this.readout, this.legend);
    this.map = new HeatMap(this.plot, { onMove: (cell) => this.read(cell),
      onOpen: ({ x, y }) => handlers.onOpen(this.answer.index[y][x]) });
  }

  /** Take what the address holds. @param {Object<string, string>} address */
  restore(address) {
    this.query = { x: address.x || null, y: address.y || null, metric: address.metric || null,
      other: OTHERS.includes(address.other) ? address.other : "best",
      fixed: Object.fromEntries(Object.entries(address).filter(([name]) => name.startsWith("fix."))
        .map(([name, value]) => [name.slice(4), value])) };
  }

  /** Know the sweep; what an address names that it does not have is as good as not named. @param {Object} sweep */
  bind(sweep) {
    this.sweep = sweep;
    const names = axisNames(sweep);
    const { x, y, metric, fixed } = this.query;
    const known = (name, all) => (all.includes(name) ? name : null);
    Object.assign(this.query, { x: known(x, names), y: x === y ? null : known(y, names),
      metric: known(metric, HEADLINE_METRICS),
      fixed: Object.fromEntries(Object.entries(fixed).filter(([name]) => names.includes(name))) });
  }

  change(changes) {
    // The axes that the server chose stay when something else changes; it would choose others for other questions.
    const shown = { x: this.answer.x.name, y: this.answer.y.name };
    Object.assign(this.query, { x: this.query.x ?? shown.x, y: this.query.y ?? shown.y }, changes);
    const { x, y, metric, other, fixed } = this.query;
    // Two axes that are the same make no picture: the other one moves away.
    if (x && x === y) this.query["x" in changes ? "y" : "x"] = axisNames(this.sweep).find((name) => name !== x) || null;
    const held = Object.fromEntries(axisNames(this.sweep)
      .map((name) => [`fix.${name}`, other === "fixed" ? fixed[name] ?? null : null]));
    this.handlers.onQuery({ x, y: this.query.y, metric, other: other === "best" ? null : other, ...held,
      ...{ x: this.query.x } });
    this.load();
  }

  async load() {
    const { x, y, metric, other, fixed } = this.query;
    const answer = await this.handlers.ask({ x, y, metric, other: other === "best" ? null : other,
      ...(other === "fixed" ? this.held(fixed) : {}) });
    if (!answer) return;
    this.answer = answer;
    this.drawControls();
    this.draw();
  }

  held(fixed) {
    return Object.fromEntries(Object.entries(fixed).filter(([name]) => name !== this.query.x && name !== this.query.y)
      .map(([name, value]) => [`fixed.${name}`, value]));
  }

  /** Names on the other axes; as answered, since the server chooses where nothing was asked. */
  get rest() {
    return axisNames(this.sweep).filter((name) => name !== this.answer.x.name && name !== this.answer.y.name);
  }

  draw() {
    const { best, plateau } = this.sweep;
    const { x, y } = this.answer;
    const place = (row) => `${formatLevel(levelIn(row, x.name))}/${formatLevel(levelIn(row, y.name))}`;
    const marks = [best && { kind: "raw", row: best, text: `RAW ${place(best)}` },
      plateau && { kind: "plateau", row: plateau, text: `PLATEAU ${place(plateau)}` }]
      .filter((mark) => mark && this.isInPicture(mark.row));
    this.map.show(this.answer, marks, !this.answer.complete);
    const bins = [x, y].filter((axis) => axis.binned);
    const least = this.sweep.spec.min_trades;
    fill(this.legend, h("span", { text: least ? `– fewer than ${formatCount(least)} trades` : "– not defined" }),
      this.answer.n_failed && h("span", {}, h("span", { class: "chunk-key is-f", "aria-hidden": "true" }),
        "failed"),
      h("span", { text: this.answer.complete ? this.blankText : "▪ not computed yet, or excluded" }),
        bins.map((axis) => h("span",
        { text: `${axis.name}: ${formatCount(axis.n_values)} values in ${axis.values.length} ranges` })),
    h("span", { text: "⏎ or click opens the cell as a run" }));
  }

  /** What a cell without any mark means. */
  get blankText() {
    return this.sweep.spec.search.method === "grid" ? "blank: excluded by a constraint" : "blank: not tried";
  }

  /** In a slice only those combinations stand that have its values on the other axes. */
  isInPicture(row) {
    if (this.answer.other !== "fixed") return true;
    const fixed = this.answer.fixed || {};
    return this.rest.every((name) => fixed[name] === undefined || String(fixed[name]) === String(levelIn(row, name)));
  }

  drawControls() {
    const { x, y, metric, other } = this.answer;
    const names = axisNames(this.sweep);
    const select = (name, label, values, value) => h("label", { class: "heat-select" }, h("span", { text: label }),
      h("select", { id: `heat-${name}`, class: "form-select",
        on: { change: (event) => this.change({ [name]: event.target.value }) } },
        values.map(([each, text]) => h("option", { value: each, text, selected: each === value }))));
    const focused = document.activeElement?.id;
    fill(this.controls,
      select("x", "x", names.map((name) => [name, name]), x.name),
        select("y", "y", names.map((name) => [name, name]), y.name),
      select("metric", "of", HEADLINE_METRICS.map((name) => [name, metricLabel(name)]), metric),
      this.rest.length > 0 && h("span", { class: "tool-group", role: "group", "aria-label": "Other parameters" },
        h("span", { class: "second", text: "others" }),
        OTHERS.map((name) => h("button", { type: "button", id: `other-${name}`, class: "btn btn-small toggle",
          "aria-pressed": String(name === other), text: name,
          on: { click: () => this.change({ other: name }) } }))));
    this.fixedRow.hidden = other !== "fixed" || !this.rest.length;
    fill(this.fixedRow, this.rest.map((name) => this.fixedSelect(name)));
    if (focused) document.getElementById(focused)?.focus();
  }

  fixedSelect(name) {
    const given = this.answer.fixed?.[name] ?? this.query.fixed[name]
      ?? (this.sweep.best ? levelIn(this.sweep.best, name) : undefined);
    const values = axisLevels(this.sweep, name, MOST_LEVELS);
    return h("label", { class: "heat-select" }, h("span", { text: name }),
      h("select", { id: `fix-${name}`, class: "form-select",
      on: { change: (event) => this.change({ fixed: { ...this.query.fixed, [name]: event.target.value } }) } },
      values.map((value) => h("option", { value: formatLevel(value), text: formatLevel(value),
        selected: formatLevel(value) === formatLevel(given) }))));
  }

  read(cell) {
    const { answer } = this;
    if (!cell || !answer) {
      fill(this.readout, h("span", { class: "hint", text: "hover, or focus the map and use the arrows" }));
      return;
    }
    const value = answer.values[cell.y][cell.x];
    const index = answer.index[cell.y][cell.x];
    const n = answer.n[cell.y][cell.x];
    const levels = index === null || answer.other === "median" ? null : decodeIndex(this.sweep, index);
    const item = (name, text) => h("span", {}, h("i", { text: `${name} ` }), text);
    fill(this.readout,
      item(answer.x.name, binText(answer.x, cell.x)), item(answer.y.name, binText(answer.y, cell.y)),
      item(metricLabel(answer.metric), h("b", { text: formatMetric(answer.metric, value) })),
      answer.n_failed?.[cell.y][cell.x] > 0 && h("span", { class: "text",
        text: `${formatCount(answer.n_failed[cell.y][cell.x])} failed` }),
      levels && this.rest.map((name) => item(name, formatLevel(levels[name]))),
      this.rest.length > 0 && answer.other !== "fixed" && h("span", { class: "second", text: `of ${formatCount(n)}` }));
  }
}
