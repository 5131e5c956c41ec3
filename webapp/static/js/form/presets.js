/** Presets: named sets of inputs, kept by the server. */

import { ApiError, request } from "../lib/api.js";
import { $, announce, confirmDialog, fill, h, openDialog } from "../lib/dom.js";

/** Of what there are presets: where they are, under which name the list comes, what deleting one leaves. */
const KINDS = {
  run: { path: "/api/strategies", list: "strategies", left: "Runs stay." },
  sweep: { path: "/api/v1/sweep-presets", list: "presets", left: "Sweeps stay." },
};

/**
 * Bring the preset row of a form to life.
 * @param {import("./run_form.js").RunForm|import("../sweep/form.js").SweepForm} form
 * @param {() => void} onLoad called after a preset filled the form
 * @param {"run"|"sweep"} [kind] of the form
 */
export async function installPresets(form, onLoad, kind = "run") {
  const { path, list, left } = KINDS[kind];
  const select = $("#preset");
  let presets = [];

  const refresh = async (chosenId) => {
    const body = await request(path);
    presets = body[list];
    fill(select, presets.length ? null : h("option", { value: "", text: "none saved" }),
      presets.map((preset) => h("option", { value: String(preset.id), text: preset.name })));
    select.disabled = presets.length === 0;
    $("#preset-load").disabled = $("#preset-delete").disabled = presets.length === 0;
    if (chosenId !== undefined) select.value = String(chosenId);
  };
  const chosen = () => presets.find((preset) => String(preset.id) === select.value);

  $("#preset-save").addEventListener("click", guard(async () => {
    const { tags: _tags, note: _note, force: _force, ...inputs } = form.read();
    const answer = await openDialog("Save preset", [
      h("label", { for: "preset-name", text: "name" }),
      h("input", { id: "preset-name", name: "name", class: "form-control", required: true, maxlength: "100",
        value: chosen()?.name || "", autofocus: true, autocomplete: "off" }),
      h("p", { class: "field-help", text: "A preset of that name is replaced." })], "Save");
    if (!answer) return;
    try {
      const saved = await request(path, { method: "POST", json: { name: answer.get("name").trim(), ...inputs } });
      await refresh(saved.id);
      say(`preset ${saved.name} saved`);
    } catch (error) {
      if (!(error instanceof ApiError) || !error.errors.length) throw error;
      form.showErrors(error.errors);
    }
  }));
  $("#preset-load").addEventListener("click", () => {
    form.write(chosen());
    onLoad();
    say(`preset ${chosen().name} loaded`);
  });
  $("#preset-delete").addEventListener("click", guard(async () => {
    const preset = chosen();
    const isSure = await confirmDialog({
      title: "Delete preset", text: `${preset.name} is removed for everybody. ${left}`, yes: "Delete",
    });
    if (!isSure) return;
    await request(`${path}/${encodeURIComponent(preset.id)}`, { method: "DELETE" });
    await refresh();
    say(`preset ${preset.name} deleted`);
  }));
  await guard(() => refresh())();
}

function say(text) {
  $("#preset-note").textContent = text;
  announce(text);
}

/** Turn a failed request into a line under the buttons. */
function guard(action) {
  return async () => {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(error.message);
    }
  };
}
