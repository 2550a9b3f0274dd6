"""Which tests run where, and how long they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLLECT = """
import sys, pytest
class Record:
    def pytest_collection_finish(self, session):
        for item in session.items:
            print("item", int(item.get_closest_marker("deephaven") is not None), item.nodeid)
status = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Record()])
print("loaded", sorted({"deephaven", "jpy", "deephaven_server"} & set(sys.modules)))
sys.exit(status)
"""


def collect(*arguments: str, worker: str = "") -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    if worker:
        environment["PYTEST_XDIST_WORKER"] = worker
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_selection_without_deephaven_loads_none_of_it() -> None:
    lines = collect("-m", "not deephaven")
    assert [line for line in lines if line.startswith("loaded")] == ["loaded []"]
    assert not [line for line in lines if "tests/deephaven/" in line]


@pytest.mark.parametrize("worker", ["", "gw0"])
def test_selection_deephaven_tests_are_marked_and_come_last_or_first_in_a_worker(worker: str) -> None:
    folders = ("tests/deephaven", "tests/docs")
    marks = [line.split()[1] for line in collect(*folders, worker=worker) if line.startswith("item")]
    assert set(marks) == {"0", "1"}
    assert marks == sorted(marks, reverse=bool(worker))


@pytest.mark.parametrize(("arguments", "number"), [([], "2"), (["--long"], "10")])
def test_rounds_are_all_done_under_long_only(tmp_path: Path, arguments: list[str], number: str) -> None:
    module = tmp_path / "test_rounds.py"
    module.write_text(
        "import pytest\nfrom tests.rounds import rounds\n"
        "@pytest.mark.parametrize('n', range(rounds(2, 10)))\ndef test_round(n): pass\n"
    )
    lines = collect(
        "--confcutdir",
        str(ROOT),
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(ROOT),
        "-p",
        "tests.conftest",
        *arguments,
        str(module),
    )
    assert sum(line.startswith("item") for line in lines) == int(number)
