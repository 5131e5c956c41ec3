/** The language of the command bar: parsing and completion, without any page around it. */

import { describeField } from "../form/fields.js";
import { findDataset, findRule } from "../lib/boot.js";
import { formatCount } from "../lib/format.js";
import { METRIC_NAMES, metricDefinition } from "../lib/metrics.js";
import { completeSweep, hintSweep, parseSweep } from "./sweep_command.js";
import { completeRuns, completeRunIds } from "./runs_command.js";
import { CommandError, RANGE, checkPercents, findNearest, fullName, readDataset, readRule, readValue } from "./words.js";

const VERBS = {
  SWEEP: "a rule over ranges of its parameters",
  RUN: "open a run by its id",
  RUNS: "history of runs, with a filter",
  DATA: "datasets",
  HELP: "keys and definitions",
};
const ID = /^[0-9a-f]{8}[0-9a-f-]*$/i;

/**
 * @typedef {Object} Command
 * @property {"run"|"sweep"|"open"|"page"} kind
 * @property {Object} [request] body of POST /api/v1/runs, for `run`; of /api/v1/sweeps, for `sweep`
 * @property {string} [id] for `open`
 * @property {string} [href] for `page`
 */

/**
 * Read a command line.
 * @param {string} text @param {import("../lib/boot.js").Boot} boot
 * @returns {Command}
 * @throws {CommandError}
 */
