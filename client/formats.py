"""How columns are shown, as the server's column catalog says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from client.errors import TableNotFound

if TYPE_CHECKING:
    from client.base_client import DeephavenClient

__all__ = ["Catalog", "ColumnStyle", "cell_text", "printable"]


class ColumnStyle(NamedTuple):
    """How a column is shown.

    Attributes:
        heading: Its heading.
        format: A Python format specification; one that begins with `+` marks gains and losses by colour.
        unit: Unit of its numbers.
    """

    heading: str
    format: str = ""
    unit: str = ""


class Catalog:
    """The columns that the server describes.

    Args:
        rows: Rows of the table `column_catalog`.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._styles = {
            (row["TableName"], row["Name"]): ColumnStyle(
                row["DisplayName"] or row["Name"], row["Format"] or "", row["Unit"] or ""
            )
            for row in rows
        }

    @classmethod
    def of(cls, client: DeephavenClient) -> Catalog:
        """Return the catalog of a server; an empty one where the server publishes none."""
        try:
            return cls(client.read("column_catalog").to_pylist())
        except TableNotFound:
            return cls()

    def style(self, table: str, column: str) -> ColumnStyle:
        """Return how a column of a published table is shown."""
        return self._styles.get((table, column)) or self._styles.get((None, column)) or ColumnStyle(column)


def cell_text(value: Any, specification: str) -> Text:
    """Return a value as text: gains green and losses red where the format shows the sign."""
    if value is None:
        return Text("-", "dim")
    if isinstance(value, datetime):
        return Text(value.strftime(specification or "%H:%M:%S"))
    if isinstance(value, str):
        return Text(printable(value))
    if isinstance(value, (bool, date)) or not specification:
        return Text(str(value) if not isinstance(value, float) else format(value, ",.2f"))
    text = format(value, specification)
    if not specification.startswith("+"):
        return Text(text)
    if not any(digit in text for digit in "123456789"):
        return Text(format(0, specification[1:]))
    return Text(text, "green" if value > 0 else "red")


# Letters that are printable, and that nobody sees: joiners, fillers, blanks of other scripts, variants of a letter.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_MOST_MARKS = 2  # on one letter, such as an accent; a pile of them is drawn over the lines above and below


def printable(text: str) -> str:
    """Return a text that cannot act on a terminal, hide letters, or be drawn beyond its cell.

    Of the names that others choose, some would move the cursor, and some consist of marks for the letters around them.

    Example:
        >>> len(printable("EQ" + chr(27)))
        3
    """
    if text.isascii() and text.isprintable():
        return text
    marks = 0
    shown: list[str] = []
    for letter in text:
        marks = marks + 1 if unicodedata.category(letter).startswith("M") else 0
        stray = marks > (_MOST_MARKS if shown else 0)
        visible = letter.isprintable() and not _UNSEEN.match(letter) and not stray
        shown.append(letter if visible else "\N{REPLACEMENT CHARACTER}")
    return "".join(shown)
