"""Scripts of a page: one bundle if they were joined, else the modules that it is made of.

Modules import each other by relative paths, so their hash is a folder of the address: it covers
all of them, and every module that a page reaches is found under it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_from_directory, url_for

from webapp.bundles import find_bundles_once
from webapp.static_files import FOR_EVER

_STATIC_IMPORT = re.compile(r"""^(?:import|export|\})[^"';(]*["'](\.[^"']+)["'];""", re.MULTILINE)


def add_page_scripts(app: Flask) -> None:
    """Let templates name the scripts of a page, and serve modules under their version.

    ``page_scripts(page)`` lists addresses: the entry, then what it imports.
    """
    folder = Path(app.root_path) / "static" / "js"
    version, bundles = find_bundles_once(Path(app.root_path))
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

    def page_scripts(page: str) -> list[str]:
        entry = f"{page}/page.js"
        if bundles:
            return [url_for("static", filename=f"bundles/{entry}")]
        if entry not in trees:
            trees[entry] = find_modules(folder, entry)
        return [url_for("module", filename=name) for name in trees[entry]]

    app.add_url_rule("/static/modules/<version>/<path:filename>", "module", show_module)
    app.url_defaults(add_version)
    app.after_request(add_cache_headers)
    app.jinja_env.globals["page_scripts"] = page_scripts


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
