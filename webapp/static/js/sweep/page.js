/** The sweep page: form, progress and results of one sweep, or the list of all; held together by the address. */

import { setCommandText } from "../command/bar.js";
import { parseCommand } from "../command/grammar.js";
import { writeSweepCommand } from "../command/sweep_command.js";
import { CommandError } from "../command/words.js";
import { installPresets } from "../form/presets.js";
import { readAddress } from "../lib/address.js";
import { ApiError, request } from "../lib/api.js";
import { findRule } from "../lib/boot.js";
import { $, announce, confirmDialog, copyText, fill, h } from "../lib/dom.js";
import { shortId } from "../lib/format.js";
import { bindKeys } from "../lib/keys.js";
import { clearTrouble, installShell, showTrouble } from "../lib/shell.js";
import { setStatus } from "../lib/status.js";
import { editTags } from "../lib/tag_dialog.js";
import { newKey } from "../run/session.js";
import { buildAxes } from "./axes.js";
import { SweepForm } from "./form.js";
import { requestOf, showAssumptions, showHeading } from "./heading.js";
import { SweepList } from "./list.js";
import { SweepResults } from "./results.js";
import { completeSweepId, estimateSweep, followSweep, isTerminal, loadSweeps, steerSweep, submitSweep,
  sweepPath } from "./session.js";
import { suggestSpace } from "./space.js";
import { SweepStatus, describePanel } from "./status.js";

const PENDING_KEY = "pending-command";
// Sweeps of the list at first, with each press of its button, and at most, which is what the API gives at once.
const LIST_STEP = 50;
const LIST_MOST = 200;
const LIST_DELAY = 2000;
// Results of a sweep that is going on are asked for again after so much more of it, of all or of what was shown, or
// after so long, and not more often [ms].
const REFRESH_SHARE = 0.1;
const REFRESH_GROWTH = 1.5;
const REFRESH_LATEST = 10_000;
const REFRESH_PAUSE = 2500;

class SweepPage {
  constructor() {
    this.boot = installShell({ onSweep: (body) => this.runCommand(body), onRefused: () => this.form.clearErrors() });
    this.estimating = new AbortController();
    this.form = new SweepForm($("#sweep-form"), this.boot, {
      onSweep: (body) => this.submit(body), onRun: (run) => this.runOne(run), onChange: () => this.echoForm(),
      estimate: (body) => this.estimate(body) });
    installPresets(this.form, () => this.echoForm(), "sweep");
    this.status = new SweepStatus($("#sweep-status"), (action) => this.steer(action));
    this.results = new SweepResults({ onOpen: (index) => this.openCombination(index),
      onError: (error) => this.explain(error) });
    this.listLength = LIST_STEP;
    this.list = new SweepList($("#sweep-list"), this.boot, { onOpen: (id) => this.go(`/sweep/${id}`),
      onMore: () => { this.listLength = Math.min(this.listLength + LIST_STEP, LIST_MOST); this.showList(); } });
    this.following = new AbortController();
    this.sweep = null;
    this.installButtons();
    window.addEventListener("popstate", () => {
      clearTrouble(); // of the address that was left
      this.start();
    });
    this.start();
  }

  installButtons() {
    $("#copy-link").addEventListener("click", () => copyText(location.href));
    $("#edit-tags").addEventListener("click", () => this.edit("tags"));
    $("#form-toggle").addEventListener("click", () => this.toggleForm());
    $("#phone-sweep").addEventListener("click", () => $("#sweep-form").requestSubmit());
    bindKeys(["p"], () => { this.status.press("pause"); this.status.press("resume"); });
    bindKeys(["r"], () => this.status.press("retry"));
    // It asks first, with the button that agrees under Enter.
    bindKeys(["c"], () => this.status.press("cancel"));
    bindKeys(["t"], () => this.edit("tags"));
    bindKeys(["n"], () => this.edit("note"));
  }

