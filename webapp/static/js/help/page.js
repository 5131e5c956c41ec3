/** The help page: keys, rules, trading parameters and the definition of every figure. */

import { describeField } from "../form/fields.js";
import { $, fill, h } from "../lib/dom.js";
import { keyTable } from "../lib/keys.js";
import { describeMetric, GROUPS, metricLabel } from "../lib/metrics.js";
import { installShell } from "../lib/shell.js";

const boot = installShell();

fill($("#help-keys"), keyTable());
fill($("#help-rules"), boot.rules.map((rule) => h("section", { id: `rule-${rule.name}` },
  h("h3", {}, rule.name, h("small", { text: ` ${rule.title} v${rule.version}` })),
  h("p", { class: "second", text: rule.summary }),
  fieldTable(rule.parameters, rule.constraints.map((item) => `${item.left} ${item.operator} ${item.right}`)),
  rule.source && h("p", { class: "hint", text: describeSource(rule) }),
  rule.deviations.length > 0 && h("ul", { class: "hint" }, rule.deviations.map((text) => h("li", { text: `deviation: ${text}` }))))));
fill($("#help-trading"), fieldTable(boot.trading, []));
fill($("#help-figures"), GROUPS.map(([title, names]) => h("table", { class: "grid key-table" },
  h("caption", { text: title }),
  h("tbody", {}, names.map((name) => h("tr", { id: name }, h("th", { scope: "row", text: metricLabel(name) }),
    h("td", {}, describeMetric(name).split("\n").map((line) => h("p", { text: line.replace("\t", " ") }))))))))); 
if (location.hash) $(location.hash)?.scrollIntoView();

function describeSource({ source, label, published_sample: sample }) {
  const years = sample ? `; published sample ${sample.join(" to ")}` : "; no published sample is known";
  return label ? `${source} (${label}${years})` : source;
}

function fieldTable(fields, constraints) {
  return h("table", { class: "grid key-table" }, h("tbody", {},
    fields.map((field) => h("tr", {}, h("th", { scope: "row", text: field.name }),
      h("td", { text: describeField(field) }))),
    constraints.map((text) => h("tr", {}, h("th", { scope: "row", text: "must hold" }), h("td", { text })))));
}
