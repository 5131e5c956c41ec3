/** Small helpers around the DOM, so that views read like the markup they make. */

/**
 * Build an element.
 * @param {string} tag element name, or an SVG name with the prefix "svg:"
 * @param {Object<string, any>} [props] attributes; `class`, `text`, `on` (listeners), `data`
 *   (dataset), `style` (properties set through the CSSOM, which a strict CSP allows)
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement|SVGElement}
 */
export function h(tag, props = {}, ...children) {
  const node = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") {
      for (const [key, item] of Object.entries(value)) node.style.setProperty(key, item);
    } else node.setAttribute(name, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(node, child);
    else node.append(child instanceof Node ? child : String(child));
  }
}

/** Replace everything inside `node`. @param {Element} node @param {...any} children */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
}

/** @param {string} selector @param {ParentNode} [root] @returns {HTMLElement} */
export function $(selector, root = document) {
  return root.querySelector(selector);
}

/** @param {string} selector @param {ParentNode} [root] @returns {HTMLElement[]} */
export function $$(selector, root = document) {
  return [...root.querySelectorAll(selector)];
}

/** Let the browser draw and hear the user before going on. @returns {Promise<void>} */
export function pauseTask() {
  return new Promise((resolve) => { setTimeout(resolve); });
}

/**
 * Say something to a screen reader, once.
 * @param {string} text
 */
export function announce(text) {
  const region = $("#announcer");
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}

/**
 * Ask a yes/no question in a modal dialog.
 * @param {{title: string, text: string, yes: string}} question
 * @returns {Promise<boolean>}
 */
export function confirmDialog({ title, text, yes }) {
  return openDialog(title, [h("p", { text })], yes).then((form) => form !== null);
}

/**
 * Open a modal dialog with a form; resolves with the form's data, or null if it was left.
 * @param {string} title
 * @param {Node[]} content
 * @param {string|null} yes label of the button that agrees; null where there is nothing to agree to
 * @returns {Promise<FormData|null>}
 */
export function openDialog(title, content, yes) {
  return new Promise((resolve) => {
    const titleId = `dialog-title-${Date.now()}`;
    const form = h("form", { method: "dialog", class: "dialog-form" },
      h("h2", { id: titleId, text: title }),
      content,
      h("div", { class: "dialog-actions" },
        yes && h("button", { class: "btn btn-primary", value: "yes", type: "submit", text: yes }),
        h("button", { class: "btn", value: "no", type: "submit", formnovalidate: true, text: "Close" })));
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": titleId }, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? new FormData(form) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
    dialog.scrollTop = 0; // the first field has the focus, and may be far down
  });
}

/**
 * Hand the browser something to save.
 * @param {string} fileName
 * @param {Blob|string} content a blob, or a data: or same-host address
 */
export function saveFile(fileName, content) {
  const href = content instanceof Blob ? URL.createObjectURL(content) : content;
  const link = h("a", { href, download: fileName });
  document.body.append(link);
  link.click();
  link.remove();
  if (content instanceof Blob) setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/**
 * Copy text and say so. Without a secure connection browsers have no clipboard interface.
 * @param {string} text
 */
export async function copyText(text) {
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else {
    const area = h("textarea", { class: "visually-hidden" }, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  announce("copied");
}

/**
 * Return a function that runs `action` once calls have paused for `delay` ms.
 * @param {Function} action @param {number} delay
 */
export function debounce(action, delay) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), delay);
  };
}
