"""What the page tests share: a visitor whose console and requests are watched."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, expect

from tests.support.platform import Platform

# The browser itself logs every answer of 400 and above; a refused field is such an answer.
_REFUSAL = re.compile(r"Failed to load resource: the server responded with a status of (4\d\d)")
RUN_IN_ADDRESS = re.compile(r"[?&]run=[0-9a-f-]{36}")


class Visit:
    """A page of the platform, with everything that went wrong on it."""

    def __init__(self, page: Page, platform: Platform) -> None:
        self.page = page
        self.platform = platform
        self.faults: list[str] = []
        self.foreign: list[str] = []
        self.allowed: Callable[[str], bool] = lambda text: bool(_REFUSAL.search(text))
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._watch)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not self.allowed(message.text):
            self.faults.append(f"{message.type}: {message.text}")

    def _watch(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if (
            parts.scheme not in ("data", "blob")
            and parts.netloc != urlsplit(self.platform.url).netloc
        ):
            self.foreign.append(request.url)

    def assert_nothing_went_wrong(self) -> None:
        assert not self.faults, self.faults
        assert not self.foreign, self.foreign

    def command(self, text: str) -> None:
        """Type a command and press Enter."""
        self.page.fill("#command", text)
        self.page.press("#command", "Enter")

    def wait_for_result(self) -> None:
        expect(self.page).to_have_url(RUN_IN_ADDRESS)
        expect(self.page.locator("body")).to_have_class(re.compile("has-result"), timeout=60_000)
        expect(self.page.locator("#state-panel")).to_be_hidden(timeout=60_000)

    def open_run(self, tab: str = "equity", **request: object) -> str:
        """Compute a run through the API and open it on a tab; returns its id."""
        body = {"dataset": "AAPL", "rule": "rsi", **request}
        run_id = self.platform.submit(**body)
        assert self.platform.wait_for_run(run_id)["state"] == "succeeded"
        self.page.goto(f"/?run={run_id}&tab={tab}")
        self.wait_for_result()
        return run_id

    def kpi(self, name: str) -> str:
        return self.page.locator(f"#ribbon [data-metric={name}] b").inner_text()

    def wait_for_charts(self, tab: str) -> None:
        """Wait until every pane of a tab reads values: its series have come and are drawn."""
        panel = self.page.locator(f"#panel-{tab}")
        readouts = panel.locator(".pane-readout")
        expect(readouts.first).to_be_visible()
        for idx in range(readouts.count()):
            expect(readouts.nth(idx)).not_to_be_empty()
