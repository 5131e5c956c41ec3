/** Which runs are compared: up to five slots, each with a letter, a colour and a line style. */

import { COLORS } from "../charts/theme.js";

/** Told apart by letter, colour and dash, so that none of the three alone has to do. */
export const SLOTS = [
  { letter: "A", color: COLORS.text, width: 1.75 },
  { letter: "B", color: "#4fb3ff", width: 1.5, dash: [6, 3] },
  { letter: "C", color: "#c490ff", width: 1.5, dash: [2, 2] },
  { letter: "D", color: "#ff9ecf", width: 1.5, dash: [8, 3, 2, 3] },
  { letter: "E", color: "#8fe3e8", width: 1.5, dash: [12, 4] },
];
// Pins outlive a look at a run, and end with the browser's tab.
const STORE_KEY = "pinned-runs";
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Runs by slot; a run keeps its letter while others come and go. */
export class Pins {
  /** @param {string|null|undefined} text of the address */
  constructor(text) {
    const ids = (text || "").split(",").slice(0, SLOTS.length).map((id) => (ID.test(id) ? id : null));
    this.ids = SLOTS.map((_slot, idx) => (ids.indexOf(ids[idx]) === idx ? ids[idx] ?? null : null));
  }

  /** @returns {string} as the address holds it */
  toString() {
    return this.ids.map((id) => id || "").join(",").replace(/,+$/, "");
  }

  get count() {
    return this.ids.filter(Boolean).length;
  }

  /** @param {string} runId @returns {Object|null} the slot of a run */
  slotOf(runId) {
    const at = this.ids.indexOf(runId);
    return at < 0 ? null : SLOTS[at];
  }

  /** Pin a run, or take its pin away. @param {string} runId @returns {boolean} false if there is no slot left */
  toggle(runId) {
    const at = this.ids.indexOf(runId);
    const free = at < 0 ? this.ids.indexOf(null) : at;
    if (free < 0) return false;
    this.ids[free] = at < 0 ? runId : null;
    return true;
  }

  clear() {
    this.ids.fill(null);
  }
}

/** @param {string} [text] of an address that names its own; it has the last word @returns {Pins} */
export function loadPins(text) {
  return new Pins(text ?? sessionStorage.getItem(STORE_KEY));
}

/** @param {Pins} pins */
export function savePins(pins) {
  sessionStorage.setItem(STORE_KEY, pins.toString());
}
