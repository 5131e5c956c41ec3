/** What stands in place of the tabs: nothing yet, queued, running, failed, cancelled. */

import { $, announce, copyText, fill, h } from "../lib/dom.js";
import { formatCount, formatOrdinal, sentence } from "../lib/format.js";

const STAGES = ["loading", "bars", "signals", "engine", "metrics", "report", "saving"];
const FAILURES = {
  invalid_input: ["The inputs cannot be run", "Correct what is named above and run it again."],
  timeout: ["The run took too long", "Choose a shorter date range."],
  out_of_memory: ["Not enough memory", "Choose a shorter date range."],
  attempts_exhausted: ["The worker stopped again and again", ""],
};
const UNKNOWN_FAILURE = ["The run failed",
  "Run it again; if it fails again, copy the report for whoever runs this platform."];
const MAX_BOXES = 12;
let lastSpoken = "";

/** Hide the panel and show the result. */
export function clearState() {
  $("#state-panel").hidden = true;
  document.body.classList.remove("is-waiting", "is-stateful");
}

function showPanel({ isWaiting }, ...content) {
  const panel = $("#state-panel");
  panel.hidden = false;
  document.body.classList.add("is-stateful");
  document.body.classList.toggle("is-waiting", isWaiting);
  fill(panel, h("div", { class: "state-body" }, content));
}

function speakOnce(text) {
  if (text === lastSpoken) return;
  lastSpoken = text;
  announce(text);
}

/** First visit. @param {string[]} examples @param {string} data @param {(text: string) => void} onExample */
export function showEmpty(examples, data, onExample) {
  showPanel({ isWaiting: false },
    h("h2", { text: "No run yet" }),
    h("p", {}, "Fill the form and press ", h("kbd", { text: "⏎" }), ", or type a command:"),
    examples.map((text) => h("button", { type: "button", class: "example", on: { click: () => onExample(text) } },
      h("i", { text: ">", "aria-hidden": "true" }), text)),
    h("p", {}, h("span", { class: "amber", text: "DATA " }), data, " ", h("a", { href: "/data", text: "Add a file" })));
}

/** Waiting for a worker. @param {Object} run @param {number} delay ms @param {() => void} onCancel */
export function showQueued(run, delay, onCancel) {
  const { queue_position: position, queue_length: length } = run;
  const place = position && [h("span", { class: "amber", text: formatOrdinal(position) }), ` of ${formatCount(length)}`];
  showPanel({ isWaiting: true },
    h("h2", {}, place ? ["Queued, ", place] : "Queued"),
    position && h("div", { class: "queue-boxes", "aria-hidden": "true" }, queueBoxes(position, length)),
    h("p", { text: sayWaiting(run.stage, position) }),
    h("p", {}, cancelButton(onCancel), h("small", { text: `asks again every ${(delay / 1000).toFixed(1)} s` })),
    h("p", { class: "hint", text: `run ${run.run_id}` }));
  speakOnce(position ? `Queued, position ${position} of ${length}` : "Queued");
}

/** What an executor says that the run waits for, else how many come first. */
function sayWaiting(stage, position) {
  if (stage) return `${stage[0].toUpperCase()}${stage.slice(1)}.`;
  return position > 1 ? `Waiting for a worker; ${formatCount(position - 1)} before it.` : "Waiting for a worker.";
}

/** The queue as boxes; of a long one the part around this run. */
function queueBoxes(position, length) {
  const first = Math.max(Math.min(position - MAX_BOXES / 2, length - MAX_BOXES + 1), 1);
  const last = Math.min(first + MAX_BOXES - 1, length);
  return Array.from({ length: last - first + 1 }, (_, idx) => first + idx)
    .map((number) => h("span", { class: number === position ? "is-own" : "", text: formatCount(number) }));
}

/** Being computed. @param {Object} run @param {() => void} onCancel */
export function showRunning(run, onCancel) {
  const percent = Math.round((run.progress || 0) * 100);
  const current = STAGES.indexOf(run.stage);
  showPanel({ isWaiting: true },
    h("h2", {}, "Running, ", h("span", { class: "amber", text: `${percent}%` })),
    h("div", { class: "meter", role: "progressbar", "aria-valuenow": percent, "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-label": "progress" },
      h("span", { style: { width: `${percent}%` } })),
    current >= 0
      ? h("ol", { class: "stages" }, STAGES.map((stage, idx) => h("li", { class: idx === current ? "is-current" : "" },
        h("span", { text: stage }),
          h("span", { text: idx < current ? "done" : idx === current ? "at work" : "waiting" }))))
      : run.stage && h("p", { text: run.stage }),
    h("p", {}, cancelButton(onCancel), run.attempt > 1 && h("small", { text: `attempt ${run.attempt}` })),
    h("p", { class: "hint", text: `run ${run.run_id}` }));
  speakOnce(`Running, ${Math.floor(percent / 25) * 25} percent`);
}

function cancelButton(onCancel) {
  return h("button", { type: "button", id: "cancel-run", class: "btn", text: "Cancel", on: { click: onCancel } });
}

/** Ended without a result. @param {Object} run @param {() => void} onRetry */
export function showFailed(run, onRetry) {
  const error = run.error || {};
  const errors = error.errors || [];
  const [title, advice] = FAILURES[error.code] || UNKNOWN_FAILURE;
  const report = JSON.stringify({ run_id: run.run_id, error, spec: run.spec }, null, 2);
  showPanel({ isWaiting: false },
    h("h2", {}, h("span", { class: "word", text: "FAILED" }), ` ${title}`),
    h("table", { class: "grid facts" }, h("tbody", {}, errors.map((item) => [
      fact("where", item.field),
        fact("found", item.value === null || item.value === undefined ? "" : String(item.value)),
      fact("rule", item.message)]), !errors.length && fact("why", error.message))),
    h("p", {}, h("span", { class: "amber", text: "DO " }), error.remedy ? sentence(error.remedy) : advice,
      " Nothing was stored of this run's result."),
    h("p", { class: "button-row" },
      h("button", { type: "button", class: "btn btn-primary", text: "Run again", on: { click: onRetry } }),
      h("button", { type: "button", class: "btn", text: "Copy report", on: { click: () => copyText(report) } })),
    h("p", { class: "hint", text: `run ${run.run_id} · attempt ${run.attempt}` }));
  speakOnce(`Failed. ${title}. ${error.message || ""}`);
}

function fact(name, text) {
  return text ? h("tr", {}, h("th", { scope: "row", text: name }), h("td", { text })) : null;
}

/** Stopped on request. @param {Object} run @param {() => void} onRetry */
export function showCancelled(run, onRetry) {
  showPanel({ isWaiting: false },
    h("h2", { text: "Cancelled" }),
    h("p", { text: "The run was stopped before it was done; it has no result." }),
    h("p", { class: "button-row" },
      h("button", { type: "button", class: "btn btn-primary", text: "Run again", on: { click: onRetry } })),
    h("p", { class: "hint", text: `run ${run.run_id}` }));
  speakOnce("Cancelled");
}

/** The address names a run that is not there. @param {string} id @param {string} message */
export function showMissing(id, message) {
  showPanel({ isWaiting: false },
    h("h2", {}, h("span", { class: "word", text: "NOT FOUND" }), " No such run"),
    h("p", { text: message }),
    h("p", {}, h("a", { href: "/runs", text: "History of runs" })),
    h("p", { class: "hint", text: `run ${id}` }));
  speakOnce("No such run");
}
