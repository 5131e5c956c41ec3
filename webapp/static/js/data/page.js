/** The data page: datasets, upload with errors in words, removal. */

import { buildInput, buildRow } from "../form/fields.js";
import { ApiError, request } from "../lib/api.js";
import { $, announce, confirmDialog, fill, h } from "../lib/dom.js";
import { formatCount, formatStamp } from "../lib/format.js";
import { installShell, showTrouble } from "../lib/shell.js";

const PATH = "/api/v1/datasets";
const boot = installShell();

const file = h("input", { id: "field-file", name: "file", type: "file", class: "form-control",
  accept: ".csv,.gz,.parquet,.txt" });
const controls = new Map([
  ["file", buildRow("file", "file", file)],
  ["symbol", buildRow("symbol", "symbol", buildInput("symbol", "from the file name"), "",
    "letters, digits and . _ ^ = -, at most 32")],
  ["date_format", buildRow("date_format", "date format", buildInput("date_format", "found by itself"), "",
    "only if dates can be read in two ways, for example %d/%m/%Y")],
]);
fill($("#upload-fields"), [...controls.values()].map((control) => control.row));

file.addEventListener("change", () => {
  controls.get("file").setError(null);
  const symbol = controls.get("symbol").input;
  if (file.files[0] && !symbol.value) symbol.value = file.files[0].name.split(".")[0].toUpperCase().replaceAll(/[^A-Z0-9._^=-]/g, "").slice(0, 32);
});

$("#upload").addEventListener("submit", async (event) => {
  event.preventDefault();
  for (const control of controls.values()) control.setError(null);
  if (!file.files[0]) {
    showErrors([{ field: "file", message: "choose a CSV or Parquet file" }]);
    return;
  }
  const button = $("#upload-button");
  button.disabled = true;
  say(`uploading ${file.files[0].name} …`);
  try {
    const added = await request(PATH, { method: "POST", body: buildBody() });
    $("#upload").reset();
    say(`${added.symbol} version ${added.version}: ${formatCount(added.n_bars)} bars, ${added.start} to ${added.end}`
      + (added.warnings.length ? `. ${added.warnings.map((item) => item.message).join(". ")}` : ""));
    await refresh();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say("nothing was stored");
    showErrors(error.errors.length ? error.errors : [{ field: "file", message: error.message }]);
  } finally {
    button.disabled = false;
  }
});

/** The file comes last: the server reads the other fields before it streams the file. */
function buildBody() {
  const body = new FormData();
  for (const name of ["symbol", "date_format"]) {
    const text = controls.get(name).input.value.trim();
    if (text) body.append(name, text);
  }
  body.append("file", file.files[0]);
  return body;
}

function showErrors(errors) {
  const words = new Map();
  for (const error of errors) {
    const home = controls.has(error.field) ? error.field : "file";
    const place = home === error.field ? "" : `${error.field}: `;
    const found = home === "file" && error.value && error.value !== file.files[0]?.name ? `; found ${error.value}` : "";
    const text = place + error.message + found;
    words.set(home, [...(words.get(home) || []), text]);
  }
  for (const [name, texts] of words) controls.get(name).setError(texts.join("; "));
  const first = [...controls.keys()].find((name) => words.has(name));
  controls.get(first).input.focus();
  announce([...words.values()].flat().join(". "));
}

function say(text) {
  $("#upload-note").textContent = text;
}

async function refresh() {
  try {
    const body = await request(PATH);
    showTrouble(null);
    draw(body.datasets);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showTrouble({ title: error.title || "The platform is in trouble", text: error.message, retry: refresh });
  }
}

const HEADINGS = [["Symbol"], ["Version", "n"], ["Bars", "n"], ["First"], ["Last"], ["Spacing"], ["Adjusted close"],
  ["Warnings"], ["SHA-256"], ["File"], ["Added"], [""]];

function draw(datasets) {
  fill($("#datasets"),
    h("caption", { class: "visually-hidden", text: "Datasets" }),
    h("thead", {}, h("tr", {}, HEADINGS.map(([text, className]) => h("th", { scope: "col", class: className, text })))),
    h("tbody", {}, datasets.length ? datasets.map(buildRowOf)
      : h("tr", {}, h("td", { colspan: HEADINGS.length, class: "second", text: "No data yet: add a file above." }))));
}

function buildRowOf(item) {
  const { warnings } = item;
  return h("tr", { data: { symbol: item.symbol } },
    h("td", {}, h("b", { text: item.symbol })), h("td", { class: "n", text: item.version }),
      h("td", { class: "n", text: formatCount(item.n_bars) }),
    h("td", { text: item.start }), h("td", { text: item.end }), h("td", { text: item.spacing }),
      h("td", { text: item.has_adjustment ? "yes" : "no" }),
    h("td", { class: "wrap" },
      warnings.length ? warnings.map((warning) => h("div", {}, h("span", { class: "word", text: "!" }),
      ` ${warning.message}`)) : h("span", { class: "second", text: "none" })),
    h("td", { class: "second", title: item.sha256, text: item.sha256.slice(0, 12) }),
      h("td", { class: "second clip", title: item.file_name, text: item.file_name }),
    h("td", { class: "second", text: formatStamp(item.created_at) }),
    h("td", {}, h("button", { type: "button", class: "btn btn-small", "aria-label": `Remove ${item.symbol}`,
      text: "Remove", on: { click: () => remove(item) } })));
}

async function remove(item) {
  const isSure = await confirmDialog({ title: `Remove ${item.symbol}`,
    text: "The symbol can no longer be run. Runs that used it keep their results.", yes: "Remove" });
  if (!isSure) return;
  try {
    await request(`${PATH}/${encodeURIComponent(item.symbol)}`, { method: "DELETE" });
    announce(`${item.symbol} removed`);
    await refresh();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(error.message);
  }
}

draw(boot.datasets);
