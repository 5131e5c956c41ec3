/** What a sweep would take, in two lines under the form. */

import { h } from "../lib/dom.js";
import { formatCount, formatShort } from "../lib/format.js";

/** A span of time as people say it. @param {number|null} seconds */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 0.95) return `${Math.max(Math.round(seconds * 10) / 10, 0.1).toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${(seconds / 3600).toFixed(1)} h` : `${formatCount(seconds / 86400)} days`;
}

/**
 * @param {Array<number|null>} counts values of every axis, null where the text is not a SPEC
 * @param {{estimate?: Object, errors?: Array<{message: string, label: string|null}>, text?: string}|null} answer of
 *   the server; null until it came. Errors that are told at a field have its label.
 * @returns {Node[]}
 */
export function describeEstimate(counts, answer) {
  const factors = counts.filter((count) => count !== 1);
  if (factors.includes(null)) return [line("hint", "one of the ranges cannot be read yet")];
  const product = factors.reduce((all, count) => all * count, 1);
  if (!factors.length) {
    return [line("hint", "nothing is swept"), total(1, "combination"),
      line("hint", "a range as 2..30 or a list as 10,14,21 in a field sweeps it")];
  }
  const grid = factors.length > 1 ? `${factors.map(formatCount).join(" × ")} =` : "";
  if (answer?.errors?.length) {
    // What stands at its field is only named here.
    const named = [...new Set(answer.errors.filter(({ label }) => label).map(({ label }) => label))];
    const said = answer.errors.filter(({ label }) => !label).map(({ message }) => message);
    return [line("hint", grid), line("", h("span", { class: "word", text: "!" }), " ",
      [named.length ? `see ${named.join(", ")}` : "", ...said].filter(Boolean).join("; "))];
  }
  if (!answer?.estimate) return [line("hint", grid), total(product, "points"), line("hint", answer?.text || "…")];
  const { n_combinations: n, n_excluded: nExcluded, n_points: nPoints, seconds, rate,
    rate_source: source } = answer.estimate;
  const excluded = nExcluded ? `${formatCount(nExcluded)} of ${formatCount(nPoints)} points excluded` : "";
  return [line("hint", grid),
    n === null ? total(nPoints, "points, some excluded") : total(n, n === 1 ? "combination" : "combinations"),
    excluded && line("hint", excluded), line("hint",
      `about ${formatDuration(seconds)} at ${formatShort(rate)}/s, ${source}`)];
}

function line(className, ...content) {
  return h("p", { class: className || null }, content);
}

function total(count, word) {
  return h("p", { class: "total" }, formatCount(count), h("span", { class: "second", text: ` ${word}` }));
}
