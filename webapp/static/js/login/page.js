/** The login page: a token in, a session's cookie back, and on to where one wanted to go. */

import { ApiError, request } from "../lib/api.js";
import { $ } from "../lib/dom.js";

const form = $("#login-form");
const field = $("#token-field");
const input = $("#token");
const button = $("#login-button");

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.disabled) return;
  if (!input.value.trim()) {
    showError("Paste a token first.");
    return;
  }
  button.disabled = true;
  try {
    await request("/api/v1/session", { method: "POST", json: { token: input.value.trim() } });
    // Shown in place of the page that was asked for, the login leads there by loading it again.
    if (location.pathname === "/login") location.replace("/");
    else location.reload();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const [first] = error.errors;
    showError(first ? `The token ${first.message}.` : `${error.message}.`);
    button.disabled = false;
  }
});

function showError(text) {
  const line = $("#token-error");
  line.textContent = text;
  line.hidden = false;
  field.classList.add("is-bad");
  input.setAttribute("aria-invalid", "true");
  input.select();
  input.focus();
}
