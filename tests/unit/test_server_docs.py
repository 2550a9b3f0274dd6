"""docs/server.md names every option, table and column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.market_columns import MARKET_COLUMNS, TABLE_NOTES
from server.options import read_options
from server.store_columns import STORE_NOTES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "server.md").read_text(encoding="utf-8")


def test_page_lists_the_options_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(["--help"])
    offered = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert offered == set(re.findall(r"^\| `(--[a-z-]+)", PAGE, re.MULTILINE))


def test_page_lists_every_table() -> None:
    assert set(re.findall(r"^\| ([a-z_]+) \|", PAGE, re.MULTILINE)) - {"table", "option", "column"} == set(
        TABLE_NOTES | STORE_NOTES
    )


@pytest.mark.parametrize("table", MARKET_COLUMNS)
def test_page_lists_every_column_with_unit_and_meaning(table: str) -> None:
    for column in MARKET_COLUMNS[table]:
        assert f"| {column.name} | {column.type} | {column.unit} | {column.description} |" in PAGE, column.name
