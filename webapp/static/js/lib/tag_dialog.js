/** Tags and the note of a run, edited in a dialog. */

import { request } from "./api.js";
import { h, openDialog } from "./dom.js";

/**
 * Edit and store; resolves with the new values, or null if left.
 * @param {{run_id: string, tags: string[], note: string}} run or sweep
 * @param {"tags"|"note"} focus @param {string} [path] where it is stored, by default as a run
 * @returns {Promise<{tags: string[], note: string}|null>}
 */
export async function editTags(run, focus = "tags", path = `/api/v1/runs/${encodeURIComponent(run.run_id)}`) {
  const form = await openDialog(`Tags and note of ${run.run_id.slice(0, 8)}`, [
    h("label", { for: "edit-tags", text: "tags" }),
    h("input", { id: "edit-tags", name: "tags", class: "form-control", value: run.tags.join(", "), autocomplete: "off",
      maxlength: "400", autofocus: focus === "tags" }),
    h("p", { class: "field-help", text: "separated by commas" }),
    h("label", { for: "edit-note", text: "note" }),
    h("textarea", { id: "edit-note", name: "note", class: "form-control", rows: "4", maxlength: "2000",
      autofocus: focus === "note" }, run.note)], "Save");
  if (!form) return null;
  const changes = {
    tags: [...new Set(form.get("tags").split(",").map((tag) => tag.trim()).filter(Boolean))],
    note: form.get("note"),
  };
  await request(path, { method: "PATCH", json: changes });
  return changes;
}
