/** What all commands share: their words, values and complaints. */

import { findDataset, findRule } from "../lib/boot.js";

/** Dates as from-to; either end may be left out. */
export const RANGE = /^(\d{4}-\d{2}-\d{2}\S*?)?-(?:(\d{4}-\d{2}-\d{2}\S*))?$/;

const PERCENT = /([+-]?(?:\d+\.?\d*|\.\d+))%/g;

// As tables write them for short.
const SHORT_NAMES = { fee: "fee_rate", slip: "slippage", stop: "stop_loss", take: "take_profit", trail: "trailing_stop",
  cash: "initial_cash" };

/** The full name of a setting, however it was typed. @param {string} name */
export function fullName(name) {
  const lower = name.toLowerCase();
  return SHORT_NAMES[lower] || lower;
}

/** A command that cannot be understood; the message says what is wrong and what is known. */
export class CommandError extends Error {}

/**
 * Whether 10% of a field can only mean 0.1: not where it counts from 0 to 100, nor in dollars, bars or months.
 * @param {import("../lib/boot.js").Field} field
 */
export function takesPercent({ type, unit, maximum }) {
  return type === "float" && /^(?:|of .+|per .+)$/.test(unit || "") && maximum !== 100;
}

/** Percents as the fractions that they stand for. @param {string} text @param {import("../lib/boot.js").Field} field */
export function readPercents(text, field) {
  // By the decimal point, because dividing leaves 1.1% as 0.011000000000000001.
  return takesPercent(field) ? text.replace(PERCENT, (_all, digits) => String(Number(`${digits}e-2`))) : text;
}

/** @param {string} text @param {import("../lib/boot.js").Field} field @throws {CommandError} for a percent of no fraction */
export function checkPercents(text, field) {
  if (!text.includes("%") || field.type === "choice" || takesPercent(field)) return;
  throw new CommandError(`${field.name} is no fraction and takes no percent; write ${text.replaceAll("%", "")}`);
}

/**
 * Turn text into a JSON value: numbers, true/false, off; the rest stays text.
 * @param {string} text @param {import("../lib/boot.js").Field} [field] whose value it is
 */
export function readValue(text, field) {
  const trimmed = field ? readPercents(text.trim(), field) : text.trim();
  if (/^(off|none|null|)$/i.test(trimmed)) return null;
  if (/^(true|false)$/i.test(trimmed)) return trimmed.toLowerCase() === "true";
  const number = Number(trimmed);
  return Number.isFinite(number) ? number : trimmed;
}

/** @param {string} symbol @param {import("../lib/boot.js").Boot} boot @throws {CommandError} */
export function readDataset(symbol, boot) {
  const dataset = findDataset(boot, symbol);
  if (!dataset) throw new CommandError(missing("dataset", symbol, boot.datasets.map((item) => item.symbol)));
  return dataset;
}

/** @param {string|undefined} name @param {import("../lib/boot.js").Boot} boot @throws {CommandError} */
export function readRule(name, boot) {
  const known = boot.rules.map((item) => item.name);
  if (!name || /^GO$/i.test(name)) throw new CommandError(`which rule? ${listNames(known)}`);
  const rule = findRule(boot, name);
  if (!rule) throw new CommandError(missing("rule", name, known));
  return rule;
}

function missing(kind, name, known) {
  if (!known.length) return `no ${kind} ${name}, nor any other yet`;
  return `no ${kind} ${name}; nearest is ${findNearest(name, known)}; there is ${listNames(known)}`;
}

function listNames(names) {
  return names.length > 8 ? `${names.slice(0, 8).join(", ")} …` : names.join(", ");
}

/** The known name most like `typed`, in whatever case. @param {string} typed @param {string[]} known */
export function findNearest(typed, known) {
  const name = typed.toLowerCase();
  const score = (each) => {
    const other = each.toLowerCase();
    const shared = [...new Set(name)].filter((letter) => other.includes(letter)).length;
    return shared - Math.abs(other.length - name.length) + (other.startsWith(name.slice(0, 3)) ? 4 : 0);
  };
  return known.reduce((best, other) => (score(other) > score(best) ? other : best), known[0]);
}
