/** The run form, generated from the metadata of rules and trading parameters. */

import { findDataset, findRule } from "../lib/boot.js";
import { $, announce, fill, h } from "../lib/dom.js";
import { formatCount } from "../lib/format.js";
import { buildControl, buildInput, buildRow, buildSelect } from "./fields.js";

// Fields that most runs touch; the others fold away. A field that is not known here is folded too.
const COMMON = ["fee_rate", "slippage", "size", "size_type", "direction", "fill", "stop_loss",
  "take_profit", "trailing_stop", "initial_cash"];
const DEFAULT_RULE = "rsi";

/** The form on the left of the run page. */
export class RunForm {
  /**
   * @param {HTMLFormElement} form @param {import("../lib/boot.js").Boot} boot
   * @param {{onRun: (request: Object) => void, onChange: () => void}} handlers
   */
  constructor(form, boot, handlers) {
    this.form = form;
    this.boot = boot;
    /** @type {Map<string, import("./fields.js").Control>} */
    this.controls = new Map();
    this.buildTop();
    this.buildTrading();
    this.showRule();
    this.showDataset();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      handlers.onRun(this.read());
    });
    form.addEventListener("change", (event) => {
      if (event.target.name === "rule") this.showRule();
      if (event.target.name === "dataset") this.showDataset();
      this.controls.get(event.target.name)?.setError(null);
      handlers.onChange();
    });
  }

  buildTop() {
    const rules = this.boot.rules.map((rule) => [rule.name, rule.title]);
    const rule = this.add(buildRow("rule", "rule", buildSelect("rule", rules)));
    if (rules.some(([name]) => name === DEFAULT_RULE)) rule.write(DEFAULT_RULE);
    fill($("#fields-rule"), rule.row, h("p", { id: "rule-summary", class: "field-help" }));

    const spacing = { intraday: "intraday", daily: "1D", weekly: "1W", monthly: "1M" };
    const datasets = this.boot.datasets.map((item) => [item.symbol, `${item.symbol} ${spacing[item.spacing]}`]);
    const rows = [this.add(buildRow("dataset", "dataset", buildSelect("dataset", datasets)))];
    const start = this.add(buildRow("start", "from", buildInput("start", "first bar")));
    const end = this.add(buildRow("end", "to", buildInput("end", "last bar")));
    const adjust = this.add(buildRow("adjust", "prices",
      buildSelect("adjust", [["true", "adjusted"], ["false", "raw"]])));
    adjust.read = () => (adjust.input.value === "false" ? false : undefined);
    adjust.write = (value) => { adjust.input.value = value === false ? "false" : "true"; };
    fill($("#fields-dataset"), rows[0].row, h("p", { id: "dataset-summary", class: "field-help" }),
      start.row, end.row, adjust.row);
  }

  buildTrading() {
    const known = new Map(this.boot.trading.map((field) => [field.name, field]));
    const common = COMMON.filter((name) => known.has(name)).map((name) => known.get(name));
    const folded = this.boot.trading.filter((field) => !COMMON.includes(field.name));
    const build = (field) => this.add(buildControl("trading", field, { showHelp: false })).row;
    fill($("#fields-trading"), common.map(build));
    fill($("#fields-more"), folded.map(build));
    this.joinSize();
  }

  /** The size and what it counts share a row. */
  joinSize() {
    const size = this.controls.get("trading.size");
    const type = this.controls.get("trading.size_type");
    if (!size || !type) return;
    type.input.classList.add("beside");
    type.input.setAttribute("aria-label", "size_type");
    size.input.after(type.input);
    type.row.remove();
    type.setError = size.setError;
    // A percent of dollars or shares is sent as it stands, and refused.
    const { read } = size;
    const text = () => size.input.value.trim();
    size.read = () => (text().endsWith("%") && type.input.value !== "percent" ? text() : read());
  }

  add(control) {
    this.controls.set(control.path, control);
    return control;
  }

  /** Show the parameters of the chosen rule; values of equal name are kept. */
  showRule() {
    const rule = findRule(this.boot, this.controls.get("rule").input.value);
    for (const path of [...this.controls.keys()]) {
      if (path.startsWith("params.")) this.controls.delete(path);
    }
    $("#rule-summary").textContent = rule.summary;
    $("#rule-summary").dataset.tip = rule.summary;
    $("#rule-version").textContent = rule.label ? `v${rule.version} · ${rule.label}` : `v${rule.version}`;
    $("#rule-version").dataset.tip = [rule.source || "no publication defines this rule", ...rule.deviations].join("\n");
    fill($("#fields-params"), rule.parameters.length
      ? rule.parameters.map((field) => this.add(buildControl("params", field, { showHelp: true })).row)
      : h("p", { class: "field-help", text: "this rule takes none" }));
  }

  showDataset() {
    const dataset = findDataset(this.boot, this.controls.get("dataset").input.value);
    $("#dataset-summary").textContent = dataset
      ? `${formatCount(dataset.n_bars)} bars ${dataset.start.slice(0, 10)}…${dataset.end.slice(0, 10)}`
      : this.boot.datasets.length ? "the dataset is gone or has another name: choose one"
      : this.boot.storage_available ? "no data yet: add a file on the data page" : "waiting for the database";
    const { input } = this.controls.get("adjust");
    input.disabled = dataset?.has_adjustment === false;
    input.options[0].text = input.disabled ? "raw, as in file" : "adjusted";
    $("#dataset-summary").dataset.tip = $("#dataset-summary").textContent;
  }

  /** @returns {Object} the body of POST /api/v1/runs */
  read() {
    const body = { params: {}, trading: {} };
    for (const [path, control] of this.controls) {
      const value = control.read();
      if (value === undefined) continue;
      const [group, name] = path.split(".");
      if (name) body[group][name] = value;
      else body[group] = value;
    }
    return body;
  }

  /** Fill the form; what `request` does not name takes its default. @param {Object} request */
  write(request) {
    this.clearErrors();
    this.controls.get("rule").write(request.rule);
    this.showRule();
    const rule = findRule(this.boot, request.rule);
    if (request.dataset) this.controls.get("dataset").write(request.dataset);
    this.showDataset();
    for (const name of ["start", "end", "adjust"]) this.controls.get(name).write(request[name]);
    for (const [group, fields] of [["params", rule.parameters], ["trading", this.boot.trading]]) {
      for (const field of fields) {
        const given = request[group]?.[field.name];
        this.controls.get(`${group}.${field.name}`).write(given === undefined ? field.default : given);
      }
    }
  }

  clearErrors() {
    for (const control of this.controls.values()) control.setError(null);
    $("#form-errors").hidden = true;
  }

  /**
   * Show each error at its field, those without a field above the button; focus the first.
   * @param {Array<{field: string, value: any, message: string}>} errors
   */
  showErrors(errors) {
    this.clearErrors();
    const homeless = [];
    const bad = [];
    for (const error of errors) {
      const control = this.controls.get(error.field) || this.controls.get(error.field.split(".")[0]);
      if (!control) {
        homeless.push(`${error.field}: ${error.message}`);
        continue;
      }
      control.setError(error.message);
      control.input.closest("details")?.setAttribute("open", "");
      bad.push(control);
    }
    const count = errors.length;
    const word = count === 1 ? "1 FIELD" : `${count} FIELDS`;
    const box = $("#form-errors");
    box.hidden = false;
    fill(box, h("span", { class: "word", text: word }), " Nothing was run. ", homeless.join(" "));
    announce(`${word}. Nothing was run. ${errors.map((error) => `${error.field}: ${error.message}`).join(". ")}`);
    document.body.classList.add("is-form-open");
    const inOrder = [...this.form.elements].find((element) => bad.some((control) => control.input === element));
    inOrder?.focus();
  }
}
