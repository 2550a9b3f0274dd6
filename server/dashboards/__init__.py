"""The pages of the web IDE: quant, risk, pm and as_of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.dashboards.as_of import as_of_page
from server.dashboards.closed_page import hush_closed_pages
from server.dashboards.columns import Catalog
from server.dashboards.figures import DeskFigures
from server.dashboards.pm import pm_page
from server.dashboards.quant import quant_page
from server.dashboards.risk import risk_page

if TYPE_CHECKING:
    from store.client import StoreClient

__all__ = ["PAGE_NOTES", "desk_pages"]

PAGE_NOTES = {
    "quant": "watchlist, price line, top movers and volume leaders",
    "risk": "exposure by book, limits, riskiest symbols and Greeks",
    "pm": "P&L over time, positions, attribution, and what changed since",
    "as_of": "positions at any past moment, against now, and audit trails",
}
_STORE_ADVICE = (
    "Trades and limits are kept in a store, and this server runs without one: start it with --store DIR, "
    "or without --no-store."
)


def desk_pages(figures: DeskFigures, *, reader: StoreClient | None = None) -> dict[str, Any]:
    """Return the pages by name; inside Deephaven's execution context.

    Args:
        figures: What they show.
        reader: Who asks the store about the past; None for a server without one.
    """
    hush_closed_pages()
    catalog = Catalog()
    return {
        "quant": quant_page(figures, catalog),
        "risk": risk_page(figures, catalog, _STORE_ADVICE),
        "pm": pm_page(figures, catalog),
        "as_of": as_of_page(figures, catalog, reader, _STORE_ADVICE),
    }
