/** Figures as text: real minus signs, tabular widths, a dash where nothing is defined. */

export const DASH = "–";
const MINUS = "−";

const MOST_DIGITS = 12;

// Not Intl: its first use takes a tenth of the time until a result is to be seen.
function fixed(value, digits) {
  const size = Math.abs(value);
  const [whole, rest] = (size < 1e21 ? size.toFixed(digits) : `${BigInt(size)}.${"0".repeat(digits)}`).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? `.${rest}` : "");
  const isZero = /^[0.,]*$/.test(text);
  return (value < 0 && !isZero ? MINUS : "") + text;
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** A plain number. @param {number|null} value @param {number} [digits] */
export function formatNumber(value, digits = 2) {
  return isNumber(value) ? fixed(value, digits) : DASH;
}

/** A whole number with separators. @param {number|null} value */
export function formatCount(value) {
  return isNumber(value) ? fixed(Math.round(value), 0) : DASH;
}

/**
 * Digits of calendar days: minutes make fractions, which would read 0.
 * @param {Array<number|null>} values
 */
export function countDayDigits(values) {
  return values.every((value) => !isNumber(value) || Number.isInteger(value)) ? 0 : 2;
}

/** A fraction as percent. @param {number|null} value @param {number} [digits] */
export function formatPercent(value, digits = 2) {
  if (!isNumber(value)) return DASH;
  // A year made of one lucky hour: nobody reads more digits, and no cell holds them.
  const size = Math.abs(value);
  if (size >= 1e4) return `${(value * 100).toExponential(2).replace("-", MINUS).replace("e+", "e")}%`;
  return `${fixed(value * 100, size >= 1e3 ? 0 : digits)}%`;
}

/**
 * A fraction that somebody chose, as percent and not rounded: 0.125 is 12.5%.
 * @param {number|null} value @param {number} [least] digits that are always there
 */
export function formatChosenPercent(value, least = 0) {
  if (!isNumber(value)) return DASH;
  // Twelve significant digits: what multiplying by 100 adds lies behind them.
  const digits = (/\.(\d+)$/.exec(exactDecimals(value * 100)) || ["", ""])[1].length;
  return formatPercent(value, Math.max(digits, least));
}

function exactDecimals(value) {
  return trimZeros(Number(value.toPrecision(12)).toFixed(MOST_DIGITS));
}

/** Like `formatPercent` with a plus sign on gains. @param {number|null} value @param {number} [digits] */
export function formatSignedPercent(value, digits = 2) {
  return withPlus(value, formatPercent(value, digits));
}

/** A signed amount of money. @param {number|null} value @param {number} [digits] */
export function formatSignedMoney(value, digits = 0) {
  return withPlus(value, formatNumber(value, digits));
}

function withPlus(value, text) {
  return isNumber(value) && value > 0 && /[1-9]/.test(text) ? `+${text}` : text;
}

/** A price with as many digits as its size needs. @param {number|null} value */
export function formatPrice(value) {
  if (!isNumber(value)) return DASH;
  const size = Math.abs(value);
  return fixed(value, size >= 1e5 ? 0 : size >= 1000 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : digitsToRead(size, 4));
}

/** A number of shares; a fraction of one share is not rounded away. @param {number|null} value */
export function formatShares(value) {
  const size = Math.abs(value ?? 0);
  return size >= 1000 ? formatCount(value) : formatNumber(value, size >= 1 ? 2 : digitsToRead(size, 4));
}

/**
 * Digits that amounts of money need, the largest of which is this: cents do not count in thousands.
 * @param {number|null} largest
 */
export function moneyDigits(largest) {
  const size = Math.abs(largest ?? 0);
  return size >= 1000 || size === 0 ? 0 : Math.max(digitsToRead(size, 3), 2);
}

/** An amount of money without a plus sign. @param {number|null} value */
export function formatMoney(value) {
  return formatNumber(value, moneyDigits(value));
}

/** Digits behind the point that show so many significant ones of a size below 1. */
function digitsToRead(size, significant) {
  if (size === 0 || size >= 1) return 0;
  return Math.min(significant - 1 - Math.floor(Math.log10(size)), MOST_DIGITS);
}

/**
 * Short: 1.47M, 93.5k, 820.
 * @param {number|null} value @param {number} [step] between gridlines, which must not read alike
 */
export function formatShort(value, step) {
  if (!isNumber(value)) return DASH;
  const size = Math.abs(value);
  for (const [limit, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "k"]]) {
    if (size < limit) continue;
    const scale = unit === "k" ? 1e3 : limit;
    const scaled = value / scale;
    const digits = Math.abs(scaled) >= 100 ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
    return trimZeros(fixed(scaled, Math.max(digits, digitsFor(step / scale)))) + unit;
  }
  return size >= 1000 ? fixed(value, 0) : trimZeros(formatPrice(value));
}

/**
 * Digits that tell multiples of `step` apart.
 * @param {number|undefined} step @returns {number} 0 to 4; 0 without a step
 */
export function digitsFor(step) {
  if (!(step > 0)) return 0;
  const fits = (digits) => Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) < 1e-6;
  return [0, 1, 2, 3].find((digits) => step * 10 ** digits > 0.5 && fits(digits)) ?? 4;
}

function trimZeros(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** A price on an axis: no zeros at the end. @param {number|null} value */
export function formatTick(value) {
  return trimZeros(formatPrice(value));
}

/** A price where there is room for eight characters. @param {number|null} value */
export function formatNarrow(value) {
  if (!isNumber(value)) return DASH;
  if (Math.abs(value) >= 0.01 || value === 0) return formatShort(value);
  return value.toExponential(2).replaceAll("-", MINUS);
}

/** Class of the colour that a gain, a loss or neither has. @param {number|null} value */
export function signClass(value) {
  if (!isNumber(value) || Math.abs(value) < 5e-7) return "";
  return value > 0 ? "gain" : "loss";
}

/** First eight characters of an id. @param {string} id */
export function shortId(id) {
  return id.slice(0, 8);
}

/** A stored UTC time stamp as MM-DD HH:MM. @param {string|null} text */
export function formatStamp(text) {
  return text ? text.slice(0, 16).replace("T", " ") : DASH;
}

/** Text as a sentence: a capital, a full stop. @param {string} text */
export function sentence(text) {
  const stop = /[.!?]$/.test(text) ? "" : ".";
  return text.charAt(0).toUpperCase() + text.slice(1) + stop;
}

/** 3 -> "3rd". @param {number} n */
export function formatOrdinal(n) {
  const tens = n % 100;
  const suffix = tens >= 11 && tens <= 13 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] || "th";
  return `${n}${suffix}`;
}

/**
 * Name and parameters of a rule on one line; a choice shows only where it is not the default.
 * @param {import("./boot.js").Rule|undefined} rule @param {Object} spec of a run
 */
export function formatRule(rule, spec) {
  const fields = new Map((rule?.parameters || []).map((field) => [field.name, field]));
  const values = Object.entries(spec.params)
    .filter(([name, value]) => fields.get(name)?.type !== "choice" || value !== fields.get(name).default)
    .map(([, value]) => value);
  const title = rule?.title || spec.rule;
  return values.length ? `${title}(${values.join(", ")})` : title;
}
