/** Tags and the note of a run, edited where they stand. */

import { h } from "../lib/dom.js";

const FIELDS = {
  tags: { label: "tags, separated by commas", length: 400, read: (run) => run.tags.join(", ") },
  note: { label: "note", length: 2000, read: (run) => run.note },
};

/**
 * Put a field into a cell; Enter or leaving it keeps what was written, Escape does not.
 * @param {HTMLElement} cell @param {Object} run @param {"tags"|"note"} kind
 * @returns {Promise<{tags: string[]}|{note: string}|null>} null if nothing is to be stored
 */
export function editCell(cell, run, kind) {
  const { label, length, read } = FIELDS[kind];
  const before = read(run);
  return new Promise((resolve) => {
    const input = h("input", { id: `edit-${kind}`, class: "form-control cell-input", value: before, maxlength: length,
      "aria-label": `${label} of run ${run.run_id.slice(0, 8)}; Enter keeps, Escape leaves`,
      placeholder: kind === "tags" ? "one, another" : "", autocomplete: "off", spellcheck: "false" });
    let isDone = false;
    const end = (isKept) => {
      if (isDone) return;
      isDone = true;
      const after = input.value.trim();
      if (!isKept || after === before) resolve(null);
      else resolve(kind === "tags" ? { tags: readTags(after) } : { note: after });
    };
    input.addEventListener("keydown", (event) => {
      // The keys of the table are letters here.
      event.stopPropagation();
      if (event.key === "Enter") end(true);
      else if (event.key === "Escape") end(false);
    });
    input.addEventListener("blur", () => end(true));
    input.addEventListener("click", (event) => event.stopPropagation());
    input.addEventListener("dblclick", (event) => event.stopPropagation());
    cell.replaceChildren(input);
    input.focus();
    input.select();
  });
}

function readTags(text) {
  return [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
}
