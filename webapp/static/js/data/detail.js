/** The lower part of the page: one dataset, stored or still to be, with chart and report. */

import { $, announce, fill, h } from "../lib/dom.js";
import { formatCount, sentence } from "../lib/format.js";
import { CloseChart } from "./chart.js";
import { buildFacts, buildFileFacts, buildFindings, buildRows, describeBars, formatBytes } from "./report.js";

const LOG_KEY = "data-log";

/** Chart and facts; whoever shows something replaces what was there. */
export class Detail {
  constructor() {
    this.root = $("#detail");
    this.chart = null;
    this.isLog = localStorage.getItem(LOG_KEY) !== "off";
    this.isAdjusted = false;
  }

  clear() {
    this.chart?.destroy();
    this.chart = null;
  }

  /** Where nothing is stored and nothing was dropped. */
  showNothing() {
    this.clear();
    fill(this.root, h("div", { class: "state-body" },
      h("h2", { text: "No data yet" }),
      h("p", { text: "A dataset is a file with one row a bar: a date, open, high, low and close; volume and an adjusted close if there are any. Drop one on this page: it is read, checked and shown before anything is stored." }),
      h("p", { text: "A new file for a known symbol becomes its next version; runs keep the one they used." })));
  }

  /** The address names a dataset that is not there. @param {string} symbol @param {string[]} known */
  showMissing(symbol, known) {
    this.clear();
    const link = (each) => h("a", { href: `/data?symbol=${encodeURIComponent(each)}`, text: each });
    fill(this.root, h("div", { class: "state-body", id: "missing" },
      h("h2", {}, h("span", { class: "word", text: "NOT FOUND" }), ` No dataset ${symbol}`),
      h("p", {}, known.length ? ["There is ", known.flatMap((each, at) => [at > 0 && ", ", link(each)]), "."]
        : "There is none yet."),
      h("p", { text: "Choose one in the list, or drop a file on this page to add it." })));
    announce(`No dataset ${symbol}`);
  }

  showBusy(text) {
    this.clear();
    fill(this.root, h("div", { class: "state-body" }, h("p", { role: "status", text })));
  }

  /**
   * A file that was not accepted.
   * @param {string} name @param {Array<{field: string, value: any, message: string}>} errors
   * @param {boolean} isTrouble of the server, which trying again may cure
   */
  showRefusal(name, errors, isTrouble) {
    this.clear();
    fill(this.root, h("div", { class: "state-body", id: "refusal" },
      h("h2", {}, h("span", { class: "word", text: isTrouble ? "NOT NOW" : "REFUSED" }), name),
      h("ul", { class: "refusals" }, errors.map(({ field, value, message }) => h("li", {},
        h("b", { class: "amber", text: field }), ` ${sentence(message)}`,
        value !== undefined && value !== null && value !== name && h("span", { class: "second", text: ` Found: ${value}` })))),
      h("p", { text: `Nothing was stored. ${isTrouble ? "Try again later." : "Correct the file or the field and send it again."}` })));
  }

  /**
   * A file as it would be stored.
   * @param {Object} preview @param {{symbol: string, version: number, isKnown: boolean}} target
   * @param {() => void} onStore
   */
  showPreview(preview, target, onStore) {
    this.clear();
    this.onStore = onStore;
    this.isAdjusted = false;
    const heading = h("div", { class: "detail-heading", id: "preview-heading" });
    const facts = h("div", { class: "facts-column scroll", tabindex: "0", role: "region", "aria-label": "Preview" });
    const plot = h("div", { class: "charts" });
    fill(this.root, heading, h("div", { class: "detail-columns" }, plot, facts));
    this.drawTarget(target);
    this.plot(plot, { ...preview, id: null }, preview.report.findings);
    fill(facts, buildFindings(preview.report, (bar) => this.chart.pointAt(bar)),
      buildFileFacts(preview.file), buildFacts("Bars", describeBars(preview, preview.report)), buildRows(preview));
  }

  /** Say under which name and version the preview would be stored. */
  drawTarget({ symbol, version, isKnown }) {
    const heading = $("#preview-heading");
    if (!heading) return;
    fill(heading, h("span", { class: "word", text: "PREVIEW" }), h("h2", { text: symbol || "(no symbol)" }),
      h("span", { class: "second", text: isKnown ? `has these very bars as version ${version}: storing changes nothing`
        : version > 1 ? `would be its version ${version}; runs keep the one they used` : "would be a new dataset" }),
      h("span", { class: "push" }), this.logButton(),
      h("button", { type: "button", id: "preview-store", class: "btn btn-small btn-primary", text: "Store",
        on: { click: () => this.onStore() } }));
  }

