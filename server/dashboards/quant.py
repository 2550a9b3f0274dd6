"""The quant's page: a watchlist, the price of one symbol as a line, top movers and volume leaders, and one filter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from server.dashboards.columns import Catalog
from server.dashboards.figures import DeskFigures
from server.dashboards.formats import shown_table
from server.dashboards.header import header_panel
from server.dashboards.layout import HEADER_HEIGHT, line_figure, use_handler

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["matching", "quant_page", "with_symbols"]

_WATCHED = ("Symbol", "Price", "Change", "ChangePct", "Bid", "Ask", "Volume", "Timestamp")
_LEADING = ("Symbol", "Price", "Change", "ChangePct", "Volume")
_MOST_POINTS = 10_000
_LONGEST_FILTER = 200  # as on the page as_of


def matching(symbols: Sequence[str], text: str) -> list[str]:
    """Return the symbols that contain what was typed, in any case: parts with commas or blanks between them.

    Example:
        >>> matching(["AAPL", "MSFT", "KO"], "aap, ko")
        ['AAPL', 'KO']
    """
    parts = [part.casefold() for part in re.split(r"[,;\s]+", text) if part]
    return [symbol for symbol in symbols if not parts or any(part in symbol.casefold() for part in parts)]


def with_symbols(table: Table, symbols: Sequence[str]) -> Table:
    """Return the rows of these symbols, which are no text of a formula or a pattern, whatever stands in them.

    Example:
        >>> with_symbols(tables["prices_live"], ["AAPL", "KO"])
    """
    from bridge.java_columns import java_table

    return table.where_in(java_table({"Symbol": "string"}, [(symbol,) for symbol in symbols]), "Symbol")


def quant_page(figures: DeskFigures, catalog: Catalog) -> Any:
    """Return the page."""
    from deephaven import ui

    tables = figures.tables

    @ui.component
    def quant() -> Any:
        typed, set_typed = ui.use_state("")
        chosen, set_chosen = ui.use_state(figures.symbols[0])
        found = matching(figures.symbols, typed)
        choose = use_handler(lambda row: set_chosen(row["Symbol"]["value"]))
        symbol = chosen if chosen in found else found[0] if found else None

        def filtered(table: Table) -> Table:
            return table if len(found) == len(figures.symbols) else with_symbols(table, found)

        def watchlist() -> Any:
            return shown_table(
                filtered(tables["prices_live"]).sort("Symbol"),
                catalog,
                dict.fromkeys(_WATCHED, "prices_live"),
                on_row_press=choose,
                always_fetch_columns=["Symbol"],
            )

        def leaders(name: str) -> Any:
            return shown_table(filtered(tables[name]), catalog, dict.fromkeys(_LEADING, name))

        watch = ui.use_memo(watchlist, [found])
        movers = ui.use_memo(lambda: leaders("top_movers"), [found])
        volumes = ui.use_memo(lambda: leaders("volume_leaders"), [found])
        line = ui.use_memo(
            lambda: None if symbol is None else _price_line(tables["prices_raw"], catalog, symbol), [symbol]
        )
        search = ui.search_field(
            label="Symbols, as: aap, ms",
            label_position="side",
            value=typed,
            on_change=set_typed,
            max_length=_LONGEST_FILTER,
            width="size-4600",
            max_width="100%",
        )
        none = ui.text(f"No symbol contains {typed!r}.")
        return ui.column(
            ui.row(ui.panel(header_panel(figures, catalog), title="Desk"), height=HEADER_HEIGHT),
            ui.row(
                ui.panel(search, watch, title="Watchlist"),
                ui.panel(none if line is None else line, title=f"Price of {symbol}" if symbol else "Price"),
                height=52,
            ),
            ui.row(
                ui.panel(movers, title="Top movers"),
                ui.panel(volumes, title="Volume leaders"),
                height=100 - 52 - HEADER_HEIGHT,
            ),
        )

    return ui.dashboard(quant())


def _price_line(prices: Table, catalog: Catalog, symbol: str) -> Any:
    """Return a line through the last price of each second, of as many ticks as prices_raw keeps."""
    seconds = (
        with_symbols(prices, [symbol])
        .where("!isNull(Timestamp) && !isNull(Price)")
        .view(["Second = lowerBin(Timestamp, SECOND)", "Time = Timestamp", "Price"])
        .last_by("Second")
        .tail(_MOST_POINTS)
    )
    return line_figure(seconds, catalog, "Time", ["Price"])
