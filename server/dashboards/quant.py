"""The quant's page: a watchlist, the price of one symbol as a line, top movers and volume leaders, and one filter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from server.dashboards.columns import Catalog
from server.dashboards.figures import DeskFigures
from server.dashboards.formats import shown_table
from server.dashboards.header import header_panel
from server.dashboards.layout import HEADER_HEIGHT, line_figure

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["matching", "quant_page", "symbol_pattern"]

_WATCHED = ("Symbol", "Price", "Change", "ChangePct", "Bid", "Ask", "Volume", "Timestamp")
_LEADING = ("Symbol", "Price", "Change", "ChangePct", "Volume")
_MOST_POINTS = 10_000


def symbol_pattern(text: str) -> str:
    """Return a regular expression for what was typed: parts of symbols with commas or blanks between them.

    Example:
        >>> symbol_pattern("aap, ms")
        '(?i)aap|ms'
    """
    parts = [re.escape(part) for part in re.split(r"[,;\s]+", text) if part]
    return f"(?i){'|'.join(parts)}" if parts else ""


def matching(symbols: Sequence[str], text: str) -> list[str]:
    """Return the symbols that contain what was typed.

    Example:
        >>> matching(["AAPL", "MSFT", "KO"], "aap, ko")
        ['AAPL', 'KO']
    """
    pattern = re.compile(symbol_pattern(text))
    return [symbol for symbol in symbols if pattern.search(symbol)]


def quant_page(figures: DeskFigures, catalog: Catalog) -> Any:
    """Return the page."""
    from deephaven import ui

    tables = figures.tables

    @ui.component
    def quant() -> Any:
        typed, set_typed = ui.use_state("")
        chosen, set_chosen = ui.use_state(figures.symbols[0])
        found = matching(figures.symbols, typed)
        symbol = chosen if chosen in found else found[0] if found else None

        def watchlist() -> Any:
            return shown_table(
                _filtered(tables["prices_live"], typed).sort("Symbol"),
                catalog,
                dict.fromkeys(_WATCHED, "prices_live"),
                on_row_press=lambda row: set_chosen(row["Symbol"]["value"]),
                always_fetch_columns=["Symbol"],
            )

        def leaders(name: str) -> Any:
            return shown_table(_filtered(tables[name], typed), catalog, dict.fromkeys(_LEADING, name))

        watch = ui.use_memo(watchlist, [typed])
        movers = ui.use_memo(lambda: leaders("top_movers"), [typed])
        volumes = ui.use_memo(lambda: leaders("volume_leaders"), [typed])
        line = ui.use_memo(
            lambda: None if symbol is None else _price_line(tables["prices_raw"], catalog, symbol), [symbol]
        )
        search = ui.search_field(
            label="Symbols, as: aap, ms",
            label_position="side",
            value=typed,
            on_change=set_typed,
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


def _filtered(table: Table, typed: str) -> Table:
    from deephaven.filters import PatternMode, pattern

    expression = symbol_pattern(typed)
    return table.where(pattern(PatternMode.FIND, "Symbol", expression)) if expression else table


def _price_line(prices: Table, catalog: Catalog, symbol: str) -> Any:
    """Return a line through the last price of each second, of as many ticks as prices_raw keeps."""
    from deephaven.filters import PatternMode, pattern

    seconds = (
        prices.where(pattern(PatternMode.MATCHES, "Symbol", re.escape(symbol)))
        .where("!isNull(Timestamp) && !isNull(Price)")
        .view(["Second = lowerBin(Timestamp, SECOND)", "Time = Timestamp", "Price"])
        .last_by("Second")
        .tail(_MOST_POINTS)
    )
    return line_figure(seconds, catalog, "Time", ["Price"])
