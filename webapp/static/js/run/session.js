/** Sending a run and following it: the poll backs off and stops. */

import { ApiError, request, requestIfChanged } from "../lib/api.js";
import { loadMarks } from "./trade_data.js";

const FIRST_DELAY = 200;
const LAST_DELAY = 2000;
const GROWTH = 1.4;
const TERMINAL = ["succeeded", "failed", "cancelled"];

/** @param {string} state */
export function isTerminal(state) {
  return TERMINAL.includes(state);
}

/** @param {string} runId */
export function runPath(runId) {
  return `/api/v1/runs/${encodeURIComponent(runId)}`;
}

/** @returns {string} a key under which a run is accepted once */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Send a run.
 * @param {Object} body @param {string} key the server answers a second request with this key like the first
 * @returns {Promise<{run_id: string, state: string, cached: boolean}>}
 */
export function submitRun(body, key) {
  return request("/api/v1/runs", { method: "POST", json: body, headers: { "Idempotency-Key": key } });
}

/**
 * Follow a run until it is done.
 * @param {string} runId
 * @param {{onState: (run: Object, delay: number) => void, onTrouble: (error: ApiError, wait: number) => void,
 *   signal: AbortSignal}} handlers trouble is reported and the poll goes on
 * @returns {Promise<Object>} the run in its last state
 * @throws {ApiError} if the run cannot be read for a reason that waiting does not cure
 */
export async function followRun(runId, { onState, onTrouble, signal }) {
  let delay = FIRST_DELAY;
  let etag = null;
  let run = null;
  for (;;) {
    try {
      const answer = await requestIfChanged(runPath(runId), etag, signal);
      etag = answer.etag;
      run = answer.body || run;
      onState(run, delay);
      if (isTerminal(run.state)) return run;
    } catch (error) {
      if (!(error instanceof ApiError) || !error.isTrouble) throw error;
      delay = Math.max(delay, error.retryAfter * 1000);
      onTrouble(error, delay);
    }
    await pause(delay, signal);
    delay = Math.min(delay * GROWTH, LAST_DELAY);
  }
}

function pause(delay, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, delay);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("no longer needed", "AbortError"));
    }, { once: true });
  });
}

/**
 * What the tabs show at once but series: figures, and the marks that charts wait for.
 * @param {string} runId @param {Object|null} known figures, if they came with the page
 * @returns {{summary: Promise<Object>, marks: Promise<import("./trade_data.js").TradeMarks>}}
 */
export function loadResult(runId, known) {
  const summary = known ? Promise.resolve(known) : request(`${runPath(runId)}/view`);
  const marks = loadMarks(runPath(runId));
  for (const loading of [summary, marks]) loading.catch(() => {}); // explained where it is awaited
  return { summary, marks };
}

/**
 * Columns of a run, thinned by the server.
 * @param {string} runId @param {string[]} names @param {number} start @param {number} end inclusive
 * @param {number} points @param {AbortSignal} signal
 */
export function loadSeries(runId, names, start, end, points, signal) {
  const query = new URLSearchParams({ names: names.join(","), start_idx: start, end_idx: end, points });
  return request(`${runPath(runId)}/series?${query}`, { signal });
}
