/** The sweep form: rule, data, a SPEC for every parameter, search, and what it would take. */

import { readPercents } from "../command/words.js";
import { buildInput, buildRow, buildSelect, describeField } from "../form/fields.js";
import { findDataset, findRule } from "../lib/boot.js";
import { $, announce, debounce, fill, h } from "../lib/dom.js";
import { formatCount } from "../lib/format.js";
import { HEADLINE_METRICS, SMALLER_IS_BETTER, metricLabel } from "../lib/metrics.js";
import { describeEstimate } from "./estimate.js";
import { buildSingle, describeSingle } from "./single.js";
import { parseSpec, suggestSpace } from "./space.js";

const COMMON = ["fee_rate", "slippage", "size", "size_type", "direction", "fill", "stop_loss",
  "take_profit", "trailing_stop", "initial_cash"];
const DEFAULT_RULE = "rsi";
const ESTIMATE_PAUSE = 350;

/** The form on the left of the sweep page. */
export class SweepForm {
  /**
   * @param {HTMLFormElement} form @param {import("../lib/boot.js").Boot} boot
   * @param {{onSweep: (request: Object) => void, onRun: (request: Object) => void, onChange: () => void,
   *   estimate: (request: Object) => Promise<{estimate?: Object, errors?: Object[], text?: string}>}} handlers
   */
  constructor(form, boot, handlers) {
    this.form = form;
    this.boot = boot;
    this.handlers = handlers;
    /** @type {Map<string, import("../form/fields.js").Control>} */
    this.controls = new Map();
    /** @type {Map<string, {count: () => number|null, fault: () => string|null, show: () => void}>} axes by path */
    this.axes = new Map();
    this.buildTop();
    this.buildSearch();
    this.buildTrading();
    this.showRule();
    this.showDataset();
    this.askEstimate = debounce(() => this.showEstimate(), ESTIMATE_PAUSE);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      handlers.onSweep(this.read());
    });
    $("#run-one").addEventListener("click", () => handlers.onRun(this.readSingle()));
    form.addEventListener("input", (event) => this.onInput(event));
    form.addEventListener("change", () => handlers.onChange());
    this.refresh();
  }

  onInput(event) {
    const { name } = event.target;
    this.isRefused = false;
    if (name === "rule") this.showRule();
    if (name === "dataset") this.showDataset();
    if (name === "method") this.showMethod();
    this.controls.get(name)?.setError(null);
    this.refresh();
  }

  add(control) {
    this.controls.set(control.path, control);
    return control;
  }

  buildTop() {
    const rules = this.boot.rules.map((rule) => [rule.name, rule.title]);
    const rule = this.add(buildRow("rule", "rule", buildSelect("rule", rules)));
    if (rules.some(([name]) => name === DEFAULT_RULE)) rule.write(DEFAULT_RULE);
    fill($("#fields-rule"), rule.row, h("p", { id: "rule-summary", class: "field-help" }));
    const spacing = { intraday: "intraday", daily: "1D", weekly: "1W", monthly: "1M" };
    const datasets = this.boot.datasets.map((item) => [item.symbol, `${item.symbol} ${spacing[item.spacing]}`]);
    const dataset = this.add(buildRow("dataset", "dataset", buildSelect("dataset", datasets)));
    const start = this.add(buildRow("start", "from", buildInput("start", "first bar")));
    const end = this.add(buildRow("end", "to", buildInput("end", "last bar")));
    const adjust = this.add(buildRow("adjust", "prices",
      buildSelect("adjust", [["true", "adjusted"], ["false", "raw"]])));
    adjust.read = () => (adjust.input.value === "false" ? false : undefined);
    adjust.write = (value) => { adjust.input.value = value === false ? "false" : "true"; };
    fill($("#fields-dataset"), dataset.row, h("p", { id: "dataset-summary", class: "field-help" }),
      start.row, end.row, adjust.row);
  }

  buildSearch() {
    const row = (path, label, input, unit) => this.add(buildRow(path, label, input, unit)).row;
    const objectives = HEADLINE_METRICS.map((name) => [name,
      `${metricLabel(name)}, ${SMALLER_IS_BETTER.includes(name) ? "min" : "max"}`]);
    fill($("#fields-search"),
      row("search.method", "method", buildSelect("search.method",
        [["grid", "grid, all"], ["random", "random"], ["adaptive", "adaptive"]])),
      row("search.n", "combinations", buildInput("search.n", "1000", "numeric")),
      row("search.seed", "seed", buildInput("search.seed", "0", "numeric")),
      row("objective", "objective", buildSelect("objective", objectives)),
      row("min_trades", "min trades", buildInput("min_trades", "0", "numeric"), "closed"),
      row("where", "constraint", buildInput("where", "none")),
      h("p", { id: "where-help", class: "field-help" }));
    this.controls.get("objective").write("sharpe");
    this.controls.get("search.method").input.name = "method";
    this.showMethod();
  }

  showMethod() {
    const isGrid = this.controls.get("search.method").input.value === "grid";
    for (const path of ["search.n", "search.seed"]) this.controls.get(path).row.hidden = isGrid;
  }

  buildTrading() {
    const known = new Map(this.boot.trading.map((field) => [field.name, field]));
    const common = COMMON.filter((name) => known.has(name)).map((name) => known.get(name));
    const folded = this.boot.trading.filter((field) => !COMMON.includes(field.name));
    fill($("#fields-trading"), common.map((field) => this.addAxis("trading", field, field.default)));
    fill($("#fields-more"), folded.map((field) => this.addAxis("trading", field, field.default)));
  }

  /** A row whose text is a SPEC, with the number of its values at the end. */
  addAxis(group, field, text) {
    const path = `${group}.${field.name}`;
    const choices = field.type === "bool" ? ["false", "true"] : field.choices;
    const input = field.type === "choice" || field.type === "bool"
      ? buildSelect(path, [...choices, [choices.join(","), "all of them"]])
      : buildInput(path, String(field.default ?? "off"));
    const control = this.add(buildRow(path, field.name, input, field.unit || " "));
    const unit = $(".unit", control.row);
    control.row.dataset.tip = describeField(field);
    control.write = (value) => {
      const written = value === undefined || value === null ? "" : String(value);
      if (input.matches("select") && written && ![...input.options].some((option) => option.value === written)) {
        input.append(h("option", { value: written, text: written }));
      }
      input.value = input.matches("select") && !written ? String(field.default) : written;
    };
    control.write(text);
    const readText = () => readPercents(input.value.trim(), field) || String(field.default ?? "off");
    control.read = () => (readText() === String(field.default ?? "off") && group === "trading" ? undefined
      : readText());
    this.axes.set(path, {
      count: () => parseSpec(readText(), field).count ?? null,
      fault: () => parseSpec(readText(), field).fault ?? null,
      show: () => {
        const { count, fault } = parseSpec(readText(), field);
        unit.textContent = fault ? "!" : count > 1 ? formatCount(count) : field.unit;
        unit.classList.toggle("is-axis", Boolean(fault) || count > 1);
      },
    });
    return control.row;
  }

  /** Show the parameters of the chosen rule, with a space that is sensible to begin with. */
  showRule() {
    const rule = findRule(this.boot, this.controls.get("rule").input.value);
    for (const map of [this.controls, this.axes]) {
      for (const path of [...map.keys()]) if (path.startsWith("space.")) map.delete(path);
    }
    $("#rule-summary").textContent = rule.summary;
    $("#rule-summary").dataset.tip = rule.summary;
    const texts = suggestSpace(rule);
    fill($("#fields-space"), rule.parameters.length
      ? rule.parameters.map((field) => this.addAxis("space", field, texts[field.name]))
      : h("p", { class: "field-help", text: "this rule takes none; sweep its trading" }));
    const own = rule.constraints.map((item) => `${item.left} ${item.operator} ${item.right}`);
    $("#where-help").textContent = own.length ? `rule's own: ${own.join(", ")}`
      : `for example ${findComparable(rule.parameters).join(" < ")}`;
  }

  showDataset() {
    const { value } = this.controls.get("dataset").input;
    const dataset = findDataset(this.boot, value);
    $("#dataset-summary").textContent = dataset
      ? `${formatCount(dataset.n_bars)} bars ${dataset.start.slice(0, 10)}…${dataset.end.slice(0, 10)}`
      : this.boot.datasets.length ? "the dataset is gone or has another name: choose one"
      : this.boot.storage_available ? "no data yet: add a file on the data page" : "waiting for the database";
    const { input: prices } = this.controls.get("adjust");
    // Of several datasets one may have what another lacks.
    prices.options[0].text = dataset?.has_adjustment === false && !this.moreDatasets().length ? "raw, as in file" : "adjusted";
    const chosen = new Set(this.moreDatasets());
    const others = this.boot.datasets.filter((item) => item.symbol !== value);
    $("#more-datasets").hidden = !others.length;
    fill($("#fields-datasets"), others.map((item) => h("label", { class: "check" },
      h("input", { type: "checkbox", name: "datasets", value: item.symbol, checked: chosen.has(item.symbol) }),
        item.symbol)));
  }

  moreDatasets() {
    return [...this.form.querySelectorAll("[name=datasets]:checked")].map((box) => box.value);
  }

  /** @returns {Object} the body of POST /api/v1/sweeps */
  read() {
    const value = (path) => this.controls.get(path).read();
    const collect = (group) => Object.fromEntries([...this.controls].filter(([path]) => path.startsWith(`${group}.`))
      .map(([path, control]) => [path.slice(group.length + 1), control.read()])
        .filter(([, text]) => text !== undefined));
    const more = this.moreDatasets();
    const method = value("search.method");
    const body = { rule: value("rule"), space: collect("space"), trading: collect("trading"),
      objective: value("objective"),
      search: method === "grid" ? { method } : { method, n: toNumber(value("search.n") ?? "1000"),
        seed: toNumber(value("search.seed") ?? "0") } };
    if (more.length) body.datasets = [value("dataset"), ...more];
    else body.dataset = value("dataset");
    if (value("where")) body.where = value("where").split(/\s*[,;]\s*|\s+and\s+/).filter(Boolean);
    for (const name of ["start", "end", "adjust"]) if (value(name) !== undefined) body[name] = value(name);
    if (value("min_trades") !== undefined) body.min_trades = toNumber(value("min_trades"));
    return body;
  }

  /** @returns {Object} the body of POST /api/v1/runs for one combination of the space */
  readSingle() {
    const body = this.read();
    return buildSingle(body, findRule(this.boot, body.rule), this.boot.trading);
  }

  /** Whether no field holds more than one value. */
  get isSingle() {
    return this.counts.every((count) => count === 1);
  }

  /** Say that there is nothing to sweep, and what to do. */
  refuseSingle() {
    const paths = [...this.axes.keys()];
    const first = paths.find((path) => path.startsWith("space.")) || paths[0];
    const message = "nothing is swept: write a range such as 2..30 or a list such as 10,14,21, or press Run one";
    this.showErrors([{ field: first, message }]);
  }

  /** Fill the form; what `body` does not name takes its default. @param {Object} body of POST /api/v1/sweeps */
  write(body) {
    this.clearErrors();
    this.controls.get("rule").write(body.rule);
    this.showRule();
    const rule = findRule(this.boot, body.rule);
    const [first, ...more] = body.datasets || [body.dataset];
    if (first) this.controls.get("dataset").write(first);
    this.showDataset();
    for (const box of this.form.querySelectorAll("[name=datasets]")) box.checked = more.includes(box.value);
    if (more.length) $("#more-datasets").open = true;
    for (const name of ["start", "end", "adjust"]) this.controls.get(name).write(body[name]);
    for (const field of rule.parameters) this.controls.get(`space.${field.name}`).write(body.space?.[field.name]
      ?? field.default);
    for (const field of this.boot.trading) this.controls.get(`trading.${field.name}`).write(body.trading?.[field.name] === undefined ? field.default : body.trading[field.name]);
    const { method = "grid", n, seed } = body.search || {};
    this.controls.get("search.method").write(method);
    this.controls.get("search.n").write(n);
    this.controls.get("search.seed").write(seed || undefined);
    this.showMethod();
    this.controls.get("objective").write(body.objective || "sharpe");
    this.controls.get("min_trades").write(body.min_trades || undefined);
    this.controls.get("where").write([body.where || []].flat().join(", "));
    this.refresh();
  }

  /** Values of every axis in the order of the space. */
  get counts() {
    const ofGroup = (group) => [...this.axes].filter(([path]) => path.startsWith(group))
      .map(([, axis]) => axis.count());
    return [1 + this.moreDatasets().length, ...ofGroup("space"), ...ofGroup("trading")];
  }

  /** Count again, here at once and on the server soon. */
  refresh() {
    for (const axis of this.axes.values()) axis.show();
    fill($("#estimate"), describeEstimate(this.counts, null));
    this.showSingle();
    this.askEstimate?.();
  }

  /** What the button runs, where several values leave a choice. */
  showSingle() {
    const button = $("#run-one");
    button.disabled = this.counts.includes(null);
    const body = this.read();
    const words = button.disabled ? "" : describeSingle(this.readSingle(), body);
    button.dataset.tip = `One backtest in full${words ? ` with ${words}` : ""}`;
  }

  async showEstimate() {
    // What cannot be read here cannot be read there.
    const faults = [...this.axes].map(([path, axis]) => [path, axis.fault()]).filter(([, fault]) => fault);
    for (const [path, fault] of faults) this.controls.get(path).setError(fault);
    if (faults.length) return;
    const asked = this.read();
    const answer = await this.handlers.estimate(asked);
    if (!answer || JSON.stringify(this.read()) !== JSON.stringify(asked)) return;
    const errors = answer.errors?.map((error) => ({ ...error, label: this.labelOf(error.field) }));
    fill($("#estimate"), describeEstimate(this.counts, { ...answer, errors }));
    // What was refused stays in sight until something is changed.
    if (this.isRefused) return;
    this.clearErrors();
    for (const error of answer.errors || []) this.find(error.field)?.setError(error.message);
  }

  find(field) {
    const path = field.replace(/^params\./, "space.").replace(/\[.*$/, "");
    return this.controls.get(path) || this.controls.get(path.split(".")[0]) || this.controls.get(`${path}.method`);
  }

  /** The label of the field that an error belongs to, null for none. */
  labelOf(field) {
    const control = this.find(field);
    return control ? $("label", control.row).textContent : null;
  }

  clearErrors() {
    this.isRefused = false;
    for (const control of this.controls.values()) control.setError(null);
    $("#form-errors").hidden = true;
  }

  /**
   * Show each error at its field, those without a field above the button; focus the first.
   * @param {Array<{field: string, value: any, message: string}>} errors
   */
  showErrors(errors) {
    this.clearErrors();
    this.isRefused = true;
    const homeless = [];
    const bad = [];
    for (const error of errors) {
      const control = this.find(error.field);
      control?.setError(error.message);
      control?.input.closest("details")?.setAttribute("open", "");
      if (control) bad.push(control.input);
      else homeless.push(`${error.field}: ${error.message}`);
    }
    const word = errors.length === 1 ? "1 FIELD" : `${errors.length} FIELDS`;
    const box = $("#form-errors");
    box.hidden = false;
    fill(box, h("span", { class: "word", text: word }), " Nothing was queued. ", homeless.join(" "));
    announce(`${word}. Nothing was queued. ${errors.map((error) => `${error.field}: ${error.message}`).join(". ")}`);
    document.body.classList.add("is-form-open");
    [...this.form.elements].find((element) => bad.includes(element))?.focus();
  }
}

/** Two numbers of one unit, which it makes sense to compare. */
function findComparable(fields) {
  const numbers = fields.filter((field) => field.type === "int" || field.type === "float");
  for (const [i, field] of numbers.entries()) {
    const other = numbers.slice(i + 1).find((later) => later.type === field.type && later.unit === field.unit);
    if (other) return [field.name, other.name];
  }
  return ["stop_loss", "take_profit"];
}

/** A number where the text is one; anything else is left for the server to refuse in words. */
function toNumber(text) {
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
}
