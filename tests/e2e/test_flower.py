"""Flower's pages work in a real browser under the policy that is put in front of them."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from playwright.sync_api import Browser, expect

from tests.support.platform import Platform
from tests.support.processes import wait_until


def is_open(url: str) -> bool:
    place = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((place.hostname or "", place.port or 0)) == 0


def test_flowers_pages_show_the_worker_and_log_no_error(
    platform: Platform, browser: Browser
) -> None:
    url = str(platform.up["flower_url"])
    wait_until(lambda: is_open(url), 60, "Flower listens")  # the page may be there before it
    context = browser.new_context(base_url=url)
    page = context.new_page()
    faults: list[str] = []
    page.on(
        "console",
        lambda message: faults.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto("/workers")
    expect(page.locator("#workers-table")).to_contain_text("worker@", timeout=20_000)
    assert page.evaluate("autorefresh") == 1  # the one script in its markup runs
    for path in ("/tasks", "/broker"):
        page.goto(path, wait_until="load")
    context.close()
    assert faults == []
