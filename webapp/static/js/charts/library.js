/** uPlot: it comes with the page and runs when the first chart is drawn, so that figures need not wait for it. */

import { ApiError } from "../lib/api.js";
import { $ } from "../lib/dom.js";

let loading = null;

/** @returns {Promise<Function>} the class of a chart @throws {ApiError} if it cannot be fetched */
export function loadUPlot() {
  loading ??= fetchScript($("#uplot").href).catch((error) => {
    loading = null; // the next chart tries again
    throw error;
  });
  return loading;
}

function fetchScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", () => resolve(globalThis.uPlot));
    script.addEventListener("error", () => reject(new ApiError(0,
      { title: "The server cannot be reached", detail: "The script that draws charts did not come." })));
    document.head.append(script);
  });
}
