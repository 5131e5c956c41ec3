"""A real platform and a real Chromium for the tests of the pages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.page_helpers import Visit
from tests.support.platform import Platform, run_platform

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    subprocess.run([sys.executable, str(ROOT / "scripts" / "build_assets.py")], check=True)
    with run_platform(tmp_path_factory.mktemp("e2e") / "state") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(platform: Platform, browser: Browser) -> Iterator[Visit]:
    """A fresh visitor at 1440 x 900; at the end nothing may have gone wrong unseen."""
    context = browser.new_context(
        base_url=platform.url, viewport={"width": 1440, "height": 900}, accept_downloads=True
    )
    context.set_default_timeout(15_000)
    visitor = Visit(context.new_page(), platform)
    yield visitor
    context.close()
    visitor.assert_nothing_went_wrong()


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


@pytest.fixture
def phone(platform: Platform, browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(
        base_url=platform.url,
        viewport={"width": 390, "height": 844},
        is_mobile=True,
        has_touch=True,
    )
    context.set_default_timeout(15_000)
    visitor = Visit(context.new_page(), platform)
    yield visitor
    context.close()
    visitor.assert_nothing_went_wrong()
