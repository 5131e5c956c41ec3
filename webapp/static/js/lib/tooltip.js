/**
 * One tooltip for the whole page: shown on hover, on keyboard focus and on a tap, left with Escape.
 * A tip is lines of text; what stands before a tab in a line is its heading.
 */

import { fill, h } from "./dom.js";

const SHOW_DELAY = 250;
// Time to move the pointer from a term into its tooltip, for instance to select text.
const LEAVE_DELAY = 150;
const box = h("div", { id: "tooltip", role: "tooltip", class: "tooltip-box", hidden: true });
let timer = 0;
let leaving = 0;
let owner = null;

/** Start listening; call once a page. */
export function installTooltips() {
  document.body.append(box);
  document.addEventListener("pointerover", (event) => {
    const node = event.target.closest?.("[data-tip]");
    if (node && event.pointerType !== "touch") show(node, SHOW_DELAY);
  });
  document.addEventListener("pointerout", (event) => {
    if (event.target.closest?.("[data-tip]") === owner) hideSoon();
  });
  box.addEventListener("pointerenter", () => clearTimeout(leaving));
  box.addEventListener("pointerleave", hideSoon);
  document.addEventListener("focusin", (event) => {
    const node = event.target.closest?.("[data-tip]");
    if (node && event.target.matches(":focus-visible")) show(node, 0);
    else hide();
  });
  document.addEventListener("focusout", hide);
  // What is typed has an answer under its field: a tooltip would lie on it.
  document.addEventListener("input", hide);
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  // On a touch screen a tap shows what hovering shows elsewhere.
  document.addEventListener("click", (event) => {
    const node = event.target.closest?.("button.term");
    if (node) show(node, 0);
  });
}

function show(node, delay) {
  clearTimeout(leaving);
  if (owner === node) return;
  hide();
  owner = node;
  timer = setTimeout(() => {
    fill(box, node.dataset.tip.split("\n").map(tipLine));
    box.hidden = false;
    const describing = node.matches("input,select,button,a,[tabindex]") ? node : null;
    if (describing && !describing.hasAttribute("aria-describedby")) {
      describing.setAttribute("aria-describedby", "tooltip");
    }
    place(node.getBoundingClientRect());
  }, delay);
}

function tipLine(text) {
  const [heading, body] = text.includes("\t") ? text.split("\t") : ["", text];
  return h("p", {}, heading && h("i", { text: heading }), heading ? ` ${body}` : body);
}

function hideSoon() {
  clearTimeout(leaving);
  leaving = setTimeout(hide, LEAVE_DELAY);
}

function place(anchor) {
  const margin = 8;
  const { width, height } = box.getBoundingClientRect();
  const left = Math.min(Math.max(anchor.left, margin), window.innerWidth - width - margin);
  const below = anchor.bottom + 6;
  const top = below + height > window.innerHeight - margin ? anchor.top - height - 6 : below;
  box.style.left = `${Math.max(left, margin)}px`;
  box.style.top = `${Math.max(top, margin)}px`;
}

function hide() {
  clearTimeout(timer);
  clearTimeout(leaving);
  if (owner?.getAttribute("aria-describedby") === "tooltip") owner.removeAttribute("aria-describedby");
  owner = null;
  box.hidden = true;
}

/**
 * A word with a definition. In a list only the first is a tab stop; arrows move on from there.
 * @param {string} label @param {string} tip @param {boolean} [isStop]
 */
export function term(label, tip, isStop = true) {
  return h("button", {
    type: "button", class: "term", tabindex: isStop ? "0" : "-1", data: { tip }, text: label,
  });
}

/** Let arrow keys move between the terms inside `root`. @param {Element} root */
export function roveTerms(root) {
  root.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || !event.target.matches(".term")) return;
    const terms = [...root.querySelectorAll(".term")];
    const next = terms[terms.indexOf(event.target) + step];
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}
