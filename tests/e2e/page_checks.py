"""Checks that hold in every state of every page: accessible, readable, nothing cut or covered."""

from __future__ import annotations

from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

_CHECKS = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
# The browser's own evaluation, which the page's policy does not bind: nothing of it is weakened.
_RUN_AXE = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .flatMap(({ id, nodes }) => nodes.map((node) =>
    `${id} ${node.target.join(" ")}: ${node.failureSummary.replaceAll("\\n", " ")}`))"""


def find_violations(page: Page) -> list[str]:
    """What axe-core finds: WCAG 2.2 A and AA, and good practice."""
    page.evaluate(AXE_SCRIPT)
    found: list[str] = page.evaluate(_RUN_AXE)
    return found


def run_check(page: Page, name: str) -> list[str]:
    """One of the checks of page_checks.js."""
    found: list[str] = page.evaluate(f"() => {{ {_CHECKS}\nreturn checks.{name}(); }}")
    return found


def assert_accessible(page: Page, where: str = "") -> None:
    """Neither axe-core nor the contrast of the text finds anything."""
    found = [*find_violations(page), *run_check(page, "faintText")]
    assert not found, "\n".join([where, *found])


def assert_fits(page: Page, where: str = "") -> None:
    """Nothing is wider than the window, cut without a sign, or under something else."""
    names = ("wideness", "cutText", "coveredControls")
    found = [fault for name in names for fault in run_check(page, name)]
    assert not found, "\n".join([where, *found])
