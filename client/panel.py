"""A ticking table on the terminal: what changed is marked, what has stood still for long is dimmed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from client.formats import ColumnStyle, cell_text

if TYPE_CHECKING:
    from pydeephaven.table import Table

__all__ = ["STALE_SECONDS", "Panel", "sparkline"]

STALE_SECONDS = 15.0
_BARS = "▁▂▃▄▅▆▇█"


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

    def grid(self, rows: Sequence[Mapping[str, Any]], *, marked: bool) -> Group:
        """Return the title and the rows for a console, and remember them.

        Args:
            rows: One mapping a row.
            marked: Whether to mark what changed since the last call, and what did not for long.
        """
        grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for name, style in self.columns.items():
            numeric = any(isinstance(row[name], (int, float)) for row in rows)
            grid.add_column(style.heading, justify="right" if numeric else "left", no_wrap=True)
        now = time.monotonic()
        shown: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows:
            key = tuple(row[name] for name in self.key)
            before = self._shown.get(key)
            shown[key] = dict(row)
            if before is None or before != row:
                self._changed[key] = now
            stale = marked and now - self._changed[key] > STALE_SECONDS
            cells = []
            for name, style in self.columns.items():
                text = self._text(row[name], style)
                if marked and before is not None and before[name] != row[name] and not isinstance(row[name], list):
                    text.stylize("on grey23")
                cells.append(text)
            grid.add_row(*cells, style=self._emphasis(row) or ("dim" if stale else None))
        self._shown = shown
        self._changed = {key: self._changed[key] for key in shown}
        if not rows:
            grid.add_row(Text("nothing to show", "dim italic"))
        title = Text(self.title, "bold", no_wrap=True)
        if self.note:
            title.append(f" · {self.note}", "not bold dim")
        return Group(title, grid)

    def last_change(self) -> float | None:
        """Return when, on the monotonic clock, a row last changed; None before there is one."""
        return max(self._changed.values(), default=None)

    def _text(self, value: Any, style: ColumnStyle) -> Text:
        return Text(sparkline(value)) if isinstance(value, list) else cell_text(value, style.format)

    def _emphasis(self, row: Mapping[str, Any]) -> str | None:
        return next((style for (name, value), style in self.emphasis.items() if row.get(name) == value), None)


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
