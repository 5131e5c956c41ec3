"""Yahoo's chart service as a small local server with one recorded answer; no network.

As a module it is the child process of a fetch, with yfinance pointed at that server.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

RECORDED = Path(__file__).parent / "recorded" / "yahoo_chart.json"
YAHOO = ("https://query1.finance.yahoo.com", "https://query2.finance.yahoo.com")
MISSING = {"code": "Not Found", "description": "No data found, symbol may be delisted"}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        status, body = 200, RECORDED.read_bytes()
        if path == "/v8/finance/chart/LIMITED":
            status, body = 429, b"Too Many Requests"
        elif path == "/v8/finance/chart/WORDS":
            body = b"<html>consent</html>"
        elif path != "/v8/finance/chart/AAPL":
            status, body = 404, json.dumps({"chart": {"result": None, "error": MISSING}}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def recorded_yahoo() -> Iterator[str]:
    """Serve, with yfinance pointed at it; gives the URL."""
    import yfinance
    import yfinance.data

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    before = [
        (module, name, value)
        for key, module in list(sys.modules.items())
        if key.partition(".")[0] == "yfinance"
        for name, value in list(vars(module).items())
        if isinstance(value, str) and value.startswith(YAHOO)
    ]
    for module, name, value in before:
        setattr(module, name, url + urlsplit(value).path)
    get_cookie = yfinance.data.YfData._get_cookie_and_crumb
    yfinance.data.YfData._get_cookie_and_crumb = lambda *_: (None, "basic")  # of other hosts
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.daemon = True
    thread.start()
    try:
        yield url
    finally:
        for module, name, value in before:
            setattr(module, name, value)
        yfinance.data.YfData._get_cookie_and_crumb = get_cookie
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    from storage.ingest_child import leave, pack_dataset, run_child

    with recorded_yahoo():
        code = run_child(pack_dataset)
    leave(code)
