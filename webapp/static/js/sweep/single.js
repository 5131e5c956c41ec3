/** One combination out of a sweep's inputs: what the button "Run one" runs. No page. */

import { readLevels } from "./space.js";

// A default is looked for among so many values; beyond, the middle one stands for them.
const MOST_SEARCHED = 10_000;

/**
 * The one value that stands for a SPEC: itself, the default if it is among them, else the middle one.
 * @param {string} text SPEC @param {import("../lib/boot.js").Field} field @returns {any}
 */
export function chooseValue(text, field) {
  const { count, at } = readLevels(text);
  if (count === 1) return toType(at(0), field);
  const wanted = field.default ?? null;
  for (let digit = 0; digit < Math.min(count, MOST_SEARCHED); digit += 1) {
    if (toType(at(digit), field) === wanted) return wanted;
  }
  return toType(at(Math.floor((count - 1) / 2)), field);
}

/** A name that looks like a number stays a name. */
function toType(value, field) {
  return field.type === "choice" && value !== null ? String(value) : value;
}

/**
 * The body of POST /api/v1/runs for one combination.
 * @param {Object} body of POST /api/v1/sweeps @param {import("../lib/boot.js").Rule} rule
 * @param {import("../lib/boot.js").Field[]} trading fields
 * @returns {Object}
 */
export function buildSingle(body, rule, trading) {
  const pick = (fields, texts) => Object.fromEntries(fields.filter((field) => texts?.[field.name] !== undefined)
    .map((field) => [field.name, chooseValue(texts[field.name], field)]));
  const run = { dataset: body.dataset ?? body.datasets[0], rule: body.rule, params: pick(rule.parameters, body.space),
    trading: pick(trading, body.trading) };
  for (const name of ["start", "end", "adjust"]) if (body[name] !== undefined) run[name] = body[name];
  return run;
}

/**
 * What of it was chosen out of several, in words. @param {Object} run @param {Object} body @returns {string}
 */
export function describeSingle(run, body) {
  const several = (texts) => Object.entries(texts || {}).filter(([, text]) => readLevels(text).count > 1)
    .map(([name]) => name);
  const show = (values) => (name) => `${name} ${values[name] ?? "off"}`;
  return [...(body.datasets?.length > 1 ? [run.dataset] : []), ...several(body.space).map(show(run.params)),
    ...several(body.trading).map(show(run.trading))].join(", ");
}
