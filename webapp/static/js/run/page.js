/** The run page: form, result and live state, held together by the address. */

import { setCommandText } from "../command/bar.js";
import { writeCommand } from "../command/grammar.js";
import { installPresets } from "../form/presets.js";
import { RunForm } from "../form/run_form.js";
import { parseZoom, readAddress, writeAddress } from "../lib/address.js";
import { ApiError, request } from "../lib/api.js";
import { currentSymbol, findDataset } from "../lib/boot.js";
import { $, announce, copyText, pauseTask } from "../lib/dom.js";
import { shortId } from "../lib/format.js";
import { bindKeys } from "../lib/keys.js";
import { clearTrouble, installShell, showTrouble } from "../lib/shell.js";
import { refreshHealth, setStatus } from "../lib/status.js";
import { editTags } from "../lib/tag_dialog.js";
import { RunPin } from "./pin.js";
import { ResultView } from "./result_view.js";
import { showHeading, showRibbon } from "./ribbon.js";
import { followRun, isTerminal, loadResult, newKey, runPath, submitRun } from "./session.js";
import {
  clearState, showCancelled, showEmpty, showFailed, showMissing, showQueued, showRunning,
} from "./states.js";

// A run that is done sooner never shows a waiting state: nothing flickers.
const PATIENCE = 300;
const PENDING_KEY = "pending-command";
const ID_START = /^[0-9a-f]{4,12}$/i;

class RunPage {
  constructor() {
    this.boot = installShell({ onRun: (body) => this.runCommand(body), onRefused: () => this.form.clearErrors() });
    this.view = new ResultView({
      onError: (error) => this.reportTrouble(error, { retry: () => this.open(this.run.run_id), isLoading: true }),
      onAgain: () => this.runAgain(),
    });
    this.pin = new RunPin([$("#pin-run"), $("#phone-pin")], $("#compare-pins"));
    this.run = null;
    this.following = new AbortController();
    this.installButtons();
    window.addEventListener("popstate", () => {
      clearTrouble(); // of the address that was left
      this.start();
    });
    this.start();
    pauseTask().then(() => this.form); // there whatever becomes of the run
  }

  /** Built when it is first needed: of a stored run the figures come before it. @returns {RunForm} */
  get form() {
    if (!this.builtForm) {
      this.builtForm = new RunForm($("#run-form"), this.boot, {
        onRun: (body) => this.submit(body),
        onChange: () => this.echoForm(),
      });
      installPresets(this.builtForm, () => this.echoForm());
    }
    return this.builtForm;
  }

  installButtons() {
    $("#copy-link").addEventListener("click", () => copyText(location.href));
    $("#edit-tags").addEventListener("click", () => this.edit("tags"));
    // The command that the form stands for says what to sweep.
    $("#sweep-these").addEventListener("click", () => {
      this.echoForm();
      location.assign(`/sweep?fill=${encodeURIComponent($("#command").value)}`);
    });
    $("#form-toggle").addEventListener("click", () => this.toggleForm());
    $("#phone-run").addEventListener("click", () => $("#run-form").requestSubmit());
    bindKeys(["t"], () => this.edit("tags"));
    bindKeys(["n"], () => this.edit("note"));
    bindKeys(["c"], () => $("#cancel-run")?.focus());
    // A part that scrolls pages down with it.
    bindKeys([" "], () => this.pin.toggle(), { unless: ".scroll" });
  }

  toggleForm() {
    const isOpen = document.body.classList.toggle("is-form-open");
    $("#form-toggle").setAttribute("aria-expanded", String(isOpen));
  }

  /** Do what the address says. */
  start() {
    this.following.abort(); // what was on its way belongs to another address
    const { run, from } = readAddress();
    const pending = run ? null : takePending();
    if (run) this.openByAddress(run);
    else if (pending) {
      setCommandText(pending);
      $("#command").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
    } else if (from) this.fillFrom(from);
    else this.showNothing();
  }

