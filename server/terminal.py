"""Tables on a terminal: numbers right-aligned, signed where the sign matters, in colour where there is a screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from rich import box
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


def rendered(
    title: str, note: str, columns: Mapping[str, Shown], rows: Sequence[Mapping[str, Any]], *, plain: bool
) -> Table:
    """Return rows as a table for a console.

    Args:
        title: The table's name.
        note: What it is, in a few words.
        columns: The columns in order.
        rows: The rows.
        plain: Whether it goes to a file or a pipe: no frame then.
    """
    heading = Text.assemble((title, "bold"), f"  {note}")
    grid = Table(title=heading, title_justify="left", box=None if plain else box.SIMPLE_HEAD, pad_edge=False)
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
    if not specification.startswith("+") or not value:
        return Text(text)
    return Text(text, "green" if value > 0 else "red")
