"""Style sheets of a page in two files, not in a dozen: a page is painted when the last has come.

The typefaces that they name get the hash of their content, so that browsers keep these too.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request, url_for

from webapp.bundles import HASH_CHARS, find_bundles_once
from webapp.static_files import FOR_EVER

# Of Bootstrap a page uses a tenth; without bundles it gets the whole.
_WHOLE, _USED = "vendor/bootstrap.min.css", "bundles/bootstrap.css"
# What every page has, and what a page has on top; of equal rules the later one wins.
BUNDLES = {
    "base": (
        *(_WHOLE, "vendor/uPlot.min.css"),
        *("css/tokens.css", "css/controls.css", "css/shell.css", "css/tables.css", "css/run.css"),
        *("css/charts.css", "css/lists.css", "css/phone.css"),
    ),
    "runs": ("css/compare.css",),
    "sweep": ("css/sweep.css", "css/verdict.css", "css/sweep_phone.css"),
    "data": ("css/data.css",),
    "login": ("css/login.css",),
}
_TYPEFACE = re.compile(r'url\("\.\./(vendor/[^"?]+)"\)')


def add_style_sheets(app: Flask) -> None:
    """Serve bundles under ``/static/sheets/<hash>/`` and let templates name those of a page."""
    built: dict[str, tuple[bytes, str]] = {}  # the files do not change while it runs

    _, bundles = find_bundles_once(Path(app.root_path))

    def build(bundle: str) -> tuple[bytes, str]:
        if bundle not in built:
            names = [_USED if bundles and name == _WHOLE else name for name in BUNDLES[bundle]]
            body = _join(Path(app.static_folder or ""), names).encode()
            built[bundle] = body, hashlib.sha256(body).hexdigest()[:HASH_CHARS]
        return built[bundle]

    def show_sheet(version: str, bundle: str) -> Response:
        if bundle not in BUNDLES:
            abort(404)
        body, current = build(bundle)
        response = Response(body, mimetype="text/css")
        response.set_etag(current)
        # A page that was open during an update asks for the old version and gets the new file.
        response.headers["Cache-Control"] = FOR_EVER if version == current else "no-cache"
        response.make_conditional(request)
        return response

    def add_version(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "sheet":
            values.setdefault("version", build(values["bundle"])[1])

    app.add_url_rule("/static/sheets/<version>/<bundle>.css", "sheet", show_sheet)
    app.url_defaults(add_version)
    app.jinja_env.globals["page_sheets"] = lambda page: [
        bundle for bundle in ("base", page) if bundle in BUNDLES
    ]


def _join(folder: Path, names: list[str]) -> str:
    """Return the sheets one after the other; those of packages are missing until they are built."""
    paths = [folder / name for name in names]
    texts = [path.read_text(encoding="utf-8") for path in paths if path.is_file()]
    return _TYPEFACE.sub(_name_typeface, "\n".join(texts))


def _name_typeface(found: re.Match[str]) -> str:
    # Relative, because the application may be mounted below the root of its host.
    query = urlsplit(url_for("static", filename=found[1])).query
    return f'url("../../{found[1]}{"?" if query else ""}{query}")'
