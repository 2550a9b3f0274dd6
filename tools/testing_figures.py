"""Write into docs/testing.md how many tests there are, and how much of the code they run.

python -m tools.testing_figures counts      collects the tests
python -m tools.testing_figures coverage    reads what `make coverage` measured
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.page_blocks import ROOT, TESTING_PAGE, table, with_block

KINDS = {
    "tests/unit": "one module at a time; no server",
    "tests/contract": "the same tests over both workflow engines",
    "tests/property": "random cases against a naive model, or one way of computing against another",
    "tests/integration": "a real PostgreSQL, real processes",
    "tests/integration/hostile": "attacks by a user with a login of his own",
    "tests/deephaven": "a real JVM with Deephaven in it",
    "tests/docs": "the programs on these pages, and what the pages say",
}
MARKS = {
    "external": "on a PostgreSQL that is not the embedded one, as well",
    "fuzz": "many examples under `make fuzz`",
    "stress": "many rounds of killing and restarting under `make stress`",
    "soak": "long runs under load under `make soak`",
}
PACKAGES = ("store", "reactive", "workflow", "bridge", "server", "client")


class Collected:
    """A plugin of pytest that keeps what was collected."""

    def __init__(self) -> None:
        """Know of no tests yet."""
        self.items: list[Any] = []

    def pytest_collection_finish(self, session: Any) -> None:
        """Keep the tests."""
        self.items = session.items


def counts(items: Sequence[Any]) -> str:
    """Return the table of how many tests there are of each kind."""
    cases: Counter[str] = Counter()
    functions: dict[str, set[str]] = defaultdict(set)
    marked: Counter[str] = Counter()
    for item in items:
        folder = Path(item.path).relative_to(ROOT).parent.as_posix()
        kind = max((kind for kind in KINDS if folder.startswith(kind)), key=len)
        cases[kind] += 1
        functions[kind].add(f"{item.path}::{item.name.partition('[')[0]}")
        marked.update(mark for mark in MARKS if item.get_closest_marker(mark))
    body: list[list[object]] = [
        [f"`{kind}`", what, len(functions[kind]), cases[kind]] for kind, what in KINDS.items() if cases[kind]
    ]
    body.append(["**all**", "", sum(map(len, functions.values())), sum(cases.values())])
    marks = ", ".join(f"{marked[mark]} `{mark}` ({what})" for mark, what in MARKS.items())
    return f"{table(('where', 'what', 'tests', 'cases'), body)}\n\nAmong them: {marks}."


def coverage(document: Mapping[str, Any]) -> str:
    """Return the table of the lines and branches that the tests run, by package, from coverage's JSON."""
    sums: dict[str, Counter[str]] = {package: Counter() for package in PACKAGES}
    for file, found in document["files"].items():
        package = file.split("/")[0]
        if package in sums:
            sums[package].update({key: value for key, value in found["summary"].items() if isinstance(value, int)})
    body = [[f"`{package}`", *_shares(sums[package])] for package in PACKAGES]
    body.append(["**all**", *_shares(sum(sums.values(), Counter()))])
    return table(("package", "lines", "run", "branches", "taken", "both"), body)


def _shares(sums: Mapping[str, int]) -> list[str]:
    lines, branches = sums["num_statements"], sums["num_branches"]
    run, taken = sums["covered_lines"], sums["covered_branches"]
    share = [f"{part / whole:.1%}" if whole else "" for part, whole in ((run, lines), (taken, branches))]
    both = f"{(run + taken) / (lines + branches):.1%}" if lines else ""
    return [f"{lines:,}", share[0], f"{branches:,}", share[1], both]


def main(arguments: Sequence[str]) -> int:
    """Write the figures asked for."""
    page = TESTING_PAGE.read_text(encoding="utf-8")
    if "counts" in arguments:
        import pytest

        collected = Collected()
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = pytest.main(["--collect-only", "-qq"], plugins=[collected])
        if status != 0:
            print(printed.getvalue(), file=sys.stderr)
            return 1
        page = with_block(page, "counts", counts(collected.items))
    if "coverage" in arguments:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "coverage.json")
            subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", str(report)], cwd=ROOT, check=True)
            page = with_block(page, "coverage", coverage(json.loads(report.read_text(encoding="utf-8"))))
    TESTING_PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
