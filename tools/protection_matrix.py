"""Take each protection away in a copy of the project, and write into docs/security.md which tests fail then.

    python -m tools.protection_matrix [WORDS OF A NAME ...]

With words, only the protections whose names hold them are tried; the other rows of the table stay.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.integration.hostile.protections import PROTECTIONS, Protection

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- written by tools/protection_matrix.py -->\n", "<!-- to here -->\n"
SHOWN = 3


def without(protection: Protection, text: str) -> str:
    """Return the text of a file without a protection.

    Raises:
        ValueError: The protection is not there, or in several places.
    """
    place = text.find(protection.after)
    if place < 0:
        raise ValueError(f"{protection.name}: {protection.file} does not hold {protection.after!r}")
    before, behind = text[:place], text[place:]
    if behind.count(protection.old) < 1 or (not protection.after and behind.count(protection.old) > 1):
        raise ValueError(f"{protection.name}: {protection.file} holds its text {behind.count(protection.old)} times")
    return before + behind.replace(protection.old, protection.new, 1)


def failing(protection: Protection) -> list[str]:
    """Return the names of tests that fail without a protection, at most a few."""
    with tempfile.TemporaryDirectory(prefix="protection-") as parent:
        copy = Path(parent) / "project"
        hidden = shutil.ignore_patterns(".git", ".venv*", "__pycache__", "*_cache", "results")
        shutil.copytree(ROOT, copy, ignore=hidden, symlinks=True)
        file = copy / protection.file
        file.write_text(without(protection, file.read_text(encoding="utf-8")), encoding="utf-8")
        which = "external" if protection.external else "not external"
        suites = [str(copy / "tests/integration/hostile" / f"{name}.py") for name in protection.suites]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--maxfail={SHOWN}", "-m", which, *suites],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.findall(r"^(?:FAILED|ERROR) \S*?::(test_\w+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{protection.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return list(dict.fromkeys(found))


def rows_of(page: str) -> dict[str, list[str]]:
    """Return the table of a page: for each protection, the tests that fail without it."""
    written = page.partition(BEGIN)[2].partition(END)[0]
    lines = re.findall(r"^\| (.+) \| (`.+`) \|$", written, re.MULTILINE)
    return {name: re.findall(r"`(.+?)`", tests) for name, tests in lines}


def with_rows(page: str, rows: dict[str, list[str]]) -> str:
    """Return the page with another table."""
    lines = ["| protection | tests that fail without it |", "|---|---|"]
    lines += [f"| {name} | {', '.join(f'`{test}`' for test in tests)} |" for name, tests in rows.items()]
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + rest.partition(END)[2]


def main(words: list[str]) -> int:
    """Try the protections; return 1 when one is told by no test."""
    chosen = [protection for protection in PROTECTIONS if all(word in protection.name for word in words)]
    found: dict[str, list[str]] = {}
    for protection in chosen:
        found[protection.name] = failing(protection)
        print(f"{protection.name}: {', '.join(found[protection.name]) or 'NO TEST FAILS'}", flush=True)
    page = PAGE.read_text(encoding="utf-8")
    rows = rows_of(page) | found
    rows = {protection.name: rows[protection.name] for protection in PROTECTIONS if rows.get(protection.name)}
    PAGE.write_text(with_rows(page, rows), encoding="utf-8")
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
