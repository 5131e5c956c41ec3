/** The switch that shows the headline metrics as another library would compute them. */

import { readAddress, writeAddress } from "../lib/address.js";
import { announce, fill, h } from "../lib/dom.js";
import { DASH, formatPercent } from "../lib/format.js";
import {
  CONVENTIONS, describeMetric, formatMetric, HEADLINE_METRICS, metricLabel,
} from "../lib/metrics.js";
import { roveTerms, term } from "../lib/tooltip.js";

const OURS = "ours";
// Figures that agree to nine digits are one figure.
const TOLERANCE = 1e-9;

/**
 * The switch and its table; the choice is in the address.
 * @param {Object} summary @param {() => void} onAgain runs it again, for results that lack these figures
 * @returns {HTMLElement}
 */
export function conventionSection(summary, onAgain) {
  const body = h("div", { class: "convention-body" });
  const names = [OURS, ...CONVENTIONS.map(({ name }) => name)];
  const buttons = names.map((name) => h("button", {
    type: "button", class: "btn btn-small toggle", data: { convention: name },
    text: CONVENTIONS.find((each) => each.name === name)?.title || "ours",
    on: { click: () => { writeAddress({ convention: name === OURS ? null : name }); show(name); } },
  }));
  const show = (name) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.convention === name));
    const convention = CONVENTIONS.find((each) => each.name === name);
    fill(body, convention && describe(convention, summary, onAgain));
    roveTerms(body);
    if (convention) announce(`headline metrics as ${convention.title} computes them`);
  };
  show(names.includes(readAddress().convention) ? readAddress().convention : OURS);
  return h("section", { class: "conventions", "aria-label": "Conventions of other libraries" },
    h("div", { class: "convention-switch", role: "group", "aria-label": "Convention" },
      h("span", { class: "amber", text: "CONVENTION" }), buttons,
      h("span", { class: "hint wide-only", text: "the headline metrics as others compute them, from the same equity and trades" })),
    body);
}

function describe(convention, summary, onAgain) {
  const theirs = summary.conventions?.[convention.name];
  if (!theirs) {
    return h("p", { class: "convention-missing" },
      "This result was stored by a version that did not compare conventions. ",
      h("button", { type: "button", class: "btn btn-small", text: "Run again", on: { click: onAgain } }));
  }
  return h("table", { class: "grid convention-table" },
    h("caption", {}, `As ${convention.title} computes them · ${convention.source}`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Metric" }),
      ["Ours", convention.title].map((text) => h("th", { scope: "col", class: "n", text })),
      h("th", { scope: "col", text: "Differing term" }))),
    h("tbody", {}, HEADLINE_METRICS.map((name, idx) => row(name, idx, convention, summary, theirs))));
}

function row(name, idx, convention, summary, theirs) {
  const ours = summary.metrics[name];
  const isSame = ours === theirs[name] || (ours !== null && theirs[name] !== null
    && Math.abs(ours - theirs[name]) <= TOLERANCE * Math.max(Math.abs(ours), 1));
  return h("tr", { data: { metric: name }, class: isSame ? "is-same" : "" },
    h("th", { scope: "row" }, term(metricLabel(name), describeMetric(name, summary.undefined[name]), idx === 0)),
    h("td", { class: "n", text: formatMetric(name, ours) }),
    h("td", { class: "n", text: formatTheirs(name, theirs[name], convention) }),
    h("td", { class: "wrap", text: isSame ? "same" : convention.terms[name] || "not defined here" }));
}

function formatTheirs(name, value, convention) {
  if (value === null) return DASH;
  if (convention.percent.includes(name)) return formatPercent(value);
  // LEAN's expectancy is a ratio, which money would round away.
  return name === "expectancy" && convention.name === "lean" ? formatMetric("sharpe", value) : formatMetric(name, value);
}
