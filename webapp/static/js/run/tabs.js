/** The five tabs: an ARIA tab list whose choice is in the address. */

import { $, $$ } from "../lib/dom.js";

export const TABS = ["stats", "equity", "drawdown", "portfolio", "trades"];

/**
 * Bring the tab list to life.
 * @param {(name: string) => void} onChange called when a person changes the tab
 */
export function installTabs(onChange) {
  const list = $("#tablist");
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) onChange(tab.dataset.tab);
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = TABS.indexOf(document.activeElement.dataset.tab);
    const next = TABS[(at + step + TABS.length) % TABS.length];
    event.preventDefault();
    onChange(next);
    $(`#tab-${next}`).focus();
  });
}

/** Mark a tab as chosen and show its panel. @param {string} name */
export function selectTab(name) {
  for (const tab of $$("[role=tab]")) {
    const isChosen = tab.dataset.tab === name;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    $(`#panel-${tab.dataset.tab}`).hidden = !isChosen;
  }
  document.body.dataset.tab = name;
}
