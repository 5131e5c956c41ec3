/** The run's pin: what is pinned here stands side by side on the runs page. */

import { announce, fill, h, pauseTask } from "../lib/dom.js";
import { setStatus } from "../lib/status.js";
import { loadPins, savePins, SLOTS } from "../runs/pins.js";

/** The buttons that pin the run in sight, and the way to the comparison. */
export class RunPin {
  /** @param {HTMLElement[]} buttons which do the same @param {HTMLAnchorElement} link to what is pinned */
  constructor(buttons, link) {
    Object.assign(this, { buttons, link, runId: null });
    for (const button of buttons) button.addEventListener("click", () => this.toggle());
    // Whoever comes back may have taken pins off meanwhile.
    window.addEventListener("pageshow", (event) => event.persisted && this.draw());
  }

  /** @param {string|null} runId */
  show(runId) {
    this.runId = runId;
    // After the result: the first look into the browser's store takes a while.
    pauseTask().then(() => this.draw());
  }

  /** Pin the run, or take its pin off. */
  toggle() {
    if (!this.runId) return;
    const pins = loadPins();
    if (!pins.toggle(this.runId)) {
      const text = `${SLOTS.length} runs are pinned already: take one off on the runs page`;
      setStatus("PIN", text);
      announce(text);
      return;
    }
    savePins(pins);
    const slot = pins.slotOf(this.runId);
    announce(slot ? `pinned as ${slot.letter}` : "pin taken off");
    this.draw();
  }

  draw() {
    const pins = loadPins();
    const slot = this.runId ? pins.slotOf(this.runId) : null;
    setStatus("PIN", "");
    for (const button of this.buttons) {
      button.hidden = !this.runId;
      button.setAttribute("aria-pressed", String(slot !== null));
      fill(button, slot ? [h("span", { "aria-hidden": "true", text: "◆ ", style: { color: slot.color } }), `Pin ${slot.letter}`] : "Pin");
    }
    this.link.hidden = !this.runId || pins.count === 0;
    this.link.textContent = `Compare ${pins.count}`;
    this.link.href = `/runs?pins=${pins}`;
  }
}
