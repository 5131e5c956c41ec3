/** What every page has: command bar, keys, tooltips, status strip, trouble banner. */

import { installCommandBar } from "../command/bar.js";
import { ApiError, request } from "./api.js";
import { readBoot } from "./boot.js";
import { $, announce, fill, h } from "./dom.js";
import { sentence } from "./format.js";
import { installKeys } from "./keys.js";
import { installStatus } from "./status.js";
import { installTooltips } from "./tooltip.js";

/**
 * Set a page up.
 * @param {{onRun?: (request: Object, text: string) => void,
 *   onSweep?: (request: Object, text: string) => void, onRefused?: () => void}} [options] what the commands do; by
 *   default they are handed to the page of runs, of sweeps; what a page does where one is not understood
 * @returns {import("./boot.js").Boot}
 */
export function installShell(options = {}) {
  const boot = readBoot();
  if (!boot.storage_available) waitForDatabase();
  const handOver = (page) => (_request, text) => {
    sessionStorage.setItem("pending-command", text);
    location.assign(page);
  };
  installTooltips();
  installKeys();
  installCommandBar(boot, { onRun: options.onRun || handOver("/"), onSweep: options.onSweep || handOver("/sweep"),
    onRefused: options.onRefused });
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

/** What a banner leads with, where the server is there and does not want to. */
const WORDS = { 404: "NOT FOUND", 429: "WAIT" };
// What could not be loaded is asked for again by itself, more and more seldom [ms].
const FIRST_WAIT = 1000;
const LAST_WAIT = 15_000;
const WAIT_GROWTH = 1.6;
const trouble = { title: "", wait: FIRST_WAIT, timer: 0 };

/** Hide the banner that says that the server is in trouble. */
export function clearTrouble() {
  clearTimeout(trouble.timer);
  Object.assign(trouble, { title: "", wait: FIRST_WAIT });
  $("#banner").hidden = true;
}

/**
 * Show the banner that says that the server is in trouble.
 * @param {import("./api.js").ApiError} error
 * @param {{retry?: () => void, isLoading?: boolean, wait?: number, note?: string}} [options] what only loads is tried
 *   again by itself, what changes something by a person; `wait` if whoever asks already does so after so long [ms]
 */
export function showTrouble(error, { retry, isLoading = false, wait = 0, note = "" } = {}) {
  clearTimeout(trouble.timer);
  const title = error.title || "The platform is in trouble";
  let next = wait;
  if (isLoading && error.isPassing) {
    next = Math.max(trouble.wait, error.retryAfter * 1000);
    trouble.wait = Math.min(trouble.wait * WAIT_GROWTH, LAST_WAIT);
    trouble.timer = setTimeout(retry, next);
  }
  const text = [sentence(error.message), next && `Next try in ${Math.round(next / 1000) || 1} s.`, note]
    .filter(Boolean).join(" ");
  const tryNow = () => {
    clearTimeout(trouble.timer);
    retry();
  };
  const banner = $("#banner");
  banner.hidden = false;
  fill(banner,
    h("span", { class: "word", text: WORDS[error.status] || (error.isTrouble ? "OFFLINE" : "REFUSED") }), h("strong", { text: title }),
    h("span", { text }),
    retry && error.isTrouble && h("button", { type: "button", class: "btn", text: "Try now", on: { click: tryNow } }));
  // Spoken once, not at every try.
  if (title !== trouble.title) announce(`${title}. ${text}`);
  trouble.title = title;
}

/** A page that was opened without the database knows no dataset: it comes again when they can be read. */
function waitForDatabase(wait = FIRST_WAIT) {
  setTimeout(async () => {
    try {
      await request("/api/v1/datasets");
      location.reload();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      waitForDatabase(Math.min(wait * WAIT_GROWTH, LAST_WAIT));
    }
  }, wait);
}
