"""What must not be in the repository: secrets, machine paths, index hosts, foreign scripts."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Written so that this file does not match itself.
FORBIDDEN = {
    "an absolute path of one machine": re.compile(r"/(?:work|root|farm|home/[a-z]+)/[a-z]"),
    "a package-index host": re.compile(
        "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "registry" + r"\.npmjs"))
    ),
    "a private key": re.compile("BEGIN (?:RSA |EC |OPENSSH )?PRIVATE " + "KEY"),
    "a password in a URL": re.compile(
        r"(?:mysql\+pymysql|redis)://[a-z]+:(?!\*\*\*|\{|password@)[^@\s\"'{<]{6,}@"
    ),
}


def tracked_text_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.suffix not in {".png", ".ico"} and path.is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_tree_holds_no(what: str) -> None:
    # Tests redact passwords that they made up.
    skipped = "tests" if what == "a password in a URL" else "nothing"
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_text_files()
        if path.relative_to(ROOT).parts[0] != skipped
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


def test_third_party_scripts_and_styles_are_not_copied_into_the_tree() -> None:
    names = [path.relative_to(ROOT).as_posix() for path in tracked_text_files()]
    assert [name for name in names if "/vendor/" in name or ".min." in name] == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "docs/security.md"])
def test_every_test_named_in_the_architecture_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`(tests/[\w/*.]+\.py)`", text))
    assert named
    assert [pattern for pattern in sorted(named) if not list(ROOT.glob(pattern))] == []
