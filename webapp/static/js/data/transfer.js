/** Sending a file with progress, which fetch() cannot tell. */

import { ApiError } from "../lib/api.js";

const PATH = "/api/v1/datasets";

/**
 * Send a file of bars.
 * @param {{file: File, symbol: string, dateFormat: string, isPreview: boolean, signal: AbortSignal,
 *   onProgress: (sent: number, total: number) => void}} upload
 * @returns {Promise<Object>} the dataset as stored, or the preview
 * @throws {ApiError}
 */
export function sendFile({ file, symbol, dateFormat, isPreview, signal, onProgress }) {
  // The file comes last: the server reads the other fields before it streams the file.
  const body = new FormData();
  if (symbol) body.append("symbol", symbol);
  if (dateFormat) body.append("date_format", dateFormat);
  body.append("file", file);
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", isPreview ? `${PATH}?preview=1` : PATH);
    sending.setRequestHeader("Accept", "application/json");
    const proof = document.querySelector('meta[name="csrf-token"]');
    if (proof) sending.setRequestHeader("X-CSRF-Token", proof.content);
    sending.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total || file.size));
    sending.addEventListener("load", () => {
      const answer = parse(sending);
      if (sending.status < 300) resolve(answer);
      else reject(new ApiError(sending.status, answer, Number(sending.getResponseHeader("Retry-After")) || 0));
    });
    sending.addEventListener("error", () => reject(new ApiError(0,
      { title: "The server cannot be reached", detail: "The file did not get through; send it again." })));
    sending.addEventListener("abort", () => reject(new DOMException("no longer needed", "AbortError")));
    signal.addEventListener("abort", () => sending.abort(), { once: true });
    sending.send(body);
  });
}

function parse(sending) {
  // The session is over, or its token was revoked: the same address asks for a token now.
  if (sending.status === 401) location.reload();
  const type = sending.getResponseHeader("Content-Type") || "";
  return type.includes("json") ? JSON.parse(sending.responseText)
    : { title: `${sending.status} ${sending.statusText}` };
}