  /** Open a run by its id, or by the beginning of one, as lists show it. @param {string} text */
  async openByAddress(text) {
    if (!ID_START.test(text)) {
      this.open(text);
      return;
    }
    try {
      const { runs } = await request("/api/v1/runs?limit=200");
      const found = runs.find((run) => run.run_id.startsWith(text.toLowerCase()));
      if (found) writeAddress({ run: found.run_id });
      this.open(found ? found.run_id : text);
    } catch (error) {
      this.explain(error, text, () => this.openByAddress(text));
    }
  }

  showNothing() {
    const data = this.boot.datasets.map((item) => item.symbol).slice(0, 6).join(", ")
      || (this.boot.storage_available ? "none yet." : "not known until the database is back.");
    showRibbon(null);
    showHeading(null, null);
    this.pin.show(null);
    this.view.clear();
    for (const name of ["RUN", "STATE", "ENGINE", "DATA"]) setStatus(name, "");
    const first = this.boot.datasets[0]?.symbol || "AAPL";
    showEmpty([`${first} RSI 14 30 70 GO`, `${first} MACD 12 26 9 2005-01-01- stop_loss=0.10 GO`], data, (text) => {
      $("#command").value = text;
      $("#command").focus();
    });
    this.echoForm();
    if (matchMedia("(min-width: 768px)").matches) $("#command").focus();
  }

  echoForm() {
    const body = this.form.read();
    setCommandText(writeCommand({ ...body, dataset: body.dataset || "", params: body.params }, this.boot));
    $("#form-echo").textContent = $("#command").value.replace(/ GO$/, "");
  }

  /** Put a stored run's inputs into the form and leave them to be changed. @param {string} runId */
  async fillFrom(runId) {
    try {
      const run = await request(runPath(runId));
      this.form.write(requestOf(run.spec, this.boot));
      this.showNothing();
      announce("The form holds the inputs of the run; change what you like and run it.");
      this.form.controls.get("rule").input.focus();
    } catch (error) {
      this.explain(error, runId, () => this.fillFrom(runId));
    }
  }

  runCommand(body) {
    this.form.write(body);
    this.submit({ ...this.form.read(), ...pick(body, ["tags", "force"]) });
  }

