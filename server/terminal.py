"""Tables on a terminal: numbers right-aligned, signed where the sign matters, in colour where there is a screen."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from deephaven.table import Table as DeephavenTable

__all__ = ["Shown", "last_rows", "open_console", "rendered"]

_PIPED_WIDTH = 200


class Shown(NamedTuple):
    """How a column is shown.

    Attributes:
        heading: Its heading.
        format: A format specification; one that begins with `+` marks gains and losses by colour.
    """

    heading: str
    format: str = ""


def open_console(file: TextIO) -> Console:
    """Return a console on a stream: as wide as the terminal, or wide enough for any table when piped."""
    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="replace")  # an encoding may lack a character of a name
    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        console = Console(file=file, highlight=False, width=_PIPED_WIDTH)
    return console


def last_rows(table: DeephavenTable, columns: Iterable[str], count: int) -> list[dict[str, Any]]:
    """Return the last rows of a ticking table as they are now.

    Args:
        table: The table.
        columns: The columns wanted.
        count: How many rows at most.

    Returns:
        One mapping a row, in the table's order.
    """
    from deephaven import arrow

    rows: list[dict[str, Any]] = arrow.to_arrow(table.tail(count).view(list(columns)).snapshot()).to_pylist()
    return rows


def rendered(columns: Mapping[str, Shown], rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return rows as a table for a console.

    Args:
        columns: The columns in order.
        rows: The rows.
    """
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold underline")
    numeric = {name for name in columns if any(isinstance(row[name], (int, float)) for row in rows)}
    for name, shown in columns.items():
        grid.add_column(shown.heading, justify="right" if name in numeric else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(_cell(row[name], shown.format) for name, shown in columns.items()))
    return grid


def _cell(value: Any, specification: str) -> Text:
    if value is None:
        return Text("-", "dim")
    if isinstance(value, datetime):
        return Text(value.strftime("%H:%M:%S.%f")[:-3] if not specification else value.strftime(specification))
    if isinstance(value, date) or not specification:
        return Text(str(value))
    text = format(value, specification)
    if not specification.startswith("+"):
        return Text(text)
    if not any(digit in text for digit in "123456789"):
        return Text(format(0, specification[1:]))
    return Text(text, "green" if value > 0 else "red")
