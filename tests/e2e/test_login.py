"""A person logs in with a token in a real browser, and no other page does so on their behalf."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.page_checks import assert_accessible, assert_fits
from tests.support.live_web import serving
from tests.support.web import SECRET_KEY, Web, bearer, build_web, make_token

PAGES = ("/", "/sweep", "/runs", "/data", "/help", "/login")
# The browser itself notes the 401 under which a page asks to log in.
NOTED = re.compile(r"Failed to load resource: the server responded with a status of 401")


@dataclass
class Visitor:
    """A browser in front of a platform that asks for a token."""

    web: Web
    context: BrowserContext
    page: Page
    url: str
    faults: list[str]

    def log_in(self, secret: str) -> None:
        self.page.fill("#token", secret)
        self.page.press("#token", "Enter")

    def command(self, text: str) -> None:
        """Type a command once the page's scripts are there to hear it."""
        expect(self.page.locator("#fields-params input").first).to_be_visible(timeout=20_000)
        self.page.fill("#command", text)
        self.page.press("#command", "Enter")


@contextmanager
def visiting(browser: Browser, web: Web) -> Iterator[Visitor]:
    with serving(web) as url:
        context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
        context.set_default_timeout(15_000)
        page = context.new_page()
        faults: list[str] = []
        page.on(
            "console",
            lambda message: (
                faults.append(message.text)
                if message.type in ("error", "warning") and not NOTED.search(message.text)
                else None
            ),
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield Visitor(web, context, page, url, faults)
        context.close()
        assert faults == []


@pytest.fixture
def visitor(tmp_path: Path, browser: Browser) -> Iterator[Visitor]:
    web = build_web(tmp_path, auth="token", secret_key=SECRET_KEY, executor="inline")
    with visiting(browser, web) as ready:
        yield ready


def test_a_page_asks_for_a_token_and_then_is_the_page_that_was_wanted(visitor: Visitor) -> None:
    visitor.page.goto("/runs?sort=sharpe")
    expect(visitor.page.locator("#login-form")).to_be_visible()
    expect(visitor.page.locator("#token")).to_be_focused()
    visitor.log_in(make_token(visitor.web))
    expect(visitor.page.locator("#runs-table")).to_be_visible()
    assert visitor.page.url.endswith("/runs?sort=sharpe")
    expect(visitor.page.locator("#log-out")).to_be_visible()


@pytest.mark.parametrize("path", ["/login", "/runs"])
def test_a_wrong_token_is_refused_beside_the_field(visitor: Visitor, path: str) -> None:
    visitor.page.goto(path)
    visitor.page.press("#token", "Enter")
    expect(visitor.page.locator("#token-error")).to_have_text("Paste a token first.")
    visitor.log_in("sbt_wrong")
    expect(visitor.page.locator("#token-error")).to_contain_text("is not known")
    expect(visitor.page.locator("#token")).to_have_attribute("aria-invalid", "true")
    assert visitor.context.cookies() == []


def test_no_page_logs_an_error_under_the_policy_logged_in_or_out(visitor: Visitor) -> None:
    visitor.page.goto("/login")
    visitor.log_in(make_token(visitor.web))
    expect(visitor.page.locator("#run-form")).to_be_visible()
    for path in PAGES:
        response = visitor.page.goto(path, wait_until="networkidle")
        assert response is not None
        assert response.status == 200
        assert "unsafe" not in response.headers["content-security-policy"]
    assert visitor.faults == []


def test_the_policy_stops_a_script_that_got_into_the_page(visitor: Visitor) -> None:
    visitor.page.goto("/login")
    ran = visitor.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.inlined = true";
          document.body.append(script);
          const button = document.createElement("button");
          button.setAttribute("onclick", "window.clicked = true");
          button.click();
          setTimeout("window.evaluated = true", 0);
          return new Promise((resolve) => setTimeout(() =>
            resolve([window.inlined, window.clicked, window.evaluated].map(Boolean)), 50));
        }"""
    )
    assert ran == [False, False, False]
    assert len(visitor.faults) >= 2
    assert all("Content Security Policy" in text for text in visitor.faults)
    visitor.faults.clear()


def test_a_run_is_started_by_hand_with_the_cookie(visitor: Visitor) -> None:
    # Computed before, as kernels may have to be compiled: the page then finds it done.
    run = {"dataset": "WALK", "rule": "rsi", "params": {"window": 5}}
    headers = bearer(make_token(visitor.web))
    assert visitor.web.client.post("/api/v1/runs", json=run, headers=headers).status_code == 202
    visitor.page.goto("/")
    visitor.log_in(make_token(visitor.web, "submit"))
    visitor.command("WALK RSI 5 30 70 GO")
    expect(visitor.page.locator("body")).to_have_class(re.compile("has-result"), timeout=30_000)
    events = [item for item in visitor.web.store.audit.list() if item.action == "post_runs"]
    assert [item.actor for item in events] == ["submit of a test", "admin of a test"]


def test_what_a_token_may_not_is_said_in_words(visitor: Visitor) -> None:
    visitor.page.goto("/")
    visitor.log_in(make_token(visitor.web, "read"))
    visitor.command("WALK RSI 5 30 70 GO")
    expect(visitor.page.locator("#banner .word")).to_have_text("REFUSED")
    expect(visitor.page.locator("#banner")).to_contain_text("needs a token that may submit")
    visitor.faults[:] = [text for text in visitor.faults if "status of 403" not in text]


def test_logging_out_asks_again_also_after_going_back(visitor: Visitor) -> None:
    visitor.page.goto("/help")
    visitor.log_in(make_token(visitor.web))
    visitor.page.click("#log-out")
    expect(visitor.page.locator("#login-form")).to_be_visible()
    visitor.page.goto("/help")
    expect(visitor.page.locator("#login-form")).to_be_visible()
    assert visitor.context.cookies() == []


def test_a_token_revoked_meanwhile_brings_the_login_back(visitor: Visitor) -> None:
    visitor.page.goto("/runs")
    visitor.log_in(make_token(visitor.web))
    expect(visitor.page.locator("#runs-table")).to_be_visible()
    visitor.web.store.tokens.revoke("admin of a test")
    visitor.page.reload()
    expect(visitor.page.locator("#login-form")).to_be_visible()


@contextmanager
def attacking(target: str) -> Iterator[str]:
    """Serve a page of another origin that tries to write to `target` in every way that it can."""
    script = f"""
      const target = {json.dumps(target)};
      const run = {{dataset: "WALK", rule: "rsi"}};
      const tries = [
        () => fetch(target + "/api/v1/runs", {{method: "POST", credentials: "include",
          headers: {{"Content-Type": "application/json"}}, body: JSON.stringify(run)}}),
        () => fetch(target + "/run_backtest", {{method: "POST", credentials: "include",
          mode: "no-cors", body: new URLSearchParams(run)}}),
        () => fetch(target + "/api/v1/tokens", {{method: "POST", credentials: "include",
          mode: "no-cors", headers: {{"Content-Type": "text/plain"}},
          body: JSON.stringify({{name: "x", scope: "admin"}})}}),
        async () => navigator.sendBeacon(target + "/run_backtest", new URLSearchParams(run)),
        () => fetch(target + "/api/v1/runs", {{credentials: "include"}}).then((r) => r.text())
          .then((text) => {{ window.stolen = text; }}),
      ];
      (async () => {{
        for (const attempt of tries) {{ try {{ await attempt(); }} catch {{ /* refused */ }} }}
        document.title = "tried";
      }})();
    """
    form = f'<form id="f" method="post" action="{target}/run_backtest">'
    form += '<input name="dataset" value="WALK"><input name="rule" value="rsi"></form>'
    page = f"<!doctype html><title>other</title>{form}<script>{script}</script>"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_page_of_another_origin_writes_nothing_with_the_cookie_of_its_visitor(
    visitor: Visitor,
) -> None:
    visitor.page.goto("/")
    visitor.log_in(make_token(visitor.web))
    expect(visitor.page.locator("#run-form")).to_be_visible()
    cookies = visitor.context.cookies()
    # The same host on another port is the same site: SameSite lets the cookie travel, and what
    # remains is what the server checks.
    with attacking(visitor.url) as elsewhere:
        other = visitor.context.new_page()
        sent: list[str] = []
        other.on("request", lambda request: sent.append(request.url))
        other.goto(elsewhere)
        expect(other).to_have_title("tried")
        assert other.evaluate("window.stolen") is None
        with other.expect_navigation() as navigation:
            other.evaluate("document.getElementById('f').submit()")
        assert navigation.value.status == 403
        assert sum(url.startswith(visitor.url) for url in sent) >= 5
        other.close()
    assert visitor.context.cookies() == cookies
    assert sum(visitor.web.store.runs.counts().values()) == 0
    assert len(visitor.web.store.tokens.list()) == 1


def test_a_stolen_cookie_alone_writes_nothing_even_from_our_own_origin(visitor: Visitor) -> None:
    visitor.page.goto("/")
    visitor.log_in(make_token(visitor.web))
    expect(visitor.page.locator("#log-out")).to_be_visible()
    status = visitor.page.evaluate(
        """() => fetch("/api/v1/runs", {method: "POST",
          headers: {"Content-Type": "application/json"},
          body: JSON.stringify({dataset: "WALK", rule: "rsi"})}).then((answer) => answer.status)"""
    )
    assert status == 403
    visitor.faults[:] = [text for text in visitor.faults if "status of 403" not in text]


def test_the_login_page_fits_a_phone(visitor: Visitor) -> None:
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    visitor.page.goto("/login")
    width = visitor.page.evaluate("document.documentElement.scrollWidth")
    assert width == 390
    box = visitor.page.locator("#login-button").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390


def test_logging_in_is_accessible_and_fits_every_width(visitor: Visitor) -> None:
    page = visitor.page
    page.goto("/login")
    for width in (360, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        assert_fits(page, f"{width} px")
        assert_accessible(page, f"{width} px")
    page.click("#login-button")
    expect(page.locator("#token-error")).to_be_visible()
    assert_fits(page, "refused")
    assert_accessible(page, "refused")
