"""A ticking table on the terminal: what changed is marked, what has stood still for long is dimmed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table as Grid
from rich.text import Text

from client.formats import ColumnStyle, cell_text

if TYPE_CHECKING:
    from pydeephaven.table import Table

__all__ = ["STALE_SECONDS", "Panel", "sparkline"]

STALE_SECONDS = 15.0
_BARS = "▁▂▃▄▅▆▇█"
_GAP = 2  # between columns
_LONGEST_TEXT, _SHORTEST_TEXT = 24, 6  # where not all columns have room


@dataclass
class Panel:
    """One table of a screen: derived and cut short on the server, shown here.

    Attributes:
        title: Its title.
        table: The rows, in the order in which they are shown.
        columns: How each column is shown, in order. A column of lists is drawn as a line.
        key: The columns that tell rows apart, so that a change is seen.
        note: A line below the title.
        emphasis: Column and value to rich style: the rows to stand out.
    """

    title: str
    table: Table
    columns: Mapping[str, ColumnStyle]
    key: Sequence[str]
    note: str = ""
    emphasis: Mapping[tuple[str, Any], str] = field(default_factory=dict)
    _shown: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    _changed: dict[tuple[Any, ...], float] = field(default_factory=dict)

    def grid(self, rows: Sequence[Mapping[str, Any]], *, marked: bool) -> RenderableType:
        """Return the title and the rows for a console, and remember them.

        Args:
            rows: One mapping a row.
            marked: Whether to mark what changed since the last call, and what did not for long.
        """
        now = time.monotonic()
        shown: dict[tuple[Any, ...], dict[str, Any]] = {}
        cells: dict[str, list[Text]] = {name: [] for name in self.columns}
        styles = []
        for row in rows:
            key = tuple(row[name] for name in self.key)
            before = self._shown.get(key)
            shown[key] = dict(row)
            if before is None or before != row:
                self._changed[key] = now
            stale = marked and now - self._changed[key] > STALE_SECONDS
            for name, style in self.columns.items():
                text = self._text(row[name], style)
                if marked and before is not None and before[name] != row[name] and not isinstance(row[name], list):
                    text.stylize("on grey23")
                cells[name].append(text)
            styles.append(self._emphasis(row) or ("dim" if stale else None))
        self._shown = shown
        self._changed = {key: self._changed[key] for key in shown}
        title = Text(self.title, "bold", no_wrap=True)
        if self.note:
            title.append(f" · {self.note}", "not bold dim")
        columns = [
            _Column(
                style.heading,
                cells[name],
                any(isinstance(row[name], (int, float)) for row in rows),
                any(isinstance(row[name], str) for row in rows),
            )
            for name, style in self.columns.items()
        ]
        return _Fitting(title, columns, styles)

    def last_change(self) -> float | None:
        """Return when, on the monotonic clock, a row last changed; None before there is one."""
        return max(self._changed.values(), default=None)

    def _text(self, value: Any, style: ColumnStyle) -> Text:
        return Text(sparkline(value)) if isinstance(value, list) else cell_text(value, style.format)

    def _emphasis(self, row: Mapping[str, Any]) -> str | None:
        return next((style for (name, value), style in self.emphasis.items() if row.get(name) == value), None)


class _Column(NamedTuple):
    heading: str
    cells: list[Text]
    is_number: bool
    is_text: bool

    def cut(self, longest: int) -> _Column:
        """Return the column with its texts cut short."""
        if self.width() <= longest:
            return self
        heading = Text(self.heading)
        cells = [cell.copy() for cell in self.cells]
        for text in (heading, *cells):
            text.truncate(longest, overflow="ellipsis")
        return self._replace(heading=heading.plain, cells=cells)

    def width(self) -> int:
        return max(cell_len(self.heading), *(cell.cell_len for cell in self.cells), 0)


class _Fitting:
    """A table of as many of its first columns as the screen has room for.

    Texts are cut before a column is left out, the longest first. No number ever is: what is left of it would be another
    one.
    """

    def __init__(self, title: Text, columns: Sequence[_Column], styles: Sequence[str | None]) -> None:
        self._title = title
        self._columns = columns
        self._styles = styles

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = _fitting(self._columns, options.max_width)
        title = self._title.copy()
        if len(shown) < len(self._columns):
            title.append(f" · {len(self._columns) - len(shown)} more on a wider screen", "not bold dim")
        grid = Grid(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
        for column in shown:
            grid.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
        for number, style in enumerate(self._styles):
            grid.add_row(*(column.cells[number] for column in shown), style=style)
        if not self._styles:
            grid.add_row(Text("nothing to show", "dim italic"))
        yield title
        yield grid


def _fitting(columns: Sequence[_Column], width: int) -> list[_Column]:
    """Return the first columns that have room, with texts cut as far as need be."""
    whole = [column.width() for column in columns]
    if _total(whole) <= width:
        return list(columns)
    least = [min(_SHORTEST_TEXT, room) if column.is_text else room for column, room in zip(columns, whole, strict=True)]
    ends = accumulate(room + _GAP for room in least)
    count = max(sum(end - _GAP <= width for end in ends), 1)
    longest = [
        min(_LONGEST_TEXT, room) if column.is_text else room for column, room in zip(columns, whole, strict=True)
    ]
    rooms, least = longest[:count], least[:count]
    while _total(rooms) > width and rooms != least:
        place = max(range(count), key=lambda place: (rooms[place] > least[place], rooms[place]))
        rooms[place] -= 1
    return [column.cut(room) if column.is_text else column for column, room in zip(columns[:count], rooms, strict=True)]


def _total(rooms: Sequence[int]) -> int:
    return sum(rooms) + _GAP * (len(rooms) - 1)


def sparkline(values: Sequence[float | None], width: int = 24) -> str:
    """Return numbers as a line of bars, the last ones where there are more than fit.

    Example:
        >>> sparkline([1, 2, 3, 2])
        '▁▅█▅'
    """
    known = [value for value in values[-width:] if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    if high == low:
        return _BARS[0] * len(known)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in known)
