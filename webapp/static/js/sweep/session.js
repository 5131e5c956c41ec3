/** Talking to the API about sweeps: sending, following, steering and asking for results. */

import { ApiError, request, requestIfChanged } from "../lib/api.js";

const PATH = "/api/v1/sweeps";
const MOST_LISTED = 200;
const FIRST_DELAY = 200;
const LAST_DELAY = 2000;
const GROWTH = 1.4;
const TERMINAL = ["succeeded", "failed", "cancelled"];

/** @param {string} state */
export function isTerminal(state) {
  return TERMINAL.includes(state);
}

/** @param {string} sweepId */
export function sweepPath(sweepId) {
  return `${PATH}/${encodeURIComponent(sweepId)}`;
}

/**
 * Send a sweep.
 * @param {Object} body @param {string} key the server answers a second request with this key like the first
 * @returns {Promise<{sweep_id: string, state: string, cached: boolean}>}
 */
export function submitSweep(body, key) {
  return request(PATH, { method: "POST", json: body, headers: { "Idempotency-Key": key } });
}

/** Counts and time of a sweep that is not sent. @param {Object} body @param {AbortSignal} signal */
export function estimateSweep(body, signal) {
  return request(`${PATH}?estimate=1`, { method: "POST", json: body, signal });
}

/** @param {number} limit @returns {Promise<{sweeps: Object[], next_cursor: string|null}>} newest first */
export function loadSweeps(limit) {
  return request(`${PATH}?limit=${limit}`);
}

/** The id that begins like `text`, as lists show it; `text` itself if no sweep does. @param {string} text */
export async function completeSweepId(text) {
  if (!/^[0-9a-f]{4,12}$/i.test(text)) return text;
  const { sweeps } = await loadSweeps(MOST_LISTED);
  return sweeps.find((sweep) => sweep.sweep_id.startsWith(text.toLowerCase()))?.sweep_id ?? text;
}

/** @param {string} sweepId @param {"pause"|"resume"|"cancel"|"retry"} action */
export function steerSweep(sweepId, action) {
  return request(`${sweepPath(sweepId)}/${action}`, { method: "POST" });
}

/**
 * Follow a sweep until it has ended; while it is paused the poll stays slow.
 * @param {string} sweepId
 * @param {{onState: (sweep: Object, delay: number) => void, onTrouble: (error: ApiError, wait: number) => void,
 *   signal: AbortSignal}} handlers trouble is reported and the poll goes on
 * @throws {ApiError} if the sweep cannot be read for a reason that waiting does not cure
 */
export async function followSweep(sweepId, { onState, onTrouble, signal }) {
  let delay = FIRST_DELAY;
  let etag = null;
  for (;;) {
    try {
      const answer = await requestIfChanged(sweepPath(sweepId), etag, signal);
      etag = answer.etag;
      if (answer.body) onState(answer.body, delay);
      if (answer.body && isTerminal(answer.body.state)) return;
    } catch (error) {
      if (!(error instanceof ApiError) || !error.isTrouble) throw error;
      delay = Math.max(delay, error.retryAfter * 1000);
      etag = null; // unchanged or not, the next answer says that the server is back
      onTrouble(error, delay);
    }
    await pause(delay, signal);
    delay = Math.min(delay * GROWTH, LAST_DELAY);
  }
}

/**
 * Ask for a result of a sweep; what a worker has to compute first is waited for.
 * @param {string} sweepId @param {string} kind for example "heatmap"
 * @param {Object<string, any>} query null and "" are left out; a list repeats its name
 * @param {AbortSignal} signal @returns {Promise<any>}
 */
export async function askSweep(sweepId, kind, query, signal) {
  const path = `${sweepPath(sweepId)}/${kind}${writeQuery(query)}`;
  for (let delay = FIRST_DELAY; ; delay = Math.min(delay * GROWTH, LAST_DELAY)) {
    const answer = await request(path, { signal });
    if (answer.state !== "computing") return answer;
    await pause(delay, signal);
  }
}

/** @param {Object<string, any>} query @returns {string} "" or "?name=value" */
export function writeQuery(query) {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([name, value]) => [value].flat().map((item) => [name, String(item)]));
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

/** @param {number} delay ms @param {AbortSignal} signal */
export function pause(delay, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, delay);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("no longer needed", "AbortError"));
    }, { once: true });
  });
}
