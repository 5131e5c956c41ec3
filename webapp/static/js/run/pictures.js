/** The four pictures that the worker draws for reports. */

import { ApiError, request } from "../lib/api.js";
import { fill, h, saveFile } from "../lib/dom.js";
import { shortId } from "../lib/format.js";
import { runPath } from "./session.js";

const TITLES = { cumulative_return: "Cumulative return", drawdown: "Drawdown", orders: "Orders",
  trade_pnl: "Trade P&L" };
// They are drawn right after the result is stored.
const RETRY_DELAYS = [400, 800, 1500, 3000, 5000];

/** @param {string} runId @returns {Promise<Object<string, string>|null>} data URLs, null if not drawn yet */
async function loadPictures(runId) {
  for (const delay of [...RETRY_DELAYS, null]) {
    try {
      return await request(`${runPath(runId)}/charts`);
    } catch (error) {
      if (!(error instanceof ApiError) || error.isTrouble) throw error;
      if (delay === null) return null;
      await new Promise((resolve) => { setTimeout(resolve, delay); });
    }
  }
  return null;
}

/** @param {string} runId @returns {HTMLElement} fills itself when it comes into sight */
export function pictureSection(runId) {
  const grid = h("div", { class: "picture-grid" }, h("p", { class: "second", text: "The worker draws them now." }));
  const section = h("section", { class: "pictures" }, h("h3", { text: "Pictures for reports" }), grid);
  new IntersectionObserver((entries, watch) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    fillPictures(grid, runId);
  }).observe(section);
  return section;
}

function fillPictures(grid, runId) {
  loadPictures(runId).then((pictures) => {
    fill(grid, pictures ? Object.entries(TITLES).filter(([name]) => pictures[name]).map(([name, title]) => h("figure",
      {},
      h("img", { src: pictures[name], alt: `${title} of the run`, loading: "lazy" }),
      h("figcaption", {}, title,
        h("button", { type: "button", class: "btn btn-small", "aria-label": `Save ${title} as PNG`, text: "PNG",
        on: { click: () => saveFile(`${shortId(runId)}-${name}.png`, pictures[name]) } }))))
      : h("p", { class: "second", text: "No pictures yet; reload the page in a moment." }));
  }).catch((error) => {
    if (!(error instanceof ApiError)) throw error;
    fill(grid, h("p", { class: "second", text: error.message }));
  });
}
