/** The command bar: a combobox with completion and history. */

import { $, announce, fill, h } from "../lib/dom.js";
import { bindKeys, showKeys } from "../lib/keys.js";
import { completeCommand, hintCommand, parseCommand } from "./grammar.js";
import { loadNewestRuns } from "./runs_command.js";
import { CommandError } from "./words.js";

const HISTORY_KEY = "command-history";
const HISTORY_LENGTH = 50;

/**
 * Bring the command bar of the page to life.
 * @param {import("../lib/boot.js").Boot} boot
 * @param {{onRun: (request: Object, text: string) => void, onSweep: (request: Object, text: string) => void,
 *   onRefused?: () => void}} handlers called with a parsed run, a parsed sweep; for a command that is not understood
 */
export function installCommandBar(boot, { onRun, onSweep, onRefused = () => {} }) {
  const input = $("#command");
  const list = $("#command-list");
  const hint = $("#command-hint");
  const state = { items: [], active: -1, past: null, pastIdx: -1, draft: "" };

  const close = () => {
    list.hidden = true;
    state.items = [];
    state.active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const refresh = (isAsked = false) => {
    const before = input.value.slice(0, input.selectionStart ?? input.value.length);
    showError("");
    hint.textContent = hintCommand(input.value, boot);
    state.items = before.trim() || isAsked ? completeCommand(before, boot) : [];
    state.active = -1;
    drawList(list, state, accept);
    input.setAttribute("aria-expanded", String(state.items.length > 0));
    loadNewestRuns(before).then((isNew) => { if (isNew && document.activeElement === input) refresh(); });
  };
  const accept = (idx) => {
    const item = state.items[idx];
    const caret = input.selectionStart ?? input.value.length;
    const start = input.value.slice(0, caret).search(/\S*$/);
    const end = item.end ?? (/[=>]$/.test(item.value) ? "" : " ");
    input.setRangeText(item.value + end, start, caret, "end");
    input.focus();
    refresh();
  };
  const showError = (message) => {
    const box = $("#command-error");
    box.textContent = message;
    box.hidden = !message;
    input.setAttribute("aria-invalid", String(Boolean(message)));
    if (message) announce(message);
  };
  const submit = () => {
    const text = input.value.trim();
    close();
    try {
      const command = parseCommand(text, boot);
      remember(state, text);
      // Out of the field, so that the keys of the page work on the result.
      input.blur();
      hint.textContent = "";
      if (command.kind === "run") onRun(command.request, text);
      else if (command.kind === "sweep") onSweep(command.request, text);
      else location.assign(command.kind === "open" ? `/?run=${encodeURIComponent(command.id)}` : command.href);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      onRefused();
      showError(error.message);
    }
  };
  const move = (step) => {
    if (state.items.length && (step > 0 || state.active >= 0)) {
      state.active = Math.min(state.active + step, state.items.length - 1);
      drawList(list, state, accept);
      if (state.active >= 0) input.setAttribute("aria-activedescendant", `command-item-${state.active}`);
      else input.removeAttribute("aria-activedescendant");
    } else if (step > 0 && state.pastIdx === -1 && !input.value.trim()) refresh(true);
    else {
      walkHistory(state, input, -step);
      close();
      hint.textContent = hintCommand(input.value, boot);
    }
  };

  input.addEventListener("input", () => refresh());
  // What stands there is the last command: typing replaces it, arrows edit it.
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", () => setTimeout(close, 120));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && state.active >= 0) accept(state.active);
    else if (event.key === "Enter") submit();
    else if (event.key === "Tab" && !event.shiftKey && state.items.length) accept(Math.max(state.active, 0));
    else if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "/" && isAllSelected(input)) input.select();
    else if (event.key === "Escape") {
      if (state.items.length) close();
      else input.blur();
    } else return;
    event.preventDefault();
  });
  bindKeys(["/"], () => input.focus());
  $("#focus-command").addEventListener("click", () => input.focus());
  $("#show-keys").addEventListener("click", showKeys);
}

/** Show a command without running it. @param {string} text */
export function setCommandText(text) {
  const input = $("#command");
  if (document.activeElement === input) return;
  input.value = text;
  $("#command-error").hidden = true; // it was about another text
  input.setAttribute("aria-invalid", "false");
}

function isAllSelected(input) {
  return input.selectionStart === 0 && input.selectionEnd === input.value.length;
}

function drawList(list, state, accept) {
  list.hidden = state.items.length === 0;
  fill(list, state.items.map((item, idx) => h("li", {
    id: `command-item-${idx}`, role: "option", "aria-selected": String(idx === state.active),
    on: { pointerdown: (event) => { event.preventDefault(); accept(idx); } },
  }, h("span", { text: item.value }), h("small", { text: item.note }))));
}

function readHistory() {
  try {
    const past = JSON.parse(localStorage.getItem(HISTORY_KEY));
    return Array.isArray(past) ? past.filter((item) => typeof item === "string") : [];
  } catch (error) {
    // Another program of this address may have written there; a history is not worth a dead page.
    if (!(error instanceof SyntaxError)) throw error;
    return [];
  }
}

function remember(state, text) {
  state.past = [text, ...readHistory().filter((item) => item !== text)].slice(0, HISTORY_LENGTH);
  state.pastIdx = -1;
  localStorage.setItem(HISTORY_KEY, JSON.stringify(state.past));
}

function walkHistory(state, input, step) {
  state.past ??= readHistory(); // asking the browser's store would delay every page
  if (state.pastIdx === -1) state.draft = input.value;
  const next = Math.min(Math.max(state.pastIdx + step, -1), state.past.length - 1);
  if (next === state.pastIdx) return;
  state.pastIdx = next;
  input.value = next === -1 ? state.draft : state.past[next];
  input.setSelectionRange(input.value.length, input.value.length);
}
