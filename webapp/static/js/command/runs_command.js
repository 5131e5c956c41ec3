/** RUNS and RUN in the command bar: words of the search expression, ids of the newest runs. */

import { request } from "../lib/api.js";
import { findRule } from "../lib/boot.js";
import { formatRule, formatSignedPercent, shortId } from "../lib/format.js";
import { METRIC_NAMES, metricDefinition } from "../lib/metrics.js";

const NEWEST = 30;
const FRESH = 10_000;
const STATES = ["done", "queued", "running", "failed", "cancelled"];
const WORDS = { data: "symbol of the dataset", rule: "name of the rule", state: STATES.join(", "), tag: "one of its tags",
  span: "length of the run: span>=8y, 6m, 90d", note: "words in its note" };

/**
 * Words of a search, after RUNS.
 * @param {string} last the word at the caret @param {import("../lib/boot.js").Boot} boot
 * @returns {Array<{value: string, note: string}>}
 */
export function completeRuns(last, boot) {
  const [name, value] = last.split("=");
  if (value !== undefined) {
    const values = { data: boot.datasets.map((item) => item.symbol), rule: boot.rules.map((rule) => rule.name),
      state: STATES }[name.toLowerCase()] || [];
    return values.map((each) => ({ value: `${name}=${each}`, note: WORDS[name.toLowerCase()] }));
  }
  return [...Object.entries(WORDS).map(([word, note]) => ({ value: word === "span" ? "span>" : `${word}=`, note })),
    ...METRIC_NAMES.map((metric) => ({ value: `${metric}>`, note: metricDefinition(metric) }))];
}

let newest = [];
let askedAt = -Infinity;

/**
 * Ask for the newest runs, unless that was a moment ago; true if there is something new to complete with.
 * @param {string} text of the command bar
 */
export async function loadNewestRuns(text) {
  if (!/^\s*RUN\s/i.test(text) || performance.now() - askedAt < FRESH) return false;
  askedAt = performance.now();
  try {
    newest = (await request(`/api/v1/runs?limit=${NEWEST}`)).runs;
    return true;
  } catch (error) {
    // Completion is a help: without it the id can still be typed.
    if (error.name !== "ApiError") throw error;
    return false;
  }
}

/** Ids of the newest runs. @param {import("../lib/boot.js").Boot} boot */
export function completeRunIds(boot) {
  return newest.map((run) => ({ value: shortId(run.run_id), end: "", note: [run.symbol,
    formatRule(findRule(boot, run.rule), run.spec), run.metrics ? formatSignedPercent(run.metrics.total_return, 1)
      : run.state, run.tags.join(", ")].filter(Boolean).join(" · ") }));
}
