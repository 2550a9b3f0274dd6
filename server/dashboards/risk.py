"""The risk manager's page: exposure by book, limits with breaches first, the riskiest symbols and their Greeks."""

from __future__ import annotations

from typing import Any

from server.dashboards.columns import Catalog
from server.dashboards.figures import DeskFigures, with_sum
from server.dashboards.formats import shown_table
from server.dashboards.header import header_panel
from server.dashboards.layout import HEADER_HEIGHT, bar_figure, missing, once_filled

__all__ = ["risk_page"]

_SCORES = ("Symbol", "Score", "MarketValue", "Delta", "Gamma", "Vega")
_GREEKS = ("MarketValue", "Delta", "Gamma", "Theta", "Vega", "Rho", "UnrealizedPnL")
_BOOKS = ("Book", "Gross", "Net", "PnLToday", "AgainstClose", "Positions")
_RISKIEST = 15
_MOST_BARS = 20  # more are too thin to be seen
_LIMIT_ADVICE = "Members of risk_managers write them into the store, as Limit(book, metric, warn, stop)."


def risk_page(figures: DeskFigures, catalog: Catalog, store_advice: str) -> Any:
    """Return the page.

    Args:
        figures: What it shows.
        catalog: How columns are shown.
        store_advice: What to do to have limits, for a server without a store.
    """
    from deephaven import ui

    def limits() -> Any:
        if figures.limits is None:
            return missing("There are no limits", store_advice)
        shown = shown_table(
            figures.limits,
            catalog,
            dict.fromkeys((column.name for column in figures.limits.columns), "limit_usage"),
            format_=[
                ui.TableFormat(if_="Status == `STOP`", background_color="negative", color="white"),
                ui.TableFormat(if_="Status == `WARN`", background_color="notice", color="black"),
            ],
        )
        return once_filled(figures.limits, shown, "There are no limits", _LIMIT_ADVICE)

    @ui.component
    def risk() -> Any:
        bars = ui.use_memo(
            lambda: once_filled(
                figures.exposures,
                bar_figure(figures.exposures.head(_MOST_BARS), catalog, "Book", ["Gross", "Net"]),
                "No book has a position",
                "The bars come with the first trade.",
            ),
            [],
        )
        books = ui.use_memo(lambda: shown_table(figures.exposures, catalog, _BOOKS), [])
        bounded = ui.use_memo(limits, [])
        scores = ui.use_memo(
            lambda: shown_table(figures.scores.head(_RISKIEST), catalog, dict.fromkeys(_SCORES, "risk_scores")), []
        )
        every = ui.use_memo(
            lambda: shown_table(
                # The web IDE's own sums are kept up by differences, and so keep every error.
                with_sum(figures.scores, "Symbol", _GREEKS),
                catalog,
                dict.fromkeys(("Symbol", *_GREEKS), "risk_scores"),
            ),
            [],
        )
        middle = (100 - HEADER_HEIGHT) / 2
        return ui.column(
            ui.row(ui.panel(header_panel(figures, catalog), title="Desk"), height=HEADER_HEIGHT),
            ui.row(
                ui.stack(ui.panel(bars, title="Exposure by book"), ui.panel(books, title="Books"), active_item_index=0),
                ui.panel(bounded, title="Limits"),
                height=middle,
            ),
            ui.row(
                ui.stack(ui.panel(scores, title="Riskiest symbols"), width=40),
                ui.stack(ui.panel(every, title="Greeks"), width=60),
                height=middle,
            ),
        )

    return ui.dashboard(risk())
