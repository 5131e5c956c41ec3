"""Static files: addresses that carry the content's hash may be kept for ever, others ask again."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from webapp.bundles import HASH_CHARS

_STATIC_ENDPOINTS = frozenset({"static", "module", "sheet"})
# Below it the header costs as much as it saves.
_MIN_BYTES = 600
# Python knows no type of typefaces.
mimetypes.add_type("font/woff", ".woff")
mimetypes.add_type("font/ttf", ".ttf")
FOR_EVER = "public, max-age=31536000, immutable"


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
            hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:HASH_CHARS]
        values["v"] = hashes[name]

    def add_cache_headers(response: Response) -> Response:
        if request.endpoint == "static" and response.status_code in (200, 304):
            response.headers["Cache-Control"] = FOR_EVER if "v" in request.args else "no-cache"
        return response

    app.url_defaults(add_version)
    app.after_request(add_cache_headers)


def add_compression(app: Flask) -> None:
    """Answer static files packed to clients that unpack; each is packed once a process.

    Typefaces and style sheets shrink to half and a tenth. Answers of the API are not packed: on
    the way to a proxy that packs by itself, or to a browser beside it, that costs more than it
    saves.
    """
    packed: dict[tuple[str, str], bytes] = {}  # some 0.6 MB: the files do not change while it runs

    def pack(response: Response) -> Response:
        if request.endpoint not in _STATIC_ENDPOINTS or response.status_code != 200:
            return response
        response.vary.add("Accept-Encoding")
        if not request.accept_encodings.quality("gzip") or request.method != "GET":
            return response
        response.direct_passthrough = False
        if close := getattr(response.response, "close", None):
            response.call_on_close(close)  # the open file, which is not read a second time
        # Not by its address: any text may stand there in place of a version.
        key = (str(response.mimetype), response.get_etag()[0] or "")
        if key not in packed:
            data = response.get_data()
            smaller = gzip.compress(data, mtime=0) if len(data) >= _MIN_BYTES else data
            packed[key] = smaller if len(smaller) < len(data) else b""
        if packed[key]:
            response.set_data(packed[key])
            response.headers["Content-Encoding"] = "gzip"
            response.set_etag(key[1], weak=True)  # the same file, not the same bytes
        return response

    app.after_request(pack)
