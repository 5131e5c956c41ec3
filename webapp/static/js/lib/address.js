/** The address bar is the state: every view can be bookmarked, shared and gone back to. */

/** @returns {Object<string, string>} */
export function readAddress() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/**
 * Change parts of the address; null removes one.
 * @param {Object<string, string|number|null>} changes
 * @param {{push?: boolean}} [options] push makes an entry to go back to
 */
export function writeAddress(changes, { push = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, String(value));
  }
  const text = query.toString();
  const url = location.pathname + (text ? `?${text}` : "");
  if (url === location.pathname + location.search) return;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}

/**
 * Read a zoom from the address.
 * @param {string|undefined} text "first-last" bar @param {number} [nBars] where it has to lie
 * @returns {[number, number]|null}
 */
export function parseZoom(text, nBars = Infinity) {
  const match = /^(\d+)-(\d+)$/.exec(text || "");
  return match && Number(match[1]) < Math.min(Number(match[2]), nBars - 1) ? [Number(match[1]), Number(match[2])] : null;
}