  toggleForm() {
    const isOpen = document.body.classList.toggle("is-form-open");
    $("#form-toggle").setAttribute("aria-expanded", String(isOpen));
  }

  /** Do what the address says. */
  start() {
    const [, , id] = location.pathname.split("/");
    const { from, fill: inputs } = readAddress();
    const pending = sessionStorage.getItem(PENDING_KEY);
    sessionStorage.removeItem(PENDING_KEY);
    if (pending) {
      setCommandText(pending);
      $("#command").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
      this.showList();
    } else if (id) this.open(decodeURIComponent(id));
    else {
      if (from) this.fillFrom(from);
      else if (inputs) this.fillWith(inputs);
      else this.echoForm();
      this.showList();
    }
  }

  go(path) {
    history.pushState(null, "", path);
    this.start();
  }

  reset() {
    this.following.abort();
    this.following = new AbortController();
    clearTimeout(this.timer);
    this.results.clear();
    this.sweep = null;
    document.body.classList.remove("has-result");
    for (const id of ["sweep-status", "state-panel", "sweep-list", "edit-tags", "copy-link",
      "all-sweeps"]) $(`#${id}`).hidden = true;
    $("#run-tags").textContent = "";
    setStatus("SWEEP", "");
  }

  /** The list, and once more while something in it is going on. */
  async showList() {
    this.reset();
    showHeading(null, this.boot);
    $("#sweep-list").hidden = false;
    const { signal } = this.following;
    await this.guard(async () => {
      const { sweeps, next_cursor: next } = await loadSweeps(this.listLength);
      if (signal.aborted) return;
      this.list.show(sweeps, next !== null && this.listLength < LIST_MOST);
      clearTrouble();
      if (sweeps.some((sweep) => !isTerminal(sweep.state))) this.timer = setTimeout(() => this.showList(), LIST_DELAY);
    }, { retry: () => this.showList(), isLoading: true });
  }

  echoForm() {
    const text = writeSweepCommand(this.form.read(), this.boot);
    setCommandText(text);
    $("#form-echo").textContent = text.replace(/^SWEEP | GO$/g, "");
  }

  /** Take data and trading of a run, with ranges around the parameters of its rule. @param {string} command */
  fillWith(command) {
    try {
      const { kind, request: body } = parseCommand(command, this.boot);
      if (kind === "run") this.form.write({ ...body, space: suggestSpace(findRule(this.boot, body.rule)) });
    } catch (error) {
      // An address that somebody wrote by hand; the form stays as it is.
      if (!(error instanceof CommandError)) throw error;
    }
    this.echoForm();
  }

  async fillFrom(sweepId) {
    await this.guard(async () => {
      const sweep = await request(sweepPath(sweepId));
      this.form.write(requestOf(sweep.spec, this.boot));
      this.echoForm();
      announce("The form holds the inputs of the sweep; change what you like and sweep again.");
      this.form.controls.get("rule").input.focus();
    }, { retry: () => this.fillFrom(sweepId), isLoading: true });
  }

  async estimate(body) {
    this.estimating.abort();
    this.estimating = new AbortController();
    try {
      return { estimate: await estimateSweep(body, this.estimating.signal) };
    } catch (error) {
      if (error.name === "AbortError") return null;
      if (!(error instanceof ApiError)) throw error;
      return error.errors.length ? { errors: error.errors } : { text: error.message };
    }
  }

  runCommand(body) {
    this.form.write(body);
    const { tags } = body;
    this.submit({ ...this.form.read(), ...(tags ? { tags } : {}) });
  }

