/** Adding data: a file dropped or chosen, or a fetch; shown first, stored when asked to. */

import { buildInput, buildRow, buildSelect } from "../form/fields.js";
import { ApiError, request } from "../lib/api.js";
import { $, announce, fill, h } from "../lib/dom.js";
import { formatBytes } from "./report.js";
import { sendFile } from "./transfer.js";

const MIB = 1 << 20;
const READY = "A file is shown before it is stored.";

/** Both forms; one preview at a time, whichever it came from. */
export class AddForms {
  /**
   * @param {{maxUploadMb: number, sources: string[], onPreview: (preview: Object) => void,
   *   onSymbol: () => void, onStored: (dataset: Object) => void, onBusy: (text: string) => void,
   *   onRefused: (name: string, errors: Object[], isTrouble: boolean) => void, onDiscard: () => void}} options
   */
  constructor(options) {
    Object.assign(this, options);
    /** @type {{file: File}|{order: Object, source: string}|null} what the preview was made of */
    this.origin = null;
    this.preview = null;
    this.sending = null;
    this.buildUpload();
    if (this.sources.length) this.buildFetch();
    this.listen();
  }

  buildUpload() {
    this.file = h("input", { id: "field-file", name: "file", type: "file", class: "visually-hidden",
      accept: ".csv,.gz,.parquet,.txt" });
    this.controls = new Map([
      ["file", buildRow("file", "file", this.file)],
      ["symbol", buildRow("symbol", "symbol", buildInput("symbol", "from the file name"), "", "letters, digits and . _ - ^ = : + &")],
      ["date_format", buildRow("date_format", "date format", buildInput("date_format", "found by itself"), "",
        "only if dates can be read in two ways: %d/%m/%Y")],
    ]);
    this.fileName = h("label", { for: "field-file", class: "file-name second", text: "none chosen" });
    this.controls.get("file").row.querySelector(".box").append(this.fileName);
    fill($("#upload-fields"), [...this.controls.values()].map((control) => control.row));
  }

  buildFetch() {
    this.fetchControls = new Map([
      ["source", buildRow("source", "source", buildSelect("source", this.sources))],
      ["fetch_symbol", buildRow("fetch_symbol", "symbol there", buildInput("fetch_symbol", "^GSPC"))],
      ["name", buildRow("name", "symbol here", buildInput("name", "the same"))],
      ["start", buildRow("start", "start", buildInput("start", "its first day"), "", "YYYY-MM-DD")],
      ["end", buildRow("end", "end", buildInput("end", "its last day"), "", "YYYY-MM-DD, inclusive")],
    ]);
    fill($("#fetch-fields"), [...this.fetchControls.values()].map((control) => control.row));
    $("#fetch").addEventListener("submit", (event) => {
      event.preventDefault();
      this.previewFetch();
    });
  }

