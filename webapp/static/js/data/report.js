/** What a report and a preview say, as elements. */

import { fill, h } from "../lib/dom.js";
import { formatCount, formatPrice, formatStamp, sentence } from "../lib/format.js";

const UNITS = [[1 << 30, "GiB"], [1 << 20, "MiB"], [1 << 10, "KiB"]];

/** @param {number} bytes */
export function formatBytes(bytes) {
  const [size, unit] = UNITS.find(([limit]) => bytes >= limit) || [1, "B"];
  const value = bytes / size;
  return `${unit === "B" || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

function block(title, ...content) {
  return h("section", { class: "fact-block" }, h("h3", { text: title }), content);
}

/**
 * The validation report.
 * @param {Object} report @param {(bar: number) => void} pointAt shows a bar in the chart
 */
export function buildFindings(report, pointAt) {
  const { findings } = report;
  return block("Checks",
    findings.length ? h("ul", { class: "findings" }, findings.map((finding) => buildFinding(finding, pointAt)))
      : h("p", { class: "second", text: "Nothing stands out: no jump, no gap, no odd day." }));
}

function buildFinding(finding, pointAt) {
  const { examples, count } = finding;
  const isWarning = finding.level === "warning";
  const heading = [isWarning ? h("span", { class: "word", text: "!" }) : h("span", { class: "note-mark", text: "i" }),
    h("span", { text: sentence(finding.message) })];
  if (!examples.length) return h("li", { class: "finding", data: { code: finding.code } }, h("p", {}, heading));
  return h("li", { class: "finding", data: { code: finding.code } },
    h("details", { open: isWarning && examples.length <= 5 },
      h("summary", {}, heading),
      h("ul", { class: "examples" }, examples.map((example) => h("li", {},
        h("button", { type: "button", class: "example-bar", "aria-label": `Show ${example.time} in the chart: ${example.text}`,
          on: { click: () => pointAt(example.idx) } },
        h("b", { text: formatMoment(example.time) }), h("span", { text: example.text })))),
      count > examples.length && h("li", { class: "hint", text: `and ${formatCount(count - examples.length)} more` }))));
}

function formatMoment(time) {
  return time.length > 10 ? formatStamp(time) : time;
}

/** Facts as a table of two columns. @param {Array<[string, any]>} rows */
export function buildFacts(title, rows) {
  return block(title, h("table", { class: "grid facts" },
    h("caption", { class: "visually-hidden", text: title }),
    h("tbody", {}, rows.map(([label, value]) => h("tr", {}, h("th", { scope: "row", text: label }),
      h("td", {}, value))))));
}

/** Range and close in a few rows. @param {Object} dataset @param {Object} report */
export function describeBars(dataset, report) {
  const { close } = report;
  return [
    ["bars", `${formatCount(dataset.n_bars)} ${dataset.spacing}, ${formatCount(dataset.periods_per_year)} a year`],
    ["range", `${formatMoment(dataset.start)} to ${formatMoment(dataset.end)}`],
    ["close", `${formatPrice(close.first)} to ${formatPrice(close.last)}, between ${formatPrice(close.lowest)} and ${formatPrice(close.highest)}`],
    ["adjusted", dataset.has_adjustment ? "yes, by an adjusted close; runs use it unless told not to" : "no adjusted close, or one equal to the close"],
  ];
}

/** How a file was understood. @param {Object} file */
export function buildFileFacts(file) {
  const read = file.columns.filter((column) => column.role);
  const ignored = file.columns.filter((column) => !column.role);
  const left = file.n_columns - file.columns.length;
  return buildFacts("Read as", [
    ["file", h("span", { class: "clip-line", title: file.name, text: file.name })],
    ["format", file.kind],
    ["dates", file.date_format],
    ["columns", h("ul", { class: "chips" }, read.map((column) => h("li", { class: "chip" },
      h("b", { text: column.name || "(no name)" }), column.name.toLowerCase() !== column.role && ` → ${column.role.replace("_", " ")}`)))],
    ignored.length ? ["not read", `${ignored.map((column) => column.name || "(no name)").join(", ")}${left ? ` and ${formatCount(left)} more` : ""}`] : null,
  ].filter(Boolean));
}

/** First and last rows. @param {Object} preview */
export function buildRows({ first_rows: first, last_rows: last, n_bars: nBars, has_adjustment: isAdjusted }) {
  const heads = ["Time", "Open", "High", "Low", "Close", "Volume", ...(isAdjusted ? ["Adj close"] : [])];
  const row = (cells) => h("tr", {}, cells.slice(0, heads.length).map((cell, idx) => (idx === 0
    ? h("th", { scope: "row", text: formatMoment(cell) })
    : h("td", { class: "n", text: idx === 5 ? formatCount(cell) : formatPrice(cell) }))));
  const between = nBars - first.length - last.length;
  const body = h("tbody");
  fill(body, first.map(row),
    between > 0 && h("tr", {}, h("td", { colspan: heads.length, class: "hint", text: `… ${formatCount(between)} more` })),
    last.map(row));
  return block("First and last rows", h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "First and last rows" },
    h("table", { class: "grid rows" }, h("thead", {}, h("tr", {},
      heads.map((text, idx) => h("th", { scope: "col", class: idx ? "n" : "", text })))), body)));
}
