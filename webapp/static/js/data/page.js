/** The data page: what is stored, what would be, and what to know of it. */

import { ApiError, request } from "../lib/api.js";
import { $, announce, confirmDialog, h, openDialog } from "../lib/dom.js";
import { bindKeys } from "../lib/keys.js";
import { clearTrouble, installShell, showTrouble } from "../lib/shell.js";
import { AddForms } from "./add.js";
import { Detail } from "./detail.js";
import { DatasetList } from "./list.js";

const PATH = "/api/v1/datasets";
const pathOf = (ref) => `${PATH}/${encodeURIComponent(ref)}`;

class DataPage {
  constructor() {
    const boot = installShell();
    this.isAway = !boot.storage_available;
    const { maxUploadMb, sources } = $("#main").dataset;
    this.detail = new Detail();
    this.list = new DatasetList(boot.datasets, {
      onSelect: (item) => this.open(item),
      onOpen: (item) => startCommand(item), isAway: this.isAway,
    });
    this.forms = new AddForms({
      maxUploadMb: Number(maxUploadMb), sources: sources.split(",").filter(Boolean),
      onPreview: (preview) => {
        this.turn += 1;
        this.list.select(null, { isQuiet: true });
        this.detail.showPreview(preview, this.target(), () => this.forms.store());
        announce(`Preview of ${preview.file.name}: ${preview.n_bars} bars, ${preview.report.findings.length} findings`);
      },
      onSymbol: () => this.detail.drawTarget(this.target()),
      onBusy: (text) => {
        this.turn += 1;
        this.list.select(null, { isQuiet: true });
        this.detail.showBusy(text);
      },
      onRefused: (name, errors, isTrouble) => this.detail.showRefusal(name, errors, isTrouble),
      onStored: (dataset) => this.refresh(dataset.symbol),
      onDiscard: () => this.openSelected(),
    });
    bindKeys(["l"], () => this.detail.toggleLog());
    for (const [keys, act] of [[["+", "="], (stack) => stack.zoom(0.5)], [["-"], (stack) => stack.zoom(2)],
      [["0"], (stack) => stack.setRange(null)]]) {
      bindKeys(keys, () => this.detail.chart && act(this.detail.chart.stack));
    }
    bindKeys(["t"], () => this.list.item && this.editTags(this.list.item));
    bindKeys(["e"], () => this.list.item && this.rename(this.list.item));
    this.turn = 0;
    this.openSelected();
  }

  /** Name and version that the preview would get. */
  target() {
    const { symbol, preview } = this.forms;
    const known = this.list.datasets.find((item) => item.symbol === symbol);
    const isKnown = known?.sha256 === preview.sha256;
    return { symbol, isKnown, version: known ? known.version + (isKnown ? 0 : 1) : 1 };
  }

  openSelected() {
    if (this.isAway) {
      this.detail.showBusy("Waiting for the database …"); // what there is, nobody knows yet
      return;
    }
    const { selected } = this.list;
    if (selected && !this.list.item) {
      this.detail.showMissing(selected, this.list.datasets.map(({ symbol }) => symbol));
      return;
    }
    const first = this.list.item || this.list.rows[0] || null;
    this.list.select(first?.symbol ?? null);
    if (!first) this.detail.showNothing();
  }

  async open(item) {
    this.turn += 1;
    const { turn } = this;
    await this.guard(async () => {
      const [report, { datasets: versions }] = await Promise.all([
        request(`${pathOf(item.id)}/report`), request(`${PATH}?symbol=${encodeURIComponent(item.symbol)}`)]);
      if (turn !== this.turn) return; // another was opened meanwhile
      this.detail.showDataset(item, report, versions, {
        onRun: () => startCommand(item), onRename: () => this.rename(item),
        onTags: () => this.editTags(item), onRemove: (version) => this.remove(item, version),
      });
    }, () => (this.list.item?.id === item.id ? this.open(item) : clearTrouble()), true);
  }

  async refresh(symbol) {
    await this.guard(async () => {
      this.list.show((await request(PATH)).datasets);
      this.list.selected = symbol;
      this.openSelected();
    }, () => this.refresh(symbol), true);
  }

  async rename(item) {
    const form = await openDialog(`Rename ${item.symbol}`, [
      h("label", { for: "edit-symbol", text: "symbol" }),
      h("input", { id: "edit-symbol", name: "symbol", class: "form-control", value: item.symbol, autocomplete: "off",
        maxlength: "64", spellcheck: "false", autofocus: true }),
      h("p", { class: "field-help", text: "All its versions; runs keep the name they were given, and their bars." })], "Rename");
    const symbol = form?.get("symbol").trim();
    if (!symbol || symbol === item.symbol) return;
    await this.change(item, { symbol }, `${item.symbol} is now ${symbol}`);
  }

  async editTags(item) {
    const form = await openDialog(`Tags of ${item.symbol}`, [
      h("label", { for: "edit-tags", text: "tags" }),
      h("input", { id: "edit-tags", name: "tags", class: "form-control", value: item.tags.join(", "), autocomplete: "off",
        maxlength: "400", autofocus: true }),
      h("p", { class: "field-help", text: "separated by commas; of all its versions" })], "Save");
    if (!form) return;
    const tags = [...new Set(form.get("tags").split(",").map((tag) => tag.trim()).filter(Boolean))];
    await this.change(item, { tags }, "tags saved");
  }

  async change(item, changes, done) {
    let changed = null;
    await this.guard(async () => {
      changed = await request(pathOf(item.id), { method: "PATCH", json: changes });
      announce(done);
    }, () => this.change(item, changes, done));
    if (changed) await this.refresh(changed.symbol);
  }

  /** @param {Object} item @param {Object} [version] only this one */
  async remove(item, version) {
    const name = version ? `version ${version.version} of ${item.symbol}` : item.symbol;
    const isSure = await confirmDialog({ title: `Remove ${name}`,
      text: version ? "Its bars are gone unless something else refers to them." : "The symbol can no longer be run, and its bars are gone.",
      yes: "Remove" });
    if (!isSure) return;
    let isGone = false;
    await this.guard(async () => {
      await request(pathOf(version ? version.id : item.symbol), { method: "DELETE" });
      isGone = true;
      announce(`${name} removed`);
    }, () => this.remove(item, version));
    if (isGone) await this.refresh(version ? item.symbol : null);
  }

  /** @param {() => Promise<void>} action @param {() => void} retry @param {boolean} [isLoading] it changes nothing */
  async guard(action, retry, isLoading = false) {
    try {
      await action();
      clearTrouble();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.isTrouble) showTrouble(error, { retry, isLoading });
      else {
        clearTrouble();
        this.detail.say(describeRefusal(error), error.status === 409 ? "REFUSED" : "!");
      }
    }
  }
}

/** What stands in the way, with links to it. @param {ApiError} error */
function describeRefusal(error) {
  const links = error.errors.filter(({ field }) => field === "run_id" || field === "sweep_id").map(({ field, value }) => h("li", {},
    h("a", { href: field === "run_id" ? `/?run=${value}` : `/sweep/${value}`, text: `${field.replace("_id", "")} ${value}` })));
  return [h("span", { text: error.message }), links.length > 0 && h("ul", { class: "in-the-way" }, links)];
}

/** Begin a command with the symbol; the command bar offers the rules. */
function startCommand(item) {
  const command = $("#command");
  command.value = `${item.symbol} `;
  command.focus(); // which selects what stands there
  command.setSelectionRange(command.value.length, command.value.length);
  command.dispatchEvent(new Event("input"));
}

new DataPage();
