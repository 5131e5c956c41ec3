/** SWEEP in the command bar: `SWEEP AAPL RSI window=2..30 oversold=10..40 GO`. */

import { findRule } from "../lib/boot.js";
import { formatCount } from "../lib/format.js";
import { HEADLINE_METRICS } from "../lib/metrics.js";
import { suggestRange } from "../sweep/space.js";
import { CommandError, RANGE, checkPercents, findNearest, fullName, readDataset, readPercents, readRule } from "./words.js";

// name: help
const OPTIONS = {
  objective: "metric to rank by, sharpe if left out",
  min_trades: "fewest closed trades of a combination that is ranked",
  where: "constraint without spaces, fast<slow; may be repeated",
  random: "how many combinations to draw at random",
  adaptive: "how many combinations an adaptive search tries",
  seed: "of the random or adaptive search",
  adjust: "true: prices adjusted for splits and dividends",
};

/**
 * Read the words after SWEEP.
 * @param {string[]} tokens @param {import("../lib/boot.js").Boot} boot
 * @returns {Object} body of POST /api/v1/sweeps
 * @throws {CommandError}
 */
export function parseSweep([symbols, ruleName, ...rest], boot) {
  const datasets = symbols.split(",").filter(Boolean).map((symbol) => readDataset(symbol, boot).symbol);
  const rule = readRule(ruleName, boot);
  const request = { ...(datasets.length > 1 ? { datasets } : { dataset: datasets[0] }),
    rule: rule.name, space: {}, trading: {}, where: [], search: { method: "grid" } };
  let position = 0;
  for (const token of rest) {
    const range = RANGE.exec(token);
    if (token.toUpperCase() === "GO") continue;
    if (/^[a-z_]+=/i.test(token)) setNamed(request, rule, boot, token);
    else if (range && (range[1] || range[2])) {
      if (range[1]) request.start = range[1];
      if (range[2]) request.end = range[2];
    } else {
      const field = rule.parameters[position];
      if (!field) throw new CommandError(`${rule.title} takes ${rule.parameters.length} ranges; "${token}" is one too many`);
      request.space[field.name] = readSpec(token, field);
      position += 1;
    }
  }
  return request;
}

function setNamed(request, rule, boot, token) {
  const at = token.indexOf("=");
  const [name, text] = [fullName(token.slice(0, at)), token.slice(at + 1)];
  const find = (fields) => fields.find((field) => field.name === name);
  if (find(rule.parameters)) request.space[name] = readSpec(text, find(rule.parameters));
  else if (find(boot.trading)) request.trading[name] = readSpec(text, find(boot.trading));
  else if (name === "start" || name === "end" || name === "objective") request[name] = text;
  else if (name === "where") request.where.push(text);
  else if (name === "adjust") request.adjust = text.toLowerCase() !== "false";
  else if (name === "min_trades") request.min_trades = readCount(name, text);
  else if (name === "random" || name === "adaptive") Object.assign(request.search,
    { method: name, n: readCount(name, text) });
  else if (name === "seed") request.search.seed = readCount(name, text);
  else if (name === "tags") request.tags = text.split(",").filter(Boolean);
  else {
    const known = [...rule.parameters, ...boot.trading].map((field) => field.name).concat(Object.keys(OPTIONS));
    throw new CommandError(`no parameter ${name}; nearest is ${findNearest(name, known)}`);
  }
}

function readSpec(text, field) {
  checkPercents(text, field);
  return readPercents(text, field);
}

function readCount(name, text) {
  if (!/^\d+$/.test(text)) throw new CommandError(`${name} is a whole number, not "${text}"`);
  return Number(text);
}

/**
 * What could stand at the caret after SWEEP.
 * @param {string[]} done words before it @param {string} last the word at it
 * @param {import("../lib/boot.js").Boot} boot @returns {Array<{value: string, note: string}>}
 */
export function completeSweep(done, last, boot) {
  if (done.length === 0) return boot.datasets.map((item) =>
    ({ value: item.symbol, note: `${formatCount(item.n_bars)} bars` }));
  if (done.length === 1) return boot.rules.map((rule) => ({ value: rule.name.toUpperCase(), note: rule.summary }));
  const rule = findRule(boot, done[1]);
  if (!rule) return [];
  const fields = [...rule.parameters, ...boot.trading];
  if (last.includes("=")) return completeValue(last.split("=")[0], fields);
  const used = new Set(done.map((token) => fullName(token.split("=")[0])));
  const isFree = ({ value }) => !used.has(value.split("=")[0]);
  return [
    ...(last === "" && done.length > 2 ? [{ value: "GO", note: "sweep it" }] : []),
    ...rule.parameters.map((field) => ({ value: `${field.name}=${suggestRange(field) || ""}`, note: field.help }))
      .filter(isFree),
    ...boot.trading.map((field) => ({ value: `${field.name}=`, note: field.help })).filter(isFree),
    ...Object.entries(OPTIONS).map(([name, note]) => ({ value: `${name}=`, note })).filter(isFree),
  ];
}

function completeValue(name, fields) {
  const field = fields.find((item) => item.name === name);
  const values = name === "objective" ? HEADLINE_METRICS
    : field?.choices?.length ? [...field.choices, field.choices.join(",")] : [];
  return values.map((value) => ({ value: `${name}=${value}`, note: field?.help || OPTIONS[name] || "" }));
}

/**
 * What the rest of the line may hold. @param {string[]} tokens after SWEEP @param {import("../lib/boot.js").Boot} boot
 */
export function hintSweep(tokens, boot) {
  const rule = tokens.length > 1 ? findRule(boot, tokens[1]) : undefined;
  if (!rule) return "symbol rule name=from..to:step GO";
  const used = tokens.slice(2).map((token) => token.split("=")[0]);
  const names = rule.parameters.map((field) => field.name).filter((name) => !used.includes(name));
  return [...names.map((name) => `${name}=`), "from-to", "GO"].join(" ");
}

/**
 * Write a request as the command that gives it, leaving defaults out.
 * @param {Object} request @param {import("../lib/boot.js").Boot} boot @returns {string}
 */
export function writeSweepCommand(request, boot) {
  const rule = findRule(boot, request.rule);
  const words = ["SWEEP", request.datasets?.join(",") || request.dataset || "", request.rule.toUpperCase()];
  const add = (fields, values) => {
    for (const field of fields) {
      const value = values?.[field.name];
      const isDefault = value === undefined || String(value ?? "off") === String(field.default ?? "off");
      if (!isDefault) words.push(`${field.name}=${String(value ?? "off").replace(/\s+/g, "")}`);
    }
  };
  add(rule?.parameters || [], request.space);
  if (request.start || request.end) words.push(`${request.start || ""}-${request.end || ""}`);
  add(boot.trading, request.trading);
  for (const text of [request.where || []].flat()) words.push(`where=${text.replace(/\s+/g, "")}`);
  if (request.objective && request.objective !== "sharpe") words.push(`objective=${request.objective}`);
  if (request.min_trades) words.push(`min_trades=${request.min_trades}`);
  const { method, n, seed } = request.search || {};
  if (method && method !== "grid") words.push(`${method}=${n ?? ""}`);
  if (seed) words.push(`seed=${seed}`);
  if (request.adjust === false) words.push("adjust=false");
  return [...words, "GO"].join(" ");
}
