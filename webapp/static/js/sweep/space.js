/** Search spaces as text: how many values a SPEC has, and a sensible SPEC to begin with. No page. */

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)$/;
// Names that a rule's first suggestion sweeps, and about how many values each gets.
const MOST_AXES = 3;
const VALUES_WANTED = 25;

/** Decimal text as an integer of units of 10^-scale. */
function toUnits(text, scale) {
  const [whole, fraction = ""] = text.replace(/^[+-]/, "").split(".");
  const units = BigInt((whole || "0") + fraction.padEnd(scale, "0"));
  return text.startsWith("-") ? -units : units;
}

function countDecimals(text) {
  return (text.split(".")[1] || "").length;
}

/**
 * One part of a SPEC: a value, or a range from..to:step with both ends inclusive.
 * @param {string} part @param {boolean} isInt whether the step is 1 where none is written
 * @returns {{count: number, at: (idx: number) => any}|{fault: string}}
 */
function parsePart(part, isInt) {
  const pieces = part.replace("..", ":").split(":").map((piece) => piece.trim());
  if (pieces.length === 1) return part ? { count: 1, at: () => readLevel(part) } : { fault: "a value is missing" };
  if (pieces.length > 3 || !pieces.every((piece) => NUMBER.test(piece))) return { fault: "write from..to:step" };
  const scale = Math.max(...pieces.map(countDecimals));
  if (pieces.length === 2 && (scale > 0 && !isInt)) return { fault: "name a step: from..to:step" };
  const [from, to, step = 10n ** BigInt(scale)] = pieces.map((piece) => toUnits(piece, scale));
  if (step === 0n) return { fault: "the step is 0" };
  if ((to - from) * step < 0n) return { fault: "the step has the wrong sign" };
  return { count: Number((to - from) / step + 1n), at: (idx) => fromUnits(from + BigInt(idx) * step, scale) };
}

function fromUnits(units, scale) {
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, "0");
  const split = digits.length - scale;
  return Number(`${units < 0n ? "-" : ""}${digits.slice(0, split)}.${digits.slice(split) || "0"}`);
}

function readLevel(text) {
  if (/^(?:off|none|null)$/i.test(text)) return null;
  if (/^(?:true|false)$/i.test(text)) return text.toLowerCase() === "true";
  return NUMBER.test(text) ? Number(text) : text;
}

/**
 * How many values a SPEC has; the server has the last word on whether they are allowed.
 * @param {string} text for example `2..30`, `0.1:0.5:0.1`, `off,0.05,0.1`
 * @param {{type: string}} [field] @returns {{count: number}|{fault: string}}
 */
export function parseSpec(text, field) {
  const parts = String(text).split(",").map((part) => parsePart(part.trim(), field?.type === "int"));
  const bad = parts.find((part) => part.fault);
  if (bad) return bad;
  return { count: parts.reduce((sum, part) => sum + part.count, 0) };
}

/**
 * The values of an axis, as a stored spec writes it.
 * @param {string|any[]} spec SPEC text, or a list
 * @returns {{count: number, at: (digit: number) => any}}
 */
export function readLevels(spec) {
  if (Array.isArray(spec)) return { count: spec.length, at: (digit) => spec[digit] };
  const parts = String(spec).split(",").map((part) => parsePart(part.trim(), true));
  const at = (digit) => {
    let rest = digit;
    for (const part of parts) {
      if (rest < part.count) return part.at(rest);
      rest -= part.count;
    }
    return undefined;
  };
  return { count: parts.reduce((sum, part) => sum + part.count, 0), at };
}

/** A step of 1, 2 or 5 times a power of ten, not below `rough`. */
function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return Number(([1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) * power).toPrecision(6));
}

/**
 * A range around a parameter's default, inside its bounds.
 * @param {import("../lib/boot.js").Field} field @returns {string|null} null where there is nothing to vary
 */
export function suggestRange(field) {
  if (field.type !== "int" && field.type !== "float") return null;
  const { default: middle, minimum, maximum } = field;
  const isLevel = minimum !== null && maximum !== null && maximum - minimum <= 1000;
  // A level between two bounds is varied evenly, a length by factors of two.
  const reach = isLevel && field.type === "float" ? (maximum - minimum) / 5 : null;
  let low = reach ? middle - reach : middle / 2;
  let high = reach ? middle + reach : middle * 2;
  if (!(high > low)) return null;
  const step = field.type === "int" ? Math.max(niceStep((high - low) / VALUES_WANTED), 1)
    : niceStep((high - low) / VALUES_WANTED);
  low = Math.max(Math.ceil(low / step) * step, minimum ?? -Infinity);
  high = Math.min(Math.floor(high / step) * step, maximum ?? Infinity);
  const write = (value) => String(Number(value.toPrecision(10)));
  return high > low ? `${write(low)}..${write(high)}:${write(step)}` : null;
}

/**
 * The space that the form begins with: the first numeric parameters varied, the others at their defaults.
 * @param {import("../lib/boot.js").Rule} rule @returns {Object<string, string>} parameter -> SPEC
 */
export function suggestSpace(rule) {
  let nAxes = 0;
  const isIdle = ({ only_if: only }) => only
    && rule.parameters.find((field) => field.name === only[0])?.default !== only[1];
  return Object.fromEntries(rule.parameters.map((field) => {
    // What has no effect beside the other defaults is not worth an axis.
    const range = nAxes < MOST_AXES && !isIdle(field) ? suggestRange(field) : null;
    if (range) nAxes += 1;
    return [field.name, range || String(field.default ?? "off")];
  }));
}
