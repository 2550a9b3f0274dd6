"""What the pages have in common: sizes, plots, and the word for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from server.dashboards.columns import Catalog
from server.dashboards.formats import legible

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["HEADER_HEIGHT", "bar_figure", "line_figure", "missing", "once_filled", "unmarked", "use_handler"]

HEADER_HEIGHT = 13  # percent of a page
_LEAST_PLOT = 180  # pixels


def line_figure(table: Table, catalog: Catalog, x: str, y: Sequence[str]) -> Any:
    """Return a line a column over time, named as the catalog says."""
    import deephaven.plot.express as dx

    return dx.line(table, x=x, y=list(y), unsafe_update_figure=partial(_tidy, _names(catalog, y)))


def bar_figure(table: Table, catalog: Catalog, x: str, y: Sequence[str]) -> Any:
    """Return bars beside each other, a column each, named as the catalog says."""
    import deephaven.plot.express as dx

    return dx.bar(
        unmarked(table, x),
        x=x,
        y=list(y),
        barmode="group",
        unsafe_update_figure=partial(_tidy, _names(catalog, y)),
    )


def unmarked(table: Table, column: str) -> Table:
    """Return a table whose texts in a column a plot shows as they are.

    It takes them for HTML, by which a name that somebody chose could look like another's.
    """
    return table.update_view(legible(column)).update_view(
        f"{column} = isNull({column}) ? null : {column}.replace(`&`, `&amp;`).replace(`<`, `&lt;`)"
    )


def once_filled(table: Table, shown: Any, what: str, advice: str) -> Any:
    """Return what is shown while a table has rows, and the message in its place while it has none."""
    from deephaven import ui

    @ui.component
    def filled(table: Table, shown: Any) -> Any:
        # Without a column of the table's own, it changes with the first and the last row only.
        some = ui.use_memo(lambda: table.head(1).view("Any = true"), [table])
        return shown if ui.use_row_data(some) else missing(what, advice)

    return filled(table, shown)


def missing(what: str, advice: str) -> Any:
    """Return the message in place of a panel that has nothing to show: what is missing and what brings it."""
    from deephaven import ui

    return ui.inline_alert(ui.heading(what), ui.content(advice), variant="info", width="100%")


def use_handler(handler: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return what calls the handler of the page's latest state, and stays the same while the page is open.

    With each drawing of a page Deephaven forgets the handlers that are not in it any more. What was pressed just before
    the browser knows of the new ones would be lost.
    """
    from deephaven import ui

    latest = ui.use_ref(handler)
    latest.current = handler
    kept: Callable[[Any], None] = ui.use_callback(lambda pressed: latest.current(pressed), [])
    return kept


def _names(catalog: Catalog, columns: Sequence[str]) -> dict[str, str]:
    return {column: catalog.style(None, column).heading for column in columns}


def _tidy(names: Mapping[str, str], figure: Any) -> None:
    for trace in figure.data:
        trace.name = names.get(trace.name, trace.name)
        trace.hovertemplate = f"%{{x}}<br>{trace.name}: %{{y:,.2f}}<extra></extra>"
    figure.update_layout(
        minreducedheight=_LEAST_PLOT,  # the rest is room enough for names below the bars
        margin={"l": 60, "r": 20, "t": 30, "b": 40},
        legend={"orientation": "h", "y": 1.1, "x": 0, "title": {"text": ""}},
    )
    figure.update_xaxes(title_text="")
    figure.update_yaxes(title_text="")
