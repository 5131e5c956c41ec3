/** The HTTP API: JSON in and out, problem documents as errors, ETags for polling. */

/** A refusal or a failure of the server, with the fields it names. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 if there was no answer at all
   * @param {{title?: string, detail?: string, errors?: Array<{field: string, value: any, message: string}>}} problem
   * @param {number} retryAfter seconds, 0 if the server named none
   */
  constructor(status, problem, retryAfter = 0) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.title = problem.title || "";
    this.errors = problem.errors || [];
    this.retryAfter = retryAfter;
  }

  /** True where trying again later helps by itself: nothing is broken, somebody is away or busy. */
  get isPassing() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }

  /** True where trying again later may help. */
  get isTrouble() {
    return this.status === 0 || this.status >= 500 || this.status === 429;
  }
}

/**
 * Send a request and return the decoded answer.
 * @param {string} path
 * @param {{method?: string, json?: any, body?: FormData, headers?: Object, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} null for an empty answer
 * @throws {ApiError}
 */
export async function request(path, options = {}) {
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
}

/**
 * Get `path` unless it is unchanged since `etag`.
 * @param {string} path @param {string|null} etag @param {AbortSignal} [signal]
 * @returns {Promise<{etag: string|null, body: any|null}>} body null if unchanged
 */
export async function requestIfChanged(path, etag, signal) {
  const headers = etag ? { "If-None-Match": etag } : {};
  const response = await send(path, { headers, signal });
  if (response.status === 304) return { etag, body: null };
  return { etag: response.headers.get("ETag"), body: await response.json() };
}

/**
 * Read an answer of one JSON document a line as it comes; each line is a task of its own.
 * @param {string} path @param {(document: any) => void} onLine @param {AbortSignal} signal
 */
export async function requestLines(path, onLine, signal) {
  const response = await send(path, { headers: { Accept: "application/x-ndjson" }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value || "")).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      onLine(JSON.parse(line));
      await new Promise((resume) => { setTimeout(resume); });
    }
    if (done) return;
  }
}

async function send(path, { method = "GET", json, body, headers = {}, signal } = {}) {
  const init = { method, headers: { Accept: "application/json", ...headers }, signal, body };
  if (json !== undefined) {
    init.body = JSON.stringify(json);
    init.headers["Content-Type"] = "application/json";
  }
  // A write of a browser that logged in proves that it comes from one of our pages.
  const proof = method === "GET" ? null : document.querySelector('meta[name="csrf-token"]');
  if (proof) init.headers["X-CSRF-Token"] = proof.content;
  // Conditional requests are ours to make: the browser's cache would hide the 304.
  if (headers["If-None-Match"]) init.cache = "no-store";
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { title: "The server cannot be reached", detail: "No answer from the server." });
  }
  if (response.ok || response.status === 304) return response;
  // The session is over, or its token was revoked: the same address asks for a token now.
  if (response.status === 401 && !document.getElementById("login-form")) location.reload();
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  throw new ApiError(response.status, await readProblem(response), retryAfter);
}

async function readProblem(response) {
  const type = response.headers.get("Content-Type") || "";
  if (!type.includes("json")) return { title: `${response.status} ${response.statusText}` };
  return response.json();
}
