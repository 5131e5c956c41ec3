// What no eye should have to look for. Each answers a list of faults; an empty one is good.

const isShown = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true })
  && node.getClientRects().length > 0;
const nameOf = (node) => {
  const name = node.id ? `#${node.id}` : `${node.tagName.toLowerCase()}.${[...node.classList].join(".")}`;
  return `${name} "${(node.textContent || node.value || "").trim().slice(0, 40)}"`;
};

/** Text nodes that are painted, with the box of their glyphs. */
const listTexts = () => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !isShown(node)) continue;
    if (node.closest(".visually-hidden, script, noscript, option, .skip-link")) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const box = range.getBoundingClientRect();
    if (box.width > 0 && box.height > 0) found.push({ node, box, text: walker.currentNode.textContent.trim() });
  }
  return found;
};

/** Text whose contrast to its ground is below WCAG 2.2 AA; also that in SVG, which axe leaves out. */
const faintText = () => {
  const parse = (text) => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const blend = (top, under) => {
    const alpha = top.length > 3 ? top[3] : 1;
    return under.map((value, idx) => top[idx] * alpha + value * (1 - alpha));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255)
      .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (node) => {
    const chain = [];
    for (let each = node; each; each = each.parentElement) chain.unshift(each);
    return chain.map((each) => parse(getComputedStyle(each).backgroundColor))
      .reduce((under, color) => blend(color, under), [11, 13, 16]);
  };
  const faults = new Set();
  for (const { node, text } of listTexts()) {
    if (node.closest(":disabled")) continue; // exempt (SC 1.4.3)
    const style = getComputedStyle(node);
    const ground = groundOf(node);
    const ink = light(blend(parse(node.namespaceURI.endsWith("svg") ? style.fill : style.color), ground));
    const paper = light(ground);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) faults.add(`${ratio.toFixed(2)} ${nameOf(node)}: ${text.slice(0, 30)}`);
  }
  return [...faults];
};

/** Text that is cut where nothing says so: no ellipsis, nothing to scroll, or beyond the window. */
const cutText = () => {
  const faults = new Set();
  for (const { node, box, text } of listTexts()) {
    if (node.closest("[data-cut]")) continue;
    const across = getComputedStyle(node).position === "fixed" ? [] : clippersOf(node);
    for (const { parent, how } of across) {
      const edge = parent.getBoundingClientRect();
      const isCut = box.right > edge.right + 1 || box.left < edge.left - 1;
      const isCutDown = box.bottom > edge.bottom + 2 || box.top < edge.top - 2;
      if (how === "scroll") break; // what lies beyond is a scroll away
      if ((isCut && !hasEllipsis(node, parent)) || isCutDown) {
        faults.add(`cut by ${nameOf(parent).split(" ")[0]}: ${nameOf(node)} ${text.slice(0, 30)}`);
        break;
      }
    }
    const isFree = !across.some(({ how }) => how === "scroll");
    if (isFree && (box.right > document.documentElement.clientWidth + 1 || box.left < -1)
      && !hasEllipsis(node, document.body)) faults.add(`beyond the window: ${nameOf(node)}`);
  }
  return [...faults];
};

/** Ancestors that clip, the innermost first. */
const clippersOf = (node) => {
  const found = [];
  for (let parent = node; parent && parent !== document.documentElement; parent = parent.parentElement) {
    const style = getComputedStyle(parent);
    const ways = [style.overflowX, style.overflowY];
    if (parent === document.body || style.display === "inline" || style.display === "contents") continue;
    if (ways.some((way) => way === "auto" || way === "scroll")) found.push({ parent, how: "scroll" });
    else if (ways.some((way) => way === "hidden" || way === "clip")) found.push({ parent, how: "hide" });
  }
  return found;
};

const hasEllipsis = (node, top) => {
  for (let each = node; each; each = each.parentElement) {
    if (getComputedStyle(each).textOverflow === "ellipsis") return true;
    if (each === top) return false;
  }
  return false;
};

/** Controls in sight that something else lies over. */
const coveredControls = () => {
  const faults = [];
  for (const node of document.querySelectorAll("button, a[href], input, select, textarea, summary, [role=tab]")) {
    if (!isShown(node) || node.matches(".skip-link") || getComputedStyle(node).pointerEvents === "none") continue;
    const box = node.getClientRects()[0];
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    if (clippersOf(node.parentElement).some(({ parent }) => {
      const edge = parent.getBoundingClientRect();
      return x < edge.left || x > edge.right || y < edge.top || y > edge.bottom;
    })) continue;
    const top = document.elementFromPoint(x, y);
    if (!top || top.contains(node) || node.contains(top) || top.closest("label")?.control === node) continue;
    // What sticks to the edge of a page that scrolls covers what is on its way past.
    if (top.closest(".phone-actions, .cmd, thead, tfoot, dialog")) continue;
    faults.push(`${nameOf(node)} lies under ${nameOf(top)}`);
  }
  return faults;
};

/** The page as a whole is wider than its window, or a dialog than itself. */
const wideness = () => [document.documentElement, ...document.querySelectorAll("dialog")]
  .filter((node) => node.scrollWidth > node.clientWidth)
  .map((node) => `${node.scrollWidth} px of ${node.tagName} in ${node.clientWidth} px`);

const checks = { faintText, cutText, coveredControls, wideness };
