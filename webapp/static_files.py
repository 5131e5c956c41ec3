"""Static files: addresses that carry the content's hash may be kept for ever, others ask again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

_HASH_CHARS = 12
_ONE_YEAR_SECONDS = 31_536_000


def add_static_versions(app: Flask) -> None:
    """Add ``?v=<hash>`` to `url_for` of static files, and the cache headers that follow from it."""
    hashes: dict[str, str] = {}  # per application; the files do not change while it runs

    def add_version(endpoint: str, values: dict[str, Any]) -> None:
        name = values.get("filename")
        if endpoint != "static" or not isinstance(name, str) or app.static_folder is None:
            return
        if name not in hashes:
            path = Path(app.static_folder) / name
            if not path.is_file():
                return
            hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:_HASH_CHARS]
        values["v"] = hashes[name]

    def add_cache_headers(response: Response) -> Response:
        if request.endpoint == "static" and response.status_code in (200, 304):
            # Modules imported by scripts have no hash in their address.
            response.headers["Cache-Control"] = (
                f"public, max-age={_ONE_YEAR_SECONDS}, immutable"
                if "v" in request.args
                else "no-cache"
            )
        return response

    app.url_defaults(add_version)
    app.after_request(add_cache_headers)