export function parseCommand(text, boot) {
  const tokens = text.trim().split(/\s+/).filter(Boolean);
  if (!tokens.length || /^GO$/i.test(tokens[0])) throw new CommandError("type a symbol and a rule, for example AAPL RSI 14 30 70 GO");
  const [verb, ...rest] = tokens;
  switch (verb.toUpperCase()) {
    case "HELP": return { kind: "page", href: `/help${rest.length ? `#${findTopic(rest[0].toLowerCase(), boot)}` : ""}` };
    case "DATA": return { kind: "page",
      href: rest.length ? `/data?symbol=${encodeURIComponent(readDataset(rest[0], boot).symbol)}` : "/data" };
    case "RUNS": return { kind: "page", href: rest.length ? `/runs?q=${encodeURIComponent(rest.join(" "))}` : "/runs" };
    case "SWEEP":
      if (rest.length === 1 && ID.test(rest[0])) return { kind: "page", href: `/sweep/${rest[0].toLowerCase()}` };
      return rest.length ? { kind: "sweep", request: parseSweep(rest, boot) } : { kind: "page", href: "/sweep" };
    case "RUN":
      if (!rest.length) throw new CommandError("RUN needs the id of a run");
      return { kind: "open", id: rest[0] };
    default: return { kind: "run", request: parseRun(openBrackets(text), boot) };
  }
}

/** Words of a run; values may stand in brackets, as tables show them: RSI(14, 30, 70). */
function openBrackets(text) {
  return text.replace(/\(([^()]*)\)/g, (_all, inside) => ` ${inside.replaceAll(",", " ")} `).trim().split(/\s+/);
}

/** The place on the help page that a word stands for. */
function findTopic(word, boot) {
  return findRule(boot, word) ? `rule-${findRule(boot, word).name}` : fullName(word);
}

function parseRun([symbol, ruleName, ...rest], boot) {
  const dataset = readDataset(symbol, boot);
  const rule = readRule(ruleName, boot);
  const request = { dataset: dataset.symbol, rule: rule.name, params: {}, trading: {} };
  let position = 0;
  for (const token of rest) {
    const range = RANGE.exec(token);
    if (token.toUpperCase() === "GO") continue;
    if (token.includes("=")) setNamed(request, rule, boot, token);
    else if (range && (range[1] || range[2])) {
      if (range[1]) request.start = range[1];
      if (range[2]) request.end = range[2];
    } else {
      const field = rule.parameters[position];
      if (!field) throw new CommandError(`${rule.title} takes ${rule.parameters.length} values; "${token}" is one too many`);
      request.params[field.name] = readField(token, field);
      position += 1;
    }
  }
  checkSize(rest, request.trading);
  return request;
}

function readField(text, field) {
  checkPercents(text, field);
  return readValue(text, field);
}

/** A percent is a share of the cash: of dollars or shares it would be something else than it says. */
function checkSize(tokens, { size_type: type }) {
  const size = tokens.find((token) => /^size=.*%/i.test(token));
  if (size && type && type !== "percent") throw new CommandError(`${size} goes with size_type=percent, not with ${type}`);
}

function setNamed(request, rule, boot, token) {
  const [typed, ...tail] = token.split("=");
  const name = fullName(typed);
  const text = tail.join("=");
  const value = readValue(text);
  const find = (fields) => fields.find((field) => field.name === name);
  if (find(rule.parameters)) request.params[name] = readField(text, find(rule.parameters));
  else if (find(boot.trading)) request.trading[name] = readField(text, find(boot.trading));
  else if (name === "start" || name === "end") request[name] = value;
  else if (name === "adjust" || name === "force") request[name] = value;
  else if (name === "tags") request.tags = tail.join("=").split(",").filter(Boolean);
  else {
    const known = [...rule.parameters, ...boot.trading].map((field) => field.name);
    throw new CommandError(`no parameter ${name}; nearest is ${findNearest(name, known)}`);
  }
}

/**
 * What could stand at the caret.
 * @param {string} text up to the caret @param {import("../lib/boot.js").Boot} boot
 * @returns {Array<{value: string, note: string}>} full replacements of the last token
 */
export function completeCommand(text, boot) {
  const tokens = text.split(/\s+/);
  const last = tokens[tokens.length - 1];
  const done = tokens.slice(0, -1).filter(Boolean);
  const candidates = done.length === 0 ? firstWords(boot)
    : done[0].toUpperCase() === "SWEEP" ? completeSweep(done.slice(1), last, boot)
    : done[0].toUpperCase() === "RUNS" ? completeRuns(last, boot)
    : done[0].toUpperCase() === "RUN" ? completeRunIds(boot)
    : done[0].toUpperCase() === "HELP" ? helpWords(boot)
    : VERBS[done[0].toUpperCase()] ? []
      : done.length === 1 ? boot.rules.map((rule) => ({ value: rule.name.toUpperCase(), note: rule.summary }))
        : laterWords(findRule(boot, done[1]), done, last, boot);
  const wanted = last.toLowerCase();
  return candidates.filter((item) => item.value.toLowerCase().startsWith(wanted)
    && item.value.toLowerCase() !== wanted).slice(0, 9);
}

function helpWords(boot) {
  return [...boot.rules.map((rule) => ({ value: rule.name, note: rule.summary })),
    ...METRIC_NAMES.map((name) => ({ value: name, note: metricDefinition(name) }))];
}

function firstWords(boot) {
  return [
    ...boot.datasets.map((item) => ({ value: item.symbol, note: `${formatCount(item.n_bars)} bars` })),
    ...Object.entries(VERBS).map(([value, note]) => ({ value, note })),
  ];
}

function laterWords(rule, [symbol, , ...done], last, boot) {
  if (!rule) return [];
  const fields = [...rule.parameters, ...boot.trading];
  if (last.includes("=")) return valueWords(last.split("=")[0], fields);
  const nGiven = done.filter((token) => !token.includes("=") && !RANGE.test(token)).length;
  const used = new Set([...done.map((token) => fullName(token.split("=")[0])),
    ...rule.parameters.slice(0, nGiven).map((field) => field.name)]);
  const next = rule.parameters[nGiven];
  const bars = done.some((token) => RANGE.test(token)) ? null : findDataset(boot, symbol);
  return [
    ...(last === "" && next ? [{ value: String(next.default), note: `${next.name}: ${describeField(next)}` }] : []),
    ...(last === "" ? [{ value: "GO", note: "run it" }] : []),
    ...(bars ? [{ value: `${bars.start.slice(0, 10)}-${bars.end.slice(0, 10)}`,
      note: "dates from-to; either end may be left out" }] : []),
    ...fields.filter((field) => !used.has(field.name))
      .map((field) => ({ value: `${field.name}=`, note: describeField(field) })),
  ];
}

/** What may stand behind `name=`: choices, or what a number is when it is left out. */
function valueWords(typed, fields) {
  const field = fields.find((item) => item.name === fullName(typed));
  if (!field) return [];
  const values = field.choices?.length ? field.choices : field.type === "bool" ? ["true", "false"]
    : [String(field.default ?? "off")];
  return values.map((value) => ({ value: `${typed}=${value}`, note: describeField(field) }));
}

/**
 * Say what the rest of the line may hold.
 * @param {string} text @param {import("../lib/boot.js").Boot} boot @returns {string}
 */
export function hintCommand(text, boot) {
  const tokens = text.trim().split(/\s+/).filter(Boolean);
  if (tokens[0]?.toUpperCase() === "SWEEP") return hintSweep(tokens.slice(1), boot);
  const rule = tokens.length > 1 ? findRule(boot, tokens[1]) : undefined;
  if (!rule) return "";
  const given = tokens.slice(2).filter((token) => !token.includes("=") && !RANGE.test(token)
    && token.toUpperCase() !== "GO");
  const names = rule.parameters.slice(given.length).map((field) => field.name);
  return [...names, "from-to", "name=value", "GO"].join(" ");
}

/**
 * Write a request as the command that gives it, leaving defaults out.
 * @param {Object} request @param {import("../lib/boot.js").Boot} boot @returns {string}
 */
export function writeCommand(request, boot) {
  const rule = findRule(boot, request.rule);
  const words = [request.dataset, request.rule.toUpperCase()];
  const values = (rule?.parameters || []).map((field) => [field, request.params[field.name] ?? field.default]);
  while (values.length && values[values.length - 1][1] === values[values.length - 1][0].default
    && values[values.length - 1][0].type === "choice") values.pop();
  words.push(...values.map(([, value]) => String(value)));
  if (request.start || request.end) words.push(`${request.start || ""}-${request.end || ""}`);
  for (const field of boot.trading) {
    const value = request.trading?.[field.name];
    if (value !== undefined && value !== field.default) words.push(`${field.name}=${value === null ? "off" : value}`);
  }
  if (request.adjust === false) words.push("adjust=false");
  return [...words, "GO"].join(" ");
}
