/** The language of the command bar: parsing and completion, without any page around it. */

import { findRule } from "../lib/boot.js";
import { completeSweep, hintSweep, parseSweep } from "./sweep_command.js";
import { CommandError, RANGE, findNearest, readDataset, readRule, readValue } from "./words.js";

const VERBS = {
  SWEEP: "a rule over ranges of its parameters",
  RUN: "open a run by its id",
  RUNS: "history of runs, with a filter",
  DATA: "datasets",
  HELP: "keys and definitions",
};

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
  if (!tokens.length) throw new CommandError("type a symbol and a rule, for example AAPL RSI 14 30 70 GO");
  const [verb, ...rest] = tokens;
  switch (verb.toUpperCase()) {
    case "HELP": return { kind: "page", href: "/help" };
    case "DATA": return { kind: "page", href: "/data" };
    case "RUNS": return { kind: "page", href: rest.length ? `/runs?q=${encodeURIComponent(rest.join(" "))}` : "/runs" };
    case "SWEEP":
      return rest.length ? { kind: "sweep", request: parseSweep(rest, boot) } : { kind: "page", href: "/sweep" };
    case "RUN":
      if (!rest.length) throw new CommandError("RUN needs the id of a run");
      return { kind: "open", id: rest[0] };
    default: return { kind: "run", request: parseRun(tokens, boot) };
  }
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
      request.params[field.name] = readValue(token);
      position += 1;
    }
  }
  return request;
}

function setNamed(request, rule, boot, token) {
  const [name, ...tail] = token.split("=");
  const value = readValue(tail.join("="));
  if (rule.parameters.some((field) => field.name === name)) request.params[name] = value;
  else if (boot.trading.some((field) => field.name === name)) request.trading[name] = value;
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
    : VERBS[done[0].toUpperCase()] ? []
      : done.length === 1 ? boot.rules.map((rule) => ({ value: rule.name.toUpperCase(), note: rule.summary }))
        : laterWords(findRule(boot, done[1]), done.slice(2), last, boot);
  const wanted = last.toLowerCase();
  return candidates.filter((item) => item.value.toLowerCase().startsWith(wanted)
    && item.value.toLowerCase() !== wanted).slice(0, 9);
}

function firstWords(boot) {
  return [
    ...boot.datasets.map((item) => ({ value: item.symbol, note: `${item.n_bars.toLocaleString("en-US")} bars` })),
    ...Object.entries(VERBS).map(([value, note]) => ({ value, note })),
  ];
}

function laterWords(rule, done, last, boot) {
  if (!rule) return [];
  const fields = [...rule.parameters, ...boot.trading];
  const [name] = last.split("=");
  if (last.includes("=")) {
    const field = fields.find((item) => item.name === name);
    return (field?.choices || []).map((choice) => ({ value: `${name}=${choice}`, note: field.help }));
  }
  const nGiven = done.filter((token) => !token.includes("=") && !RANGE.test(token)).length;
  const used = new Set([...done.map((token) => token.split("=")[0]),
    ...rule.parameters.slice(0, nGiven).map((field) => field.name)]);
  const next = rule.parameters[nGiven];
  return [
    ...(last === "" && next ? [{ value: String(next.default), note: `${next.name}: ${next.help}` }] : []),
    ...(last === "" ? [{ value: "GO", note: "run it" }] : []),
    ...fields.filter((field) => !used.has(field.name)).map((field) => ({ value: `${field.name}=`, note: field.help })),
  ];
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
