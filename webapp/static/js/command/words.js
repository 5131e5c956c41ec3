/** What all commands share: their words, values and complaints. */

import { findDataset, findRule } from "../lib/boot.js";

/** Dates as from-to; either end may be left out. */
export const RANGE = /^(\d{4}-\d{2}-\d{2}\S*?)?-(?:(\d{4}-\d{2}-\d{2}\S*))?$/;

/** A command that cannot be understood; the message says what is wrong and what is known. */
export class CommandError extends Error {}

/**
 * Turn text into a JSON value: numbers, true/false, off; the rest stays text.
 * @param {string} text
 */
export function readValue(text) {
  const trimmed = text.trim();
  if (/^(off|none|null|)$/i.test(trimmed)) return null;
  if (/^(true|false)$/i.test(trimmed)) return trimmed.toLowerCase() === "true";
  const number = Number(trimmed);
  return Number.isFinite(number) ? number : trimmed;
}

/** @param {string} symbol @param {import("../lib/boot.js").Boot} boot @throws {CommandError} */
export function readDataset(symbol, boot) {
  const dataset = findDataset(boot, symbol);
  if (!dataset) throw new CommandError(`no dataset ${symbol}; there is ${listNames(boot.datasets.map((item) => item.symbol))}`);
  return dataset;
}

/** @param {string|undefined} name @param {import("../lib/boot.js").Boot} boot @throws {CommandError} */
export function readRule(name, boot) {
  const known = listNames(boot.rules.map((item) => item.name));
  if (!name) throw new CommandError(`which rule? ${known}`);
  const rule = findRule(boot, name);
  if (!rule) throw new CommandError(`no rule ${name}; there is ${known}`);
  return rule;
}

function listNames(names) {
  return names.length > 8 ? `${names.slice(0, 8).join(", ")} …` : names.join(", ");
}

/** The known name most like `name`. @param {string} name @param {string[]} known */
export function findNearest(name, known) {
  const score = (other) => {
    const shared = [...new Set(name)].filter((letter) => other.includes(letter)).length;
    return shared - Math.abs(other.length - name.length) + (other.startsWith(name.slice(0, 3)) ? 4 : 0);
  };
  return known.reduce((best, other) => (score(other) > score(best) ? other : best), known[0]);
}
