"""docs/security.md names for every protection which tests fail without it; each stands in the code as the list says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.hostile.protections import PROTECTIONS, Protection
from tools.protection_matrix import PAGE, ROOT, rows_of, with_rows, without

HOSTILE = ROOT / "tests" / "integration" / "hostile"


def names_in_suites(protection: Protection) -> set[str]:
    """Return the names of the tests in the suites that look for a protection."""
    texts = [(HOSTILE / f"{suite}.py").read_text(encoding="utf-8") for suite in protection.suites]
    return {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}


def test_page_and_list_hold_the_same_protections() -> None:
    rows = rows_of(PAGE.read_text(encoding="utf-8"))
    assert list(rows) == [protection.name for protection in PROTECTIONS]


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda protection: protection.name)
def test_protection_stands_in_the_code_and_its_tests_in_the_suites(protection: Protection) -> None:
    text = (ROOT / protection.file).read_text(encoding="utf-8")
    assert without(protection, text) != text
    tests = rows_of(PAGE.read_text(encoding="utf-8"))[protection.name]
    assert tests and set(tests) <= names_in_suites(protection)


def test_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_rows(page, rows_of(page)) == page
