"""A real platform and a real Chromium for the tests of the pages.

Both are started once a process, because that costs more than most tests of a page. A module finds
the platform as it was at first: what the one before has left is deleted. Playwright keeps an event
loop running in this thread, so no test of the same process can call `asyncio.run`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.page_helpers import Visit
from tests.support.platform import Platform, run_platform

ROOT = Path(__file__).resolve().parents[2]
# Kept by whoever builds, ignored by git.
PICTURES = ROOT / "build" / "screenshots"
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DESKTOP = {"viewport": {"width": 1440, "height": 900}, "accept_downloads": True}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SMALL_PHONE = {**PHONE, "viewport": {"width": 360, "height": 740}}


@pytest.fixture(scope="session")
def shared_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    subprocess.run([sys.executable, str(ROOT / "scripts" / "build_assets.py")], check=True)
    with run_platform(tmp_path_factory.mktemp("e2e") / "state") as running:
        yield running


@pytest.fixture(scope="module")
def platform(shared_platform: Platform) -> Iterator[Platform]:
    yield shared_platform
    shared_platform.forget_everything()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # What does not come fails all the same; a machine that stands still for seconds is no fault.
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def visiting(platform: Platform, browser: Browser, **options: Any) -> Iterator[Visit]:
    """A fresh visitor; at the end nothing may have gone wrong unseen."""
    context = browser.new_context(base_url=platform.url, **options)
    context.set_default_timeout(15_000)
    visitor = Visit(context.new_page(), platform)
    yield visitor
    context.close()
    visitor.assert_nothing_went_wrong()


@pytest.fixture
def visit(platform: Platform, browser: Browser) -> Iterator[Visit]:
    with visiting(platform, browser, **DESKTOP) as visitor:
        yield visitor


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


@pytest.fixture
def phone(platform: Platform, browser: Browser) -> Iterator[Visit]:
    with visiting(platform, browser, **PHONE) as visitor:
        yield visitor


@pytest.fixture
def small(platform: Platform, browser: Browser) -> Iterator[Visit]:
    """The narrowest phone."""
    with visiting(platform, browser, **SMALL_PHONE) as visitor:
        yield visitor


@pytest.fixture(params=["desktop", "phone"])
def either(request: pytest.FixtureRequest, platform: Platform, browser: Browser) -> Iterator[Visit]:
    """A visitor with a desk, and one with a phone."""
    options = DESKTOP if request.param == "desktop" else SMALL_PHONE
    with visiting(platform, browser, **options) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def script_visit(platform: Platform, browser: Browser) -> Iterator[Visit]:
    """A page whose scripts are called and which they leave as it is."""
    with visiting(platform, browser, **DESKTOP) as visitor:
        visitor.page.goto("/help")
        visitor.page.wait_for_selector("#help-keys table")
        yield visitor


@pytest.fixture
def script(script_visit: Visit) -> Iterator[Any]:
    """A function that calls one export of one module."""

    def call(module: str, expression: str) -> Any:
        return script_visit.page.evaluate(
            f"async () => {{ const m = await import('/static/js/{module}');"
            " const boot = JSON.parse(document.getElementById('boot-data').textContent);"
            f" return {expression}; }}"
        )

    yield call
    script_visit.assert_nothing_went_wrong()
