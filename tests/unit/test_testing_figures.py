"""The figures of docs/testing.md: what is counted, and how coverage is summed up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.page_blocks import ROOT, TESTING_PAGE, block, rows, table, with_block
from tools.testing_figures import KINDS, PACKAGES, counts, coverage


@dataclass
class Item:
    path: Path
    name: str
    mark: str = ""

    def get_closest_marker(self, name: str) -> bool:
        return name == self.mark


def test_counts_tests_and_their_cases_by_folder_and_mark() -> None:
    items: list[Any] = [
        Item(ROOT / "tests/unit/test_a.py", "test_x[1]"),
        Item(ROOT / "tests/unit/test_a.py", "test_x[2]", "fuzz"),
        Item(ROOT / "tests/unit/test_b.py", "test_x"),
        Item(ROOT / "tests/integration/test_c.py", "test_y", "external"),
        Item(ROOT / "tests/integration/hostile/test_d.py", "test_z"),
    ]
    text = counts(items)
    assert [(row[0], *row[2:]) for row in rows(text)] == [
        ("`tests/unit`", "2", "3"),
        ("`tests/integration`", "1", "1"),
        ("`tests/integration/hostile`", "1", "1"),
        ("**all**", "4", "5"),
    ]
    assert "1 `external`" in text and "1 `fuzz`" in text and "0 `soak`" in text


def test_kinds_are_the_folders_that_hold_tests() -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders == set(KINDS)


def test_coverage_sums_up_lines_and_branches_by_package() -> None:
    def summary(*numbers: int) -> dict[str, Any]:
        names = ("num_statements", "covered_lines", "num_branches", "covered_branches")
        return {"summary": {**dict(zip(names, numbers, strict=True)), "percent_covered": 1.5}}

    files = {
        "store/a.py": summary(10, 9, 4, 2),
        "store/cli/b.py": summary(10, 10, 0, 0),
        "tests/c.py": summary(1, 0, 0, 0),
    }
    found = rows(coverage({"files": files}))
    assert found[0] == ["`store`", "20", "95.0%", "4", "50.0%", "87.5%"]
    assert [row[0] for row in found] == [*(f"`{package}`" for package in PACKAGES), "**all**"]
    assert found[-1][1:] == found[0][1:]


def test_block_is_replaced_and_read_back() -> None:
    page = TESTING_PAGE.read_text(encoding="utf-8")
    text = table(("a", "b"), [("x | y", 1), ("", 2)])
    changed = with_block(page, "counts", text)
    assert rows(block(changed, "counts")) == [["x | y", "1"], ["", "2"]]
    assert with_block(changed, "counts", block(page, "counts")) == page


@pytest.mark.parametrize("page", ["", "<!-- counts: written by a script -->\n" * 2 + "<!-- counts: to here -->\n"])
def test_block_that_is_missing_or_there_twice_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="must hold"):
        block(page, "counts")
