/** One row of the run form: label, box, unit, help and the place for its error. */

import { h } from "../lib/dom.js";
import { readValue, takesPercent } from "../command/words.js";

/**
 * A control of the form and how to read and write it.
 * @typedef {Object} Control
 * @property {string} path where the API puts it, for example "params.window"
 * @property {HTMLElement} row @property {HTMLInputElement|HTMLSelectElement} input
 * @property {() => any} read undefined where the default applies
 * @property {(value: any) => void} write
 * @property {(message: string|null, value?: any) => void} setError
 */

/**
 * Build the control of a declared field.
 * @param {string} group "params" or "trading"
 * @param {import("../lib/boot.js").Field} field
 * @param {{showHelp: boolean}} options help in a line of its own, or as a tooltip
 * @returns {Control}
 */
export function buildControl(group, field, { showHelp }) {
  const path = `${group}.${field.name}`;
  const input = field.type === "choice" || field.type === "bool"
    ? buildSelect(path, field.type === "bool" ? ["true", "false"] : field.choices)
    : buildInput(path, describePlaceholder(field), field.type === "int" ? "numeric" : "decimal");
  const control = buildRow(path, field.name, input, field.unit, showHelp ? describeRange(field) : "");
  control.row.dataset.tip = describeField(field);
  const isOff = (value) => value === null || value === undefined;
  control.read = () => {
    const text = input.value;
    if (text.trim() !== "") return field.type === "choice" ? text : readValue(text, field);
    return isOff(field.default) ? null : undefined;
  };
  control.write = (value) => { input.value = isOff(value) ? "" : String(value); };
  control.write(field.default);
  return control;
}

/**
 * Build a row around an input; `read` and `write` deal in text.
 * @param {string} path @param {string} label @param {HTMLElement} input @param {string} unit
 * @param {string} help @returns {Control}
 */
export function buildRow(path, label, input, unit = "", help = "") {
  const errorId = `${input.id}-error`;
  const helpId = `${input.id}-help`;
  const error = h("p", { id: errorId, class: "field-error", hidden: true });
  const helpLine = help ? h("p", { id: helpId, class: "field-help", text: help }) : null;
  if (help) input.setAttribute("aria-describedby", helpId);
  const row = h("div", { class: "field" },
    h("label", { for: input.id, text: label }),
    h("div", { class: "box" }, input, unit && h("span", { class: "unit", "aria-hidden": "true", text: unit })),
    error, helpLine);
  return {
    path, row, input,
    read: () => input.value.trim() || undefined,
    write: (value) => { input.value = value ?? ""; },
    setError: (message) => {
      row.classList.toggle("is-bad", Boolean(message));
      error.hidden = !message;
      error.replaceChildren(...(message ? [h("span", { class: "word", text: "!" }), ` ${message}`] : []));
      if (message) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      const ids = [message && errorId, help && helpId].filter(Boolean).join(" ");
      if (ids) input.setAttribute("aria-describedby", ids);
      else input.removeAttribute("aria-describedby");
    },
  };
}

/** @param {string} path @param {string} placeholder @param {string} [mode] */
export function buildInput(path, placeholder = "", mode = "text") {
  return h("input", {
    id: fieldId(path), name: path, class: "form-control", type: "text", inputmode: mode, placeholder,
    autocomplete: "off", spellcheck: "false",
  });
}

/** @param {string} path @param {Array<string|[string, string]>} choices value, or value and label */
export function buildSelect(path, choices) {
  return h("select", { id: fieldId(path), name: path, class: "form-select" }, choices.map((choice) => {
    const [value, label] = Array.isArray(choice) ? choice : [choice, choice];
    return h("option", { value, text: label });
  }));
}

function fieldId(path) {
  return `field-${path.replaceAll(".", "-")}`;
}

function describePlaceholder(field) {
  return field.default === null || field.default === undefined ? "off" : String(field.default);
}

/** The same with the range first, so that a narrow form cuts the words and not the figures. */
function describeRange(field) {
  const range = describeField(field).slice(field.help.length).replace(/^ · /, "");
  return [range, field.help].filter(Boolean).join(" · ");
}

/** One line: help, range, default. @param {import("../lib/boot.js").Field} field */
export function describeField(field) {
  const parts = [field.help];
  const hasRange = field.minimum !== null && field.maximum !== null && field.maximum < 1e6;
  if (hasRange) parts.push(`${field.minimum}–${field.maximum}`);
  parts.push(field.default === null || field.default === undefined ? "off" : String(field.default));
  if (takesPercent(field)) parts.push("10% is 0.1");
  if (field.only_if) parts.push(`only with ${field.only_if.join("=")}`);
  return parts.filter(Boolean).join(" · ");
}
