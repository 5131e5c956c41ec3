/** What every page has: command bar, keys, tooltips, status strip, trouble banner. */

import { installCommandBar } from "../command/bar.js";
import { request } from "./api.js";
import { readBoot } from "./boot.js";
import { $, announce, fill, h } from "./dom.js";
import { installKeys } from "./keys.js";
import { installStatus } from "./status.js";
import { installTooltips } from "./tooltip.js";

/**
 * Set a page up.
 * @param {{onRun?: (request: Object, text: string) => void,
 *   onSweep?: (request: Object, text: string) => void}} [options] what the commands do; by default
 *   they are handed to the page of runs, of sweeps
 * @returns {import("./boot.js").Boot}
 */
export function installShell(options = {}) {
  const boot = readBoot();
  const handOver = (page) => (_request, text) => {
    sessionStorage.setItem("pending-command", text);
    location.assign(page);
  };
  installTooltips();
  installKeys();
  installCommandBar(boot, { onRun: options.onRun || handOver("/"), onSweep: options.onSweep || handOver("/sweep") });
  installStatus(boot.version);
  installMenu();
  installLogOut();
  return boot;
}

function installLogOut() {
  const button = $("#log-out");
  if (!button) return;
  button.addEventListener("click", async () => {
    await request("/api/v1/session", { method: "DELETE" });
    location.assign("/login");
  });
  button.disabled = false; // until now a click would have done nothing, and looked as if it had
}

function installMenu() {
  const button = $("#menu-button");
  button.addEventListener("click", () => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    $("#nav").classList.toggle("is-open", !isOpen);
  });
}

let lastTrouble = "";
/** What a banner leads with, where the server is there and does not want to. */
const WORDS = { Forbidden: "REFUSED", "Too Many Requests": "WAIT" };

/**
 * Show or hide the banner that says the server is in trouble.
 * @param {{title: string, text: string, retry?: () => void}|null} trouble
 */
export function showTrouble(trouble) {
  const banner = $("#banner");
  banner.hidden = trouble === null;
  if (trouble === null) {
    lastTrouble = "";
    return;
  }
  fill(banner,
    h("span", { class: "word", text: WORDS[trouble.title] || "OFFLINE" }),
    h("strong", { text: trouble.title }),
    h("span", { text: trouble.text }),
    trouble.retry && h("button", { type: "button", class: "btn", text: "Try now", on: { click: trouble.retry } }));
  // Spoken once, not at every try.
  if (trouble.title !== lastTrouble) announce(`${trouble.title}. ${trouble.text}`);
  lastTrouble = trouble.title;
}
