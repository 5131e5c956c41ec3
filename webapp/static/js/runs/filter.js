/** The search expression of the runs page: conditions on figures and settings, words in the texts. No page. */

import { findNearest } from "../command/words.js";
import { METRIC_NAMES } from "../lib/metrics.js";

const ALIASES = {
  return: "total_return", trades: "n_trades", n: "n_trades", dd: "max_drawdown", drawdown: "max_drawdown",
  wins: "win_rate", expo: "exposure", data: "symbol", dataset: "symbol", tags: "tag", date: "time", id: "run_id",
};
const TEXTS = ["symbol", "rule", "state", "tag", "note", "run_id"];
/** Words that people use for the states of a run. */
export const STATE_WORDS = { succeeded: "done", queued: "queued", running: "running", failed: "failed",
  cancelled: "cancelled" };
const STATES = Object.fromEntries(Object.entries(STATE_WORDS).map(([state, word]) => [word, state]));
const CONDITION = /^([a-z_]+)(<=|>=|!=|=|<|>)(.*)$/i;
const TOKEN = /(?:[^\s"]|"[^"]*"?)+/g;
const COMPARE = {
  "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
    "!=": (a, b) => a !== b,
};
const DAY = 86_400_000;
const SPANS = { d: DAY, m: 30.44 * DAY, y: 365.25 * DAY };

/**
 * @typedef {Object} Term one word of an expression
 * @property {string} text as written @property {string} [word] looked for in all texts @property {boolean} [isNot]
 * @property {string} [name] @property {string} [operator] @property {string[]} [values] any of them
 */

const unquote = (text) => text.replaceAll('"', "");

/** Take an expression apart. @param {string} text @returns {Term[]} */
export function readTerms(text) {
  return (text.match(TOKEN) || []).map((token) => {
    const match = CONDITION.exec(token);
    if (match) {
      const name = match[1].toLowerCase();
      return { text: token, name: ALIASES[name] || name, operator: match[2],
        values: match[3].split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map(unquote) };
    }
    const isNot = token.length > 1 && token.startsWith("-");
    return { text: token, word: unquote(isNot ? token.slice(1) : token).toLowerCase(), isNot };
  });
}

/**
 * Read an expression.
 * @param {string} text @param {string[]} [settings] names of parameters that runs may have; all if left out
 * @returns {{test: (run: Object) => boolean, terms: Term[], fault: string}} `fault` says what cannot be understood;
 *   such a word keeps nothing out
 */
export function parseRunFilter(text, settings) {
  const terms = readTerms(text);
  const faults = terms.map((term) => findFault(term, settings));
  const tests = terms.filter((_term, idx) => !faults[idx]).map(buildTest);
  return { test: (run) => tests.every((test) => test(run)), terms, fault: faults.find(Boolean) || "" };
}

function findFault({ text, name, operator, values }, settings) {
  if (!name) return "";
  const known = [...TEXTS, "time", "span", ...METRIC_NAMES, ...(settings || [])];
  if (settings && !known.includes(name)) {
    return `no figure or setting ${name}; nearest is ${findNearest(name, known)}`;
  }
  if (values.some((value) => value === "")) return `${text}: a value is missing`;
  const [value] = values;
  if (name === "span" && !/^\d*\.?\d+[dmy]$/.test(value)) return `${text}: write a span as 8y, 6m or 90d`;
  const isFigure = METRIC_NAMES.includes(name);
  if (isFigure && Number.isNaN(readNumber(value))) return `${text}: write a number such as 0.5 or 10%`;
  if (TEXTS.includes(name) && !["=", "!="].includes(operator)) return `${text}: write ${name}=… or ${name}!=…`;
  return "";
}

function readNumber(text) {
  return text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
}

function buildTest(term) {
  if (term.word !== undefined) return (run) => haystack(run).includes(term.word) !== term.isNot;
  const { name, operator, values } = term;
  if (operator === "=" || operator === "!=") {
    return (run) => {
      const found = readValues(run, name);
      if (found === null) return false;
      return values.some((value) => found.some((each) => isEqual(name, each, value))) === (operator === "=");
    };
  }
  const [wanted] = values;
  return (run) => {
    const [found] = readValues(run, name) || [];
    if (found === null || found === undefined) return false;
    return COMPARE[operator](...(name === "span" ? [found, readSpan(wanted)]
      : typeof found === "number" ? [found, readNumber(wanted)] : [String(found), wanted]));
  };
}

function isEqual(name, found, wanted) {
  if (name === "span") return Math.round(found / DAY) === Math.round(readSpan(wanted) / DAY);
  if (found === null) return /^(off|none)$/i.test(wanted);
  if (typeof found === "number") return found === readNumber(wanted);
  const [one, other] = [String(found).toLowerCase(), wanted.toLowerCase()];
  if (name === "state") return one === (STATES[other] || other);
  return ["note", "run_id", "time"].includes(name) ? one.includes(other) : one === other;
}

function readSpan(text) {
  return Number(text.slice(0, -1)) * SPANS[text.slice(-1)];
}

/** What a run has under a name, several where it is a list; null where it has nothing of that name. */
function readValues(run, name) {
  const { spec } = run;
  if (name === "tag") return run.tags;
  if (name === "time") return [run.submitted_at];
  if (name === "span") return [new Date(spec.end || spec.dataset.end) - new Date(spec.start || spec.dataset.start)];
  if (TEXTS.includes(name)) return [run[name]];
  for (const group of [run.metrics, spec.params, spec.trading]) {
    if (group && name in group && (group !== run.metrics || group[name] !== null)) return [group[name]];
  }
  return null;
}

function haystack(run) {
  return [run.run_id, run.symbol, run.rule, run.state, STATE_WORDS[run.state], run.note, ...run.tags].join(" ")
    .toLowerCase();
}

/** The state that a word stands for, null for none. @param {string} word */
export function stateOf(word) {
  const name = word.toLowerCase();
  return STATES[name] || (name in STATE_WORDS ? name : null);
}

/** Values that a condition `name=…` of the expression asks for. @param {Term[]} terms @param {string} name */
export function pickedValues(terms, name) {
  return terms.find((term) => term.name === name && term.operator === "=")?.values || [];
}

/**
 * The expression with `name=values` in it, or without any condition of that kind.
 * @param {string} text @param {string} name @param {string[]} values @param {string} [alias] as it is written
 */
export function writePicked(text, name, values, alias = name) {
  const written = values.map((value) => (/\s/.test(value) ? `"${value}"` : value)).join(",");
  const term = values.length ? `${alias}=${written}` : "";
  const words = readTerms(text).map((each) => (each.name === name && each.operator === "=" ? null : each.text));
  const at = words.indexOf(null);
  if (at >= 0) words[at] = term;
  else words.push(term);
  return words.filter(Boolean).join(" ");
}

/**
 * Sort runs by one column; undefined values last.
 * @param {Object[]} runs @param {{read: (run: Object) => any}} column @param {boolean} isDown
 */
export function sortRuns(runs, column, isDown) {
  return [...runs].sort((one, other) => {
    const [a, b] = [column.read(one), column.read(other)];
    const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
    if (noA || noB) return noA - noB;
    return (a < b ? -1 : a > b ? 1 : 0) * (isDown ? -1 : 1);
  });
}
