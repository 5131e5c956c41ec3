/** Letter keys of the page, their list, and the switch that turns them off. */

import { h, openDialog } from "./dom.js";

const STORE_KEY = "letter-keys";
/** @type {Array<{keys: string[], run: Function, unless?: string}>} */
const bindings = [];

/** Keys that work inside one part of the page; shown in the list, handled by that part. */
const LOCAL_KEYS = [
  ["Enter", "command bar: run · table, heat map: open the row, the cell; zoom to the trade"],
  ["Tab", "command bar: complete"],
  ["↑ ↓", "command bar: history, suggestions · table: move the row"],
  ["← →", "chart: move the crosshair · heat map: move the cell; with Shift by ten"],
  ["Esc", "leave the command bar, close what is open"],
];

/** Keys that work anywhere on their page. */
const PAGE_KEYS = [
  ["/", "command bar"],
  ["1 … 5", "tabs: stats, equity, drawdown, portfolio, trades; of a sweep: ranking, parallel, marginals"],
  ["?", "list of keys"],
  ["+ − 0", "zoom in, out, reset"],
  ["l", "log or linear scale"],
  ["s", "stats rail beside the charts"],
  ["[ ]", "previous and next trade"],
  ["Space", "run, runs: pin a run to compare it, or take its pin off"],
  ["x", "run: everything that can be exported"],
  ["f", "runs: search"],
  ["t n", "tags, note"],
  ["e", "data: rename"],
  ["c then Enter", "cancel a run or a sweep that waits or runs"],
  ["p r", "sweep: pause or resume, retry failed chunks"],
];

function areLetterKeysOn() {
  return localStorage.getItem(STORE_KEY) !== "off";
}

function switchLetterKeys(isOn) {
  localStorage.setItem(STORE_KEY, isOn ? "on" : "off");
}

/**
 * Bind keys that work anywhere outside fields.
 * @param {string[]} keys values of `KeyboardEvent.key`
 * @param {(event: KeyboardEvent) => void} run
 * @param {{unless?: string}} [options] selector of parts that keep the key for themselves
 */
export function bindKeys(keys, run, { unless } = {}) {
  bindings.push({ keys, run, unless });
}

/** Start listening; call once a page. */
export function installKeys() {
  bindKeys(["?"], showKeys);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input, select, textarea, dialog")) return;
    if (!areLetterKeysOn()) return;
    // Space and Enter press what has the focus.
    if (event.key === " " && event.target.closest("button, a, summary")) return;
    const binding = bindings.find((item) => item.keys.includes(event.key));
    if (!binding || (binding.unless && event.target.closest(binding.unless))) return;
    event.preventDefault();
    binding.run(event);
  });
}

/** Open the list of keys. */
export function showKeys() {
  const isOn = areLetterKeysOn();
  openDialog("Keys", [keyTable(), h("label", { class: "check" },
    h("input", { type: "checkbox", name: "letters", checked: isOn, value: "on" }),
    " letter keys work outside fields")], "Save")
    .then((form) => { if (form) switchLetterKeys(form.get("letters") === "on"); });
}

/** @returns {HTMLElement} the keys as a table */
export function keyTable() {
  return h("table", { class: "grid key-table" },
    h("caption", { class: "visually-hidden", text: "Keys" }),
    h("tbody", {}, [...PAGE_KEYS, ...LOCAL_KEYS].map(([key, does]) => h("tr", {},
      h("th", { scope: "row" }, h("kbd", { text: key })), h("td", { text: does })))));
}
