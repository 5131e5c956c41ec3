/** The strip at the foot of the page: platform state and the clock. */

import { ApiError, request } from "./api.js";
import { $, h } from "./dom.js";

/**
 * Show one item of the strip.
 * @param {string} name @param {string} text empty removes the item
 */
export function setStatus(name, text) {
  const strip = $("#strip");
  let item = strip.querySelector(`[data-status="${name}"]`);
  if (!text) {
    item?.remove();
    return;
  }
  if (!item) {
    item = h("span", { data: { status: name } }, h("i", { text: name }), h("b"));
    strip.insertBefore(item, $("#clock"));
  }
  $("b", item).textContent = text;
}

/** Fill the strip and keep the clock going; call once a page. @param {string} version */
export function installStatus(version) {
  setStatus("VERSION", version);
  const tick = () => {
    $("#clock b").textContent = new Date().toISOString().slice(0, 19).replace("T", " ");
  };
  tick();
  setInterval(tick, 1000);
  refreshHealth();
}

/** Ask the platform once how it is. */
export async function refreshHealth() {
  try {
    const health = await request("/health");
    setStatus("WORKERS", describeWorkers(health.workers));
    setStatus("PLATFORM", health.status);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    setStatus("PLATFORM", error.status ? "degraded" : "not reached");
  }
}

function describeWorkers(workers) {
  return Array.isArray(workers) ? String(workers.length) : String(workers ?? "");
}
