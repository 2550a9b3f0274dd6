"""The portfolio manager's page: P&L over time, positions by book, what made the P&L, and what changed since."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from server.dashboards.columns import Catalog
from server.dashboards.figures import DeskFigures, attribution, since
from server.dashboards.formats import shown_table
from server.dashboards.header import header_panel
from server.dashboards.layout import HEADER_HEIGHT, line_figure, once_filled

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["pm_page"]

_ALL, _NO_BOOK = "all books", "no book"
_OF_MARKET = ("Book", "Symbol", "Currency", "Quantity", "AvgCost", "Price", "MarketValue")
_IN_USD = ("ValueUSD", "PnLToday", "AgainstClose")
_PARTS = ("PnLToday", "Share", "AgainstClose", "Realized", "Unrealized")
_CHANGES = ("Book", "Symbol", "Currency", "ChangeOfQuantity", "ChangeOfValue", "ChangeOfPnL")


def pm_page(figures: DeskFigures, catalog: Catalog) -> Any:
    """Return the page."""
    from deephaven import ui

    held: dict[str, str | None] = dict.fromkeys(_OF_MARKET, "positions_live")
    held |= dict.fromkeys(_IN_USD)

    def parts(table: Table) -> Any:
        return shown_table(table, catalog, ["Underlying", *_PARTS])

    def of_book(book: str) -> Any:
        table = _of_book(figures.positions, book)
        return once_filled(
            table, shown_table(table, catalog, held), "There are no positions", "They come with the first trade."
        )

    @ui.component
    def pm() -> Any:
        book, set_book = ui.use_state(_ALL)
        # As the positions were when this page was opened: a table that stands still, kept by the engine.
        before = ui.use_memo(lambda: figures.positions.snapshot(), [])
        changes = ui.use_memo(lambda: shown_table(since(figures.positions, before), catalog, _CHANGES), [before])
        curve = ui.use_memo(
            lambda: once_filled(
                figures.curve,
                line_figure(figures.curve, catalog, "Timestamp", ["PnLToday", "AgainstClose"]),
                "There is no P&L yet",
                "The curve begins with the first trade.",
            ),
            [],
        )
        symbols = ui.use_memo(lambda: attribution(figures.positions, "Underlying"), [])
        contributors = ui.use_memo(lambda: parts(symbols.where("PnLToday > 0")), [symbols])
        detractors = ui.use_memo(
            lambda: parts(symbols.where("!isNull(PnLToday) && PnLToday < 0").sort("PnLToday")), [symbols]
        )
        positions = ui.use_memo(lambda: of_book(book), [book])
        books = ui.use_memo(lambda: _books(figures.exposures), [])
        picker = ui.picker(
            books,
            label="Book",
            label_position="side",
            selected_key=book,
            on_change=set_book,
        )
        return ui.column(
            ui.row(ui.panel(header_panel(figures, catalog), title="Desk"), height=HEADER_HEIGHT),
            ui.row(
                ui.panel(curve, title="P&L today"),
                ui.panel(changes, title="Since page opened"),
                height=40,
            ),
            ui.row(
                ui.stack(ui.panel(picker, positions, title="Positions by book"), width=58),
                ui.column(
                    ui.panel(contributors, title="Contributors"),
                    ui.panel(detractors, title="Detractors"),
                    width=42,
                ),
                height=100 - 40 - HEADER_HEIGHT,
            ),
        )

    return ui.dashboard(pm())


def _books(exposures: Table) -> Table:
    """Return what there is to pick: everything, then each book."""
    from deephaven import merge, new_table
    from deephaven.column import string_col

    named = exposures.view(f"Book = isNull(Book) ? `{_NO_BOOK}` : Book").sort("Book")
    return merge([new_table([string_col("Book", [_ALL])]), named])


def _of_book(positions: Table, book: str) -> Table:
    from deephaven.filters import PatternMode, is_null, pattern

    held = positions.where("Quantity != 0 || RealizedPnL != 0").sort(["Book", "Symbol"])
    if book == _ALL:
        return held
    return held.where(is_null("Book") if book == _NO_BOOK else pattern(PatternMode.MATCHES, "Book", re.escape(book)))