  /**
   * A stored dataset.
   * @param {Object} item @param {Object} report @param {Object[]} versions newest first
   * @param {{onRun: () => void, onRename: () => void, onTags: () => void, onRemove: (version?: Object) => void}} actions
   */
  showDataset(item, report, versions, actions) {
    this.clear();
    const facts = h("div", { class: "facts-column scroll", tabindex: "0", role: "region", "aria-label": `Facts of ${item.symbol}` });
    const plot = h("div", { class: "charts" });
    const button = (id, text, act, isMain = false) => h("button", { type: "button", id, text,
      class: `btn btn-small ${isMain ? "btn-primary" : ""}`, on: { click: act } });
    const adjust = item.has_adjustment && h("button", { type: "button", id: "toggle-adjusted", text: "Adjusted",
      class: "btn btn-small toggle", "aria-pressed": String(this.isAdjusted), on: { click: () => {
        this.isAdjusted = !this.isAdjusted;
        $("#toggle-adjusted").setAttribute("aria-pressed", String(this.isAdjusted));
        this.chart.destroy();
        this.plot(plot, item, report.findings);
      } } });
    fill(this.root,
      h("div", { class: "detail-heading" }, h("h2", { text: item.symbol }),
        h("span", { class: "second", text: `version ${item.version}, ${formatCount(item.n_bars)} ${item.spacing} bars` }),
        h("span", { class: "amber", text: item.tags.join(", ") }),
        h("span", { class: "push" }), adjust, this.logButton(),
        button("action-run", "Run", actions.onRun, true), button("action-rename", "Rename", actions.onRename),
        button("action-tags", "Tags", actions.onTags), button("action-remove", "Remove", () => actions.onRemove())),
      h("div", { id: "detail-trouble", class: "detail-trouble", role: "alert", hidden: true }),
      h("div", { class: "detail-columns" }, plot, facts));
    this.plot(plot, item, report.findings);
    fill(facts, buildFindings(report, (bar) => this.chart.pointAt(bar)),
      buildFacts("Bars", [...describeBars(item, report),
        ["file", h("span", { class: "clip-line", title: item.file_name, text: item.file_name })],
        ["size", `${formatBytes(item.n_bytes)} in the database`],
        ["runs", h("a", { href: `/runs?symbol=${encodeURIComponent(item.symbol)}`, text: "runs on it" })],
        ["sha-256", h("span", { class: "hash", text: item.sha256 })]]),
      buildVersions(versions, actions.onRemove));
  }

  plot(root, dataset, findings) {
    this.chart = new CloseChart(root, dataset, { isLog: this.isLog, isAdjusted: this.isAdjusted,
      onError: (text) => this.say([text]) });
    this.chart.showFindings(findings);
  }

  logButton() {
    return h("button", { type: "button", id: "toggle-log", class: "btn btn-small toggle", "aria-pressed": String(this.isLog),
      text: "Log", on: { click: () => this.toggleLog() } });
  }

  toggleLog() {
    this.isLog = !this.isLog;
    localStorage.setItem(LOG_KEY, this.isLog ? "on" : "off");
    $("#toggle-log")?.setAttribute("aria-pressed", String(this.isLog));
    this.chart?.setLog(this.isLog);
  }

  /** Say what went wrong above the chart. @param {Array} content @param {string} [word] */
  say(content, word = "!") {
    const place = $("#detail-trouble");
    if (!place) return;
    place.hidden = false;
    fill(place, h("span", { class: "word", text: word }), content);
  }
}

function buildVersions(versions, onRemove) {
  return h("section", { class: "fact-block" }, h("h3", { text: "Versions" }),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Versions" },
      h("table", { class: "grid rows", id: "versions" },
        h("thead", {}, h("tr", {}, [["#", "n"], ["Bars", "n"], ["Range"], ["Added"], ...(versions.length > 1 ? [["Remove"]] : [])]
          .map(([text, kind]) => h("th", { scope: "col", class: kind, text })))),
        h("tbody", {}, versions.map((version) => h("tr", {},
          h("td", { class: "n", text: version.version }), h("td", { class: "n", text: formatCount(version.n_bars) }),
          h("td", { class: "wrap", text: `${version.start.slice(0, 10)} to ${version.end.slice(0, 10)}` }),
          h("td", { class: "second", title: version.file_name, text: version.created_at.slice(0, 10) }),
          versions.length > 1 && h("td", {}, h("button", { type: "button", class: "btn btn-small", text: "Remove",
            "aria-label": `Remove version ${version.version}`, on: { click: () => onRemove(version) } }))))))));
}
