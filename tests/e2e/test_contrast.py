"""Text against its ground: WCAG 2.2 AA, computed from what the browser really paints."""

from __future__ import annotations

import pytest

from tests.e2e.page_helpers import Visit

# Text on canvases is drawn in the same colours; disabled controls are exempt (SC 1.4.3).
FAINT_TEXT = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
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
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = new Set();
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const isShown = node.getClientRects().length && walker.currentNode.textContent.trim();
    if (!isShown || node.closest('.visually-hidden, script, :disabled, option')) continue;
    const ground = groundOf(node);
    const style = getComputedStyle(node);
    const ink = light(blend(parse(style.color || style.fill), ground));
    const paper = light(ground);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    const text = walker.currentNode.textContent.trim().slice(0, 30);
    if (ratio < 4.5) found.add(`${ratio.toFixed(2)} ${node.className} ${text}`);
  }
  return [...found];
}"""


@pytest.mark.parametrize("tab", ["stats", "equity", "drawdown", "trades"])
def test_text_of_a_result_stands_out_from_its_ground(visit: Visit, tab: str) -> None:
    visit.open_run(tab, trading={"stop_loss": 0.1})
    assert visit.page.evaluate(FAINT_TEXT) == []


@pytest.mark.parametrize("path", ["/", "/runs", "/data", "/help"])
def test_text_of_a_page_stands_out_from_its_ground(visit: Visit, path: str) -> None:
    visit.page.goto(path)
    visit.page.wait_for_selector("#strip [data-status]")
    assert visit.page.evaluate(FAINT_TEXT) == []
