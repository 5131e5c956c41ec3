"""Static files: addresses that carry the content's hash may be kept for ever, others ask again.

Modules import each other by relative paths, so their hash is a folder of the address: it covers
all of them, and every module that a page reaches is found under it.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_from_directory

HASH_CHARS = 12
_STATIC_ENDPOINTS = frozenset({"static", "module", "sheet"})
# Below it the header costs as much as it saves.
_MIN_BYTES = 600
FOR_EVER = "public, max-age=31536000, immutable"
_STATIC_IMPORT = re.compile(r"""^(?:import|export|\})[^"';(]*["'](\.[^"']+)["'];""", re.MULTILINE)


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


def add_modules(app: Flask) -> None:
    """Serve scripts under ``/static/modules/<hash>/`` and let templates name those of a page."""
    folder = Path(app.static_folder or "") / "js"
    version = _hash_folder(folder)
    trees: dict[str, list[str]] = {}

    def show_module(version: str, filename: str) -> Response:
        return send_from_directory(folder, filename)

    def add_version(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "module":
            values.setdefault("version", version)

    def add_cache_headers(response: Response) -> Response:
        # A page that was open during an update asks for the old version and gets the new files.
        if request.endpoint == "module" and response.status_code in (200, 304):
            is_current = (request.view_args or {}).get("version") == version
            response.headers["Cache-Control"] = FOR_EVER if is_current else "no-cache"
        return response

    def module_tree(entry: str) -> list[str]:
        if entry not in trees:
            trees[entry] = find_modules(folder, entry)
        return trees[entry]

    app.add_url_rule("/static/modules/<version>/<path:filename>", "module", show_module)
    app.url_defaults(add_version)
    app.after_request(add_cache_headers)
    app.jinja_env.globals["module_tree"] = module_tree


def find_modules(folder: Path, entry: str) -> list[str]:
    """Return a module and all that it imports when it starts, as paths inside `folder`."""
    found = [entry]
    for name in found:  # grows while it is walked
        for target in _STATIC_IMPORT.findall((folder / name).read_text(encoding="utf-8")):
            path = (folder / name).parent.joinpath(target).resolve()
            imported = path.relative_to(folder.resolve()).as_posix()
            if imported not in found:
                found.append(imported)
    return found


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.js")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:HASH_CHARS]
