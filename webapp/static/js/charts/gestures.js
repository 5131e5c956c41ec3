/** Mouse, wheel, touch and arrow keys on a stack of charts. */

/**
 * Listen on the panes of a stack; returns a function that stops.
 * @param {import("./stack.js").ChartStack} stack
 * @returns {() => void}
 */
export function installGestures(stack) {
  const stop = new AbortController();
  const options = { signal: stop.signal };
  const paneOf = (target) => stack.panes.find((pane) => pane.root.contains(target));
  const barAt = (pane, clientX) => pane.u.posToVal(clientX - pane.u.over.getBoundingClientRect().left, "x");

  stack.box.addEventListener("mousedown", (event) => {
    const pane = paneOf(event.target);
    if (!pane || event.button !== 0) return;
    stack.dragged = pane;
    if (!event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    startPan(stack, pane, event);
  }, { ...options, capture: true });

  stack.box.addEventListener("dblclick", () => stack.setRange(null), options);

  stack.box.addEventListener("wheel", (event) => {
    const pane = paneOf(event.target);
    if (!pane || !pane.u.over.contains(event.target)) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) stack.pan(event.deltaX / 1000);
    else stack.zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) * 0.002),
      barAt(pane, event.clientX));
  }, { ...options, passive: false });

  stack.box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    stack.moveCursor(step * (event.shiftKey ? 10 : 1));
  }, options);

  installTouch(stack, paneOf, barAt, options);
  return () => stop.abort();
}

function startPan(stack, pane, down) {
  const [first, last] = stack.range;
  const perPixel = (last - first) / pane.u.over.clientWidth;
  const stop = new AbortController();
  window.addEventListener("mousemove", (event) => {
    const width = last - first;
    const from = Math.min(Math.max(first - (event.clientX - down.clientX) * perPixel, stack.whole[0]),
      stack.whole[1] - width);
    stack.setRange([from, from + width]);
  }, { signal: stop.signal });
  window.addEventListener("mouseup", () => stop.abort(), { signal: stop.signal });
}

/** One finger reads values, two fingers zoom and pan; vertical strokes scroll the page. */
function installTouch(stack, paneOf, barAt, options) {
  let pinch = null;
  const spread = (touches) => [touches[0].clientX, touches[1].clientX].sort((a, b) => a - b);
  stack.box.addEventListener("touchstart", (event) => {
    const pane = paneOf(event.target);
    if (!pane || event.touches.length !== 2) return;
    pinch = { pane, bars: spread(event.touches).map((x) => barAt(pane, x)) };
  }, { ...options, passive: true });
  stack.box.addEventListener("touchmove", (event) => {
    const pane = paneOf(event.target);
    if (!pane) return;
    const box = pane.u.over.getBoundingClientRect();
    if (pinch && event.touches.length === 2) {
      const [left, right] = spread(event.touches).map((x) => x - box.left);
      const perPixel = (pinch.bars[1] - pinch.bars[0]) / Math.max(right - left, 8);
      const first = pinch.bars[0] - left * perPixel;
      stack.setRange([first, first + perPixel * box.width]);
      event.preventDefault();
    } else if (event.touches.length === 1) {
      const left = event.touches[0].clientX - box.left;
      for (const each of stack.panes) each.u.setCursor({ left, top: 10 });
    }
  }, { ...options, passive: false });
  stack.box.addEventListener("touchend", () => { pinch = null; }, options);
}