  listen() {
    this.file.addEventListener("change", () => this.file.files[0] && this.take(this.file.files));
    this.controls.get("date_format").input.addEventListener("change", () => this.origin?.file && this.previewFile());
    const symbol = this.controls.get("symbol");
    symbol.input.addEventListener("input", () => {
      symbol.setError(null);
      this.isNamed = symbol.input.value.trim() !== "";
      if (this.preview) this.onSymbol();
    });
    // A name that was refused left the file unread.
    symbol.input.addEventListener("change", () => this.origin?.file && !this.preview && this.previewFile());
    $("#upload").addEventListener("submit", (event) => {
      event.preventDefault();
      this.store();
    });
    $("#upload-clear").addEventListener("click", () => this.discard());
    const drop = $("#drop");
    const carriesFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    const mark = (isOver) => drop.classList.toggle("is-over", isOver);
    document.addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      mark(true);
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
    document.addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      mark(false);
      this.take(event.dataTransfer.files);
    });
  }

  /** The symbol under which the preview would be stored. */
  get symbol() {
    return this.origin?.order ? this.origin.order.name || this.origin.order.symbol
      : this.controls.get("symbol").input.value.trim();
  }

  /** @param {FileList} files dropped or chosen */
  take(files) {
    this.clearErrors();
    if (files.length !== 1) return this.showErrors([{ field: "file", message: "send one file at a time" }]);
    const [file] = files;
    this.origin = { file };
    this.preview = null;
    this.fileName.textContent = `${file.name}, ${formatBytes(file.size)}`;
    this.fileName.title = file.name;
    const { input } = this.controls.get("symbol");
    if (!this.isNamed) {
      input.value = file.name.split(".")[0].toUpperCase().replaceAll(/[^A-Z0-9._^=:+&-]/g, "").replace(/^[^A-Z0-9^._]+/, "")
        .slice(0, 32);
    }
    if (file.size > this.maxUploadMb * MIB) {
      return this.showErrors([{ field: "file",
        message: `is ${formatBytes(file.size)}; at most ${this.maxUploadMb} MiB are taken: compress it with gzip or split it` }]);
    }
    return this.previewFile();
  }

  previewFile() {
    const { file } = this.origin;
    this.clearErrors();
    this.onBusy(`Reading ${file.name} …`);
    return this.attempt(async () => {
      this.preview = await this.send(file, true);
      this.say(`read ${file.name}; not stored yet`);
      $("#upload-clear").hidden = false;
      this.onPreview(this.preview);
    }, file.name, "#upload-note");
  }

  send(file, isPreview) {
    this.sending?.abort();
    const sending = new AbortController();
    this.sending = sending;
    const progress = $("#upload-progress");
    return sendFile({
      file, symbol: this.controls.get("symbol").input.value.trim(),
      dateFormat: this.controls.get("date_format").input.value.trim(), isPreview, signal: sending.signal,
      onProgress: (sent, total) => {
        if (sending !== this.sending) return;
        const share = Math.min(sent / total, 1);
        progress.hidden = false;
        fill(progress, h("div", { class: "meter", role: "progressbar", "aria-label": "Upload", "aria-valuemin": "0",
          "aria-valuemax": "100", "aria-valuenow": String(Math.round(share * 100)) },
        h("span", { style: { width: `${share * 100}%` } })),
        h("span", { class: "hint", text: share < 1 ? `${formatBytes(sent)} of ${formatBytes(total)}` : "sent; being read and checked" }));
      },
    }).finally(() => { if (sending === this.sending) progress.hidden = true; });
  }

  previewFetch() {
    const read = (name) => this.fetchControls.get(name).input.value.trim();
    this.clearErrors();
    const order = { symbol: read("fetch_symbol") };
    for (const name of ["name", "start", "end"]) if (read(name)) order[name] = read(name);
    if (!order.symbol) return this.showErrors([{ field: "symbol", message: "name the instrument as the source does" }], true);
    this.origin = { order, source: read("source") };
    this.preview = null;
    this.onBusy(`Asking ${this.origin.source} for ${order.symbol} …`);
    return this.attempt(async () => {
      this.preview = await request(`${this.fetchPath()}?preview=1`, { method: "POST", json: order });
      this.sayFetch(`read ${order.symbol}; not stored yet`);
      $("#upload-clear").hidden = false;
      this.onPreview(this.preview);
    }, order.symbol, "#fetch-note");
  }

  fetchPath() {
    return `/api/v1/sources/${encodeURIComponent(this.origin.source)}/fetch`;
  }

  store() {
    this.clearErrors();
    if (!this.origin) return this.showErrors([{ field: "file", message: "choose a CSV or Parquet file" }]);
    const { file, order } = this.origin;
    return this.attempt(async () => {
      const stored = file ? await this.send(file, false)
        : await request(this.fetchPath(), { method: "POST", json: order });
      this.reset();
      this.say(`${stored.symbol} version ${stored.version} is stored`);
      announce(`${stored.symbol} version ${stored.version} is stored`);
      this.onStored(stored);
    }, file ? file.name : order.symbol, file ? "#upload-note" : "#fetch-note");
  }

  async attempt(action, name, note) {
    const setBusy = (isBusy) => {
      for (const id of ["#upload-button", "#fetch-button", "#preview-store"]) if ($(id)) $(id).disabled = isBusy;
    };
    $(note).textContent = note === "#upload-note" ? "sending …" : "asking …";
    setBusy(true);
    try {
      await action();
      setBusy(false);
      // Where it is in sight, on a phone too.
      if (this.preview) $("#preview-store").focus();
    } catch (error) {
      setBusy(false);
      if (error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      $(note).textContent = "nothing was stored";
      this.preview = null;
      const errors = error.errors.length ? error.errors
        : [{ field: this.origin?.order ? "source" : "file", message: error.message }];
      this.onRefused(name, errors, error.isTrouble);
      this.showErrors(errors, Boolean(this.origin?.order));
    }
  }

  showErrors(errors, isFetch = false) {
    const controls = isFetch ? this.fetchControls : this.controls;
    const words = new Map();
    for (const error of errors) {
      const own = isFetch && error.field === "symbol" ? "fetch_symbol" : error.field;
      const home = controls.has(own) ? own : isFetch ? "source" : "file";
      const place = home === own ? "" : `${error.field}: `;
      const isShown = home === "file" && error.value !== undefined && error.value !== null && error.value !== this.origin?.file?.name;
      const text = place + error.message + (isShown ? `; found ${error.value}` : "");
      words.set(home, [...(words.get(home) || []), text]);
    }
    for (const [name, texts] of words) controls.get(name).setError(texts.join("; "));
    const first = [...controls.keys()].find((name) => words.has(name));
    controls.get(first).input.focus();
    announce([...words.values()].flat().join(". "));
  }

  clearErrors() {
    for (const control of [...this.controls.values(), ...(this.fetchControls?.values() || [])]) control.setError(null);
  }

  reset() {
    this.sending?.abort();
    this.sending = null;
    this.origin = null;
    this.preview = null;
    this.isNamed = false;
    $("#upload").reset();
    this.fileName.textContent = "none chosen";
    $("#upload-clear").hidden = true;
    $("#upload-progress").hidden = true;
    if (this.fetchControls) $("#fetch-note").textContent = "";
  }

  discard() {
    this.clearErrors();
    this.reset();
    this.say(READY);
    this.onDiscard();
  }

  say(text) {
    $("#upload-note").textContent = text;
  }

  sayFetch(text) {
    $("#fetch-note").textContent = text;
  }
}