  /** @param {Object} body @param {string} [key] the same one on a second try, so that nothing runs twice */
  async submit(body, key = newKey()) {
    this.form.clearErrors();
    this.echoForm();
    $("#run-button").setAttribute("aria-busy", "true");
    try {
      const answer = await submitRun(body, key);
      clearTrouble();
      document.body.classList.remove("is-form-open");
      $("#form-toggle").setAttribute("aria-expanded", "false");
      writeAddress({ run: answer.run_id, zoom: null, trade: null, filter: null, show: null, sort: null,
        from: null },
        { push: true });
      if (answer.cached) announce("the same run was done before; this is its result");
      this.open(answer.run_id, { isCached: answer.cached });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.errors.length) this.form.showErrors(error.errors);
      else this.reportTrouble(error, { retry: () => this.submit(body, key) });
    } finally {
      $("#run-button").removeAttribute("aria-busy");
    }
  }

  /** Follow a run and show it. @param {string} runId */
  async open(runId, { isCached = false } = {}) {
    this.following.abort();
    this.following = new AbortController();
    const { signal } = this.following;
    const begun = performance.now();
    setStatus("RUN", runId);
    try {
      const run = this.takeKnown("run", runId) ?? await followRun(runId, {
        signal,
        onState: (state, delay) => {
          clearTrouble();
          this.showProgress(state, delay, performance.now() - begun);
        },
        onTrouble: (error, wait) => this.reportTrouble(error, { retry: () => this.open(runId), wait }),
      });
      this.run = run;
      setStatus("STATE", `${run.state}${describeTime(run, isCached)} · poll stopped`);
      await this.showEnd(run, signal);
    } catch (error) {
      if (error.name !== "AbortError") this.explain(error, runId);
    }
  }

  /** What came with the page, once: from then on the run may have been tagged, or deleted. */
  takeKnown(name, runId) {
    const known = this.boot[name];
    this.boot[name] = null;
    return known?.run_id === runId ? known : null;
  }

  showProgress(run, delay, waited) {
    setStatus("STATE", `${run.state} · poll ${(delay / 1000).toFixed(1)} s`);
    if (isTerminal(run.state) || waited < PATIENCE) return;
    this.pin.show(null);
    const cancel = () => request(`${runPath(run.run_id)}/cancel`, { method: "POST" });
    if (!this.view.isShowing) {
      showRibbon(null);
      showHeading(run.spec, null, this.boot);
    }
    if (run.state === "queued") showQueued(run, delay, cancel);
    else showRunning(run, cancel);
  }

  runAgain() {
    this.submit({ ...requestOf(this.run.spec, this.boot), force: true });
  }

  async showEnd(run, signal) {
    const retry = () => this.runAgain();
    const known = this.takeKnown("view", run.run_id);
    const loading = run.state === "succeeded" ? loadResult(run.run_id, known) : null;
    const shown = loading && this.showResult(loading, signal);
    shown?.catch(() => {}); // it is awaited below, where it is explained
    // Figures that came with the page are drawn before the form; others are on their way meanwhile.
    if (known) await pauseTask();
    if (signal.aborted) return;
    this.form.write(requestOf(run.spec, this.boot));
    this.echoForm();
    this.showTags();
    if (shown) {
      await shown;
      return;
    }
    this.view.clear();
    showRibbon(null);
    showHeading(run.spec, null, this.boot);
    if (run.state === "failed") showFailed(run, retry);
    else showCancelled(run, retry);
  }

  async showResult(loading, signal) {
    const summary = await loading.summary;
    if (signal.aborted) return;
    clearState();
    const { tab, zoom, scale } = readAddress();
    const shown = this.view.show({ runId: this.run.run_id, summary, marks: null }, loading.marks,
      { tab, range: parseZoom(zoom, summary.n_bars),
        isLog: scale ? scale === "log" : summary.final.equity > 0, boot: this.boot });
    setStatus("ENGINE", summary.engine_version);
    setStatus("DATA", `sha256 ${summary.spec.dataset.sha256.slice(0, 12)}`);
    announce(`done: total return ${$("[data-metric=total_return] b").textContent}`);
    await shown;
    refreshHealth();
  }

  showTags() {
    const { tags, note } = this.run;
    $("#run-tags").textContent = [tags.join(", "), note].filter(Boolean).join(" · ");
    for (const button of [$("#edit-tags"), $("#copy-link")]) button.hidden = false;
    this.pin.show(this.run.run_id);
  }

  async edit(focus) {
    if (!this.run) return;
    try {
      const changes = await editTags(this.run, focus);
      if (changes) Object.assign(this.run, changes);
      this.showTags();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.reportTrouble(error, { retry: () => this.edit(focus) });
    }
  }

  explain(error, runId, retry = () => this.open(runId)) {
    if (!(error instanceof ApiError)) throw error;
    if (error.isTrouble) this.reportTrouble(error, { retry, isLoading: true });
    else {
      clearTrouble(); // the server has answered
      this.view.clear();
      this.pin.show(null);
      showRibbon(null);
      showHeading(null, null);
      showMissing(shortId(runId), error.message);
    }
  }

  reportTrouble(error, options) {
    const note = this.view.isShowing ? "What is on the page was loaded before." : "";
    showTrouble(error, { ...options, note });
  }
}

/** The request that gives a stored spec again. */
function requestOf(spec, boot) {
  // Without an adjusted close prices are raw whatever is asked for.
  const symbol = currentSymbol(boot, spec.dataset);
  const isRawByChoice = !spec.dataset.adjusted && findDataset(boot, symbol)?.has_adjustment !== false;
  return {
    dataset: symbol, rule: spec.rule, params: spec.params, trading: spec.trading,
    start: spec.start ?? undefined, end: spec.end ?? undefined, adjust: isRawByChoice ? false : undefined,
  };
}

/** The command that another page handed over, once. */
function takePending() {
  const pending = sessionStorage.getItem(PENDING_KEY);
  sessionStorage.removeItem(PENDING_KEY);
  return pending;
}

function pick(source, names) {
  return Object.fromEntries(names.filter((name) => source[name] !== undefined).map((name) => [name, source[name]]));
}

function describeTime(run, isCached) {
  if (isCached) return " (cached)";
  if (!run.finished_at || !run.started_at) return "";
  const milliseconds = new Date(run.finished_at) - new Date(run.started_at);
  return ` in ${milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`}`;
}

new RunPage();