  /** @param {Object} body @param {string} [key] the same one on a second try, so that nothing runs twice */
  async submit(body, key = newKey()) {
    this.form.clearErrors();
    if (this.form.isSingle) {
      this.form.refuseSingle();
      return;
    }
    this.echoForm();
    $("#sweep-button").setAttribute("aria-busy", "true");
    try {
      const answer = await submitSweep(body, key);
      clearTrouble();
      document.body.classList.remove("is-form-open");
      $("#form-toggle").setAttribute("aria-expanded", "false");
      if (answer.cached) announce("the same sweep was done before; this is its result");
      this.go(`/sweep/${answer.sweep_id}`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.errors.length) this.form.showErrors(error.errors);
      else showTrouble(error, { retry: () => this.submit(body, key) });
    } finally {
      $("#sweep-button").removeAttribute("aria-busy");
    }
  }

  /** Follow a sweep and show it. @param {string} text its id, or the beginning of it */
  async open(text) {
    this.reset();
    await this.guard(async () => {
      const sweepId = await completeSweepId(text);
      if (sweepId !== text) history.replaceState(null, "", `/sweep/${sweepId}${location.search}`);
      setStatus("SWEEP", sweepId);
      await this.follow(sweepId);
    }, { retry: () => this.open(text), isLoading: true });
  }

  async showState(sweep, delay) {
    sweep.axes = buildAxes(sweep.spec, this.boot);
    const isFirst = this.sweep === null;
    const isOver = isTerminal(sweep.state);
    this.sweep = sweep;
    if (isFirst) {
      this.form.write(requestOf(sweep.spec, this.boot));
      this.echoForm();
      for (const id of ["edit-tags", "copy-link", "all-sweeps"]) $(`#${id}`).hidden = false;
      document.body.classList.add("has-result");
    }
    setStatus("POLL", isOver ? "stopped" : `${(delay / 1000).toFixed(1)} s`);
    showHeading(sweep, this.boot);
    showAssumptions(sweep);
    this.showTags();
    this.showPanel(sweep);
    this.showResults(sweep, isOver);
    await this.showChunks(sweep);
  }

  async showChunks(sweep) {
    // All squares are alike at the end: no need to ask.
    const isUniform = sweep.chunks.done === sweep.chunks.total;
    let states = "d".repeat(isUniform ? sweep.chunks.total : 0);
    if (!isUniform) {
      try {
        states = (await request(`${sweepPath(sweep.sweep_id)}/chunks`)).states;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        states = "q".repeat(sweep.chunks.total);
      }
    }
    if (this.sweep === sweep) this.status.show(sweep, states);
  }

  showResults(sweep, isOver) {
    const isShowing = this.results.sweep !== null;
    if (sweep.chunks.done === 0) return;
    const now = performance.now();
    const share = sweep.n_positions_done / sweep.n_positions;
    const isDue = isOver || this.isRefreshDue(share, now - this.shownAt, sweep.state === "paused");
    if (isShowing && !isDue) {
      this.results.bind(sweep);
      return;
    }
    Object.assign(this, { shownShare: share, shownAt: now });
    if (isShowing) this.results.update(sweep);
    else this.results.start(sweep);
  }

  /** @param {number} share done @param {number} wait since results were asked for [ms] @param {boolean} isPaused */
  isRefreshDue(share, wait, isPaused) {
    const { shownShare } = this;
    if (share <= shownShare || wait <= REFRESH_PAUSE) return isPaused && share > shownShare;
    return isPaused || share - shownShare >= REFRESH_SHARE || share >= shownShare * REFRESH_GROWTH
      || wait >= REFRESH_LATEST;
  }

  /** Why there is nothing to see, or not all. */
  showPanel(sweep) {
    const panel = $("#state-panel");
    const words = describePanel(sweep);
    panel.hidden = words === null;
    if (panel.hidden) return;
    const { word, title, remedy } = words;
    panel.classList.toggle("is-line", sweep.chunks.done > 0);
    fill(panel, h("div", { class: "state-body" },
      h("h2", {}, word && h("span", { class: "word", text: word }), word && " ", title),
      remedy && h("p", {}, h("span", { class: "amber", text: word ? "DO " : "" }), remedy),
      sweep.chunks.done === 0 && h("p", { class: "hint", text: `sweep ${sweep.sweep_id}` })));
  }

