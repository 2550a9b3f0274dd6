"""Blocks of a page that a script writes: between a comment that names the script's block and one that ends it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["ROOT", "TESTING_PAGE", "block", "rows", "table", "with_block"]

ROOT = Path(__file__).resolve().parent.parent
TESTING_PAGE = ROOT / "docs" / "testing.md"


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by a script -->\n", f"<!-- {name}: to here -->\n"


def block(page: str, name: str) -> str:
    """Return the text of a block.

    Raises:
        ValueError: The page has no such block.
    """
    begin, end = _marks(name)
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page must hold {begin.strip()} and {end.strip()} once each")
    return page.partition(begin)[2].partition(end)[0].strip()


def with_block(page: str, name: str, text: str) -> str:
    """Return the page with another text in a block."""
    block(page, name)
    begin, end = _marks(name)
    head, _, rest = page.partition(begin)
    return f"{head}{begin}\n{text.strip()}\n\n{end}{rest.partition(end)[2]}"


def table(headings: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *body]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table of Markdown, row by row, without its headings."""
    lines = [line.replace(r"\|", "\0") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\0", "|") for cell in line.strip("|").split("|")] for line in lines[2:]]
