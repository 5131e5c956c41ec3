/** What a run or a sweep takes for granted, as pairs of heading and text. No page. */

import { formatChosenPercent, formatCount } from "./format.js";

const UNITS = { value: "USD", shares: "shares" };
const STOPS = [["stop_loss", "stop"], ["take_profit", "take"], ["trailing_stop", "trail"]];
const RATES = [["MAR", "mar"], ["CASH RATE", "cash_rate"], ["BORROW RATE", "borrow_rate"]];

/**
 * @param {Object} trading settings of a run @param {string} prices what kind they are
 * @param {Set<string>} [swept] settings that have no single value
 * @returns {Array<[string, string]>} heading and text of every assumption
 */
export function listAssumptions(trading, prices, swept = new Set()) {
  const say = (name, format) => (swept.has(name) ? `${name} swept` : format(trading[name]));
  // What is off by default is said only where somebody chose it.
  const sayChosen = (name, format) => (swept.has(name) || trading[name]) && say(name, format);
  const join = (texts, separator) => texts.filter(Boolean).join(separator);
  const percent = (value) => formatChosenPercent(value, 1);
  const words = (value) => value.replaceAll("_", " ");
  const costs = join([say("fee_rate", (value) => `${formatChosenPercent(value, 2)} fee`),
    sayChosen("fee_fixed", (value) => `${formatChosen(value)} fixed`),
    sayChosen("slippage", (value) => `${formatChosenPercent(value, 2)} slip`)], " + ");
  const size = join([writeSize(trading, swept), sayChosen("lot_size", (value) => `lots of ${formatChosen(value)}`),
    say("direction", words)], ", ");
  const stops = join(STOPS.map(([name, word]) => (swept.has(name) ? `${word} swept`
    : sayChosen(name, (value) => `${word} ${percent(value)}`))), ", ");
  return [["FILL", say("fill", words)], ["COSTS", `${costs} per side`], ["PRICES", prices], ["SIZE", size],
    ["STOPS", stops || "none"], ["RF", say("risk_free", percent)],
    ...RATES.map(([heading, name]) => [heading, sayChosen(name, percent)]),
    ["YEAR", sayChosen("periods_per_year", (value) => `${formatChosen(value)} bars`)]].filter(([, text]) => text);
}

/** How much an entry buys, with its unit. */
function writeSize({ size, size_type: type }, swept) {
  if (swept.has("size_type")) return `${swept.has("size") ? "size swept" : formatChosen(size)}, size_type swept`;
  const unit = UNITS[type];
  if (swept.has("size")) return unit ? `size swept in ${unit}` : "size swept";
  return unit ? `${formatChosen(size)} ${unit}` : formatChosenPercent(size);
}

/** A number that somebody chose, with every digit of it. @param {number} value */
export function formatChosen(value) {
  return Number.isInteger(value) ? formatCount(value) : String(value);
}