  showTags() {
    const { tags, note } = this.sweep;
    $("#run-tags").textContent = [tags.join(", "), note].filter(Boolean).join(" · ");
  }

  async edit(focus) {
    if (!this.sweep) return;
    await this.guard(async () => {
      const changes = await editTags(this.sweep, focus, sweepPath(this.sweep.sweep_id));
      if (changes) Object.assign(this.sweep, changes);
      this.showTags();
    }, { retry: () => this.edit(focus) });
  }

  async steer(action) {
    const { sweep } = this;
    if (action === "cancel" && !await confirmDialog({ title: `Cancel sweep ${shortId(sweep.sweep_id)}`,
      yes: "Cancel it",
      text: "What is not computed yet never will be; the chunks that are done stay." })) return;
    await this.guard(async () => {
      try {
        const { state } = await steerSweep(sweep.sweep_id, action);
        announce(`sweep ${state}`);
      } catch (error) {
        // It went on meanwhile, to its end for example: no trouble, the next poll shows where it stands.
        if (!(error instanceof ApiError) || error.status !== 409) throw error;
        announce(error.message);
      }
      // The poll starts again at its quickest.
      this.following.abort();
      this.following = new AbortController();
      this.follow(sweep.sweep_id);
    }, { retry: () => this.steer(action) });
  }

  /** Poll on without clearing the page. @param {string} sweepId */
  async follow(sweepId) {
    const { signal } = this.following;
    try {
      await followSweep(sweepId, { signal, onState: (sweep,
        delay) => { clearTrouble(); this.showState(sweep, delay); },
        onTrouble: (error, wait) => showTrouble(error, { retry: () => this.open(sweepId), wait }) });
    } catch (error) {
      if (error.name !== "AbortError") this.explain(error, sweepId);
    }
  }

  /** Run one combination in full and go to it. @param {number} index */
  async openCombination(index) {
    announce("opening the combination as a run");
    await this.openRun(async () =>
      (await request(`${sweepPath(this.sweep.sweep_id)}/combinations/${index}`)).run);
  }

  /** Run one combination of the form's space. @param {Object} run */
  async runOne(run) {
    this.form.clearErrors();
    await this.openRun(async () => run);
  }

  /** @param {() => Promise<Object>} load gives the body of a run */
  async openRun(load) {
    if (this.isOpening) return;
    this.isOpening = true;
    await this.guard(async () => {
      try {
        const answer = await request("/api/v1/runs",
          { method: "POST", json: await load(), headers: { "Idempotency-Key": newKey() } });
        location.assign(`/?run=${answer.run_id}`);
      } catch (error) {
        if (!(error instanceof ApiError) || !error.errors.length) throw error;
        this.form.showErrors(error.errors);
      }
    }, { retry: () => this.openRun(load) });
    this.isOpening = false;
  }

  async guard(action, options) {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showTrouble(error, options);
    }
  }

  explain(error, sweepId = this.sweep?.sweep_id) {
    if (!(error instanceof ApiError)) throw error;
    if (error.isTrouble || this.sweep) {
      showTrouble(error, { retry: () => this.open(sweepId), isLoading: true });
      return;
    }
    clearTrouble(); // the server has answered
    this.reset();
    showHeading(null, this.boot);
    const panel = $("#state-panel");
    panel.hidden = false;
    panel.classList.remove("is-line");
    fill(panel, h("div", { class: "state-body" },
      h("h2", {}, h("span", { class: "word", text: "NOT FOUND" }), " No such sweep"),
      h("p", { text: error.message }), h("p", {}, h("a", { href: "/sweep", text: "All sweeps" })),
        h("p", { class: "hint", text: `sweep ${sweepId}` })));
    announce("No such sweep");
  }
}

new SweepPage();
