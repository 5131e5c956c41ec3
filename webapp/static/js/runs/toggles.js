/** Filters as toggles: each writes its condition into the search expression, and shows what stands there. */

import { fill, h } from "../lib/dom.js";
import { STATE_WORDS, pickedValues, stateOf } from "./filter.js";

const MOST_BUTTONS = 4;
const STATES = ["succeeded", "queued", "running", "failed", "cancelled"];

/** The groups DATA, RULE, STATE and TAG. */
export class FilterToggles {
  /**
   * @param {HTMLElement} root @param {import("../lib/boot.js").Boot} boot
   * @param {(name: string, values: string[], alias: string) => void} onPick
   */
  constructor(root, boot, onPick) {
    this.root = root;
    this.boot = boot;
    this.onPick = onPick;
  }

  /** @param {import("./filter.js").Term[]} terms @param {Object[]} runs all that are loaded */
  show(terms, runs) {
    const picked = (name) => pickedValues(terms, name).map((value) => value.toLowerCase());
    const tally = (read) => {
      const counts = new Map();
      for (const run of runs) for (const value of read(run)) counts.set(value, (counts.get(value) || 0) + 1);
      return counts;
    };
    const states = tally((run) => [run.state]);
    const chosenStates = picked("state").map(stateOf);
    const groups = [
      this.group("Data", "symbol", "data", picked("symbol"), this.boot.datasets.map((item) => item.symbol),
        tally((run) => [run.symbol])),
      this.group("Rule", "rule", "rule", picked("rule"), this.boot.rules.map((rule) => rule.name),
        tally((run) => [run.rule])),
      this.buttons("State", "state", "state", chosenStates.map((state) => STATE_WORDS[state]),
        STATES.filter((state) => ["succeeded", "failed"].includes(state) || states.get(state)
          || chosenStates.includes(state)).map((state) => STATE_WORDS[state]), [],
        (word) => `${word}${word === "done" ? "" : ` ${states.get(stateOf(word)) || 0}`}`),
      this.tags(pickedValues(terms, "tag"), [...tally((run) => run.tags).keys()].sort())];
    // What has not changed stays, and with it the focus.
    const key = JSON.stringify(groups.map(({ key: each }) => each));
    if (key === this.key) return;
    this.key = key;
    const focused = document.activeElement?.dataset?.toggle;
    fill(this.root, groups.map(({ node }) => node));
    if (focused) this.root.querySelector(`[data-toggle="${CSS.escape(focused)}"]`)?.focus();
  }

  /** Those that runs have most of as buttons, the others in a list. */
  group(title, name, alias, picked, all, counts) {
    const used = all.filter((value) => counts.get(value)).sort((one, other) => counts.get(other) - counts.get(one));
    const shown = all.filter((value) => used.slice(0, MOST_BUTTONS).includes(value)
      || picked.includes(value.toLowerCase()));
    return this.buttons(title, name, alias, picked, shown, all.filter((value) => !shown.includes(value)), (value) => value);
  }

  buttons(title, name, alias, picked, shown, more, label) {
    const isPicked = (value) => picked.includes(value.toLowerCase());
    const pick = (value) => this.onPick(name, shown.filter((each) => isPicked(each) !== (each === value)), alias);
    const button = (value, text, isOn, act) => h("button", { type: "button", class: "btn btn-small toggle", text,
      "aria-pressed": String(isOn), data: { toggle: `${alias}:${value}` }, on: { click: act } });
    const node = h("span", { class: "tool-group", role: "group", "aria-label": title }, h("i", { text: title }),
      button("", "all", !picked.length, () => this.onPick(name, [], alias)),
      shown.map((value) => button(value, label(value), isPicked(value), () => pick(value))),
      more.length > 0 && h("select", { class: "form-select more-select", "aria-label": `More of ${title}`,
        data: { toggle: `${alias}:more` },
        on: { change: ({ target }) => this.onPick(name, [...shown.filter(isPicked), target.value], alias) } },
        h("option", { value: "", text: "more" }), more.map((value) => h("option", { value, text: value }))));
    return { node, key: [name, picked, shown.map(label), more] };
  }

  tags(picked, known) {
    const [tag = ""] = picked;
    const values = known.includes(tag) || !tag ? known : [tag, ...known];
    const node = h("label", { class: "tool-group" }, h("i", { text: "Tag" }),
      h("select", { id: "filter-tag", class: "form-select", data: { toggle: "tag" },
        on: { change: ({ target }) => this.onPick("tag", target.value ? [target.value] : [], "tag") } },
        h("option", { value: "", text: "any" }),
        values.map((value) => h("option", { value, text: value, selected: value === tag }))));
    return { node, key: [picked, known] };
  }
}
