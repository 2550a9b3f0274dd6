"""The published market tables, and the writers that feed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from server.column_catalog import column_catalog
from server.column_writer import ColumnWriter
from server.desk import Desk
from server.market_columns import MARKET_COLUMNS, column_types
from server.valuation import PositionMarks, RiskMarks

if TYPE_CHECKING:
    from deephaven.agg import Aggregation
    from deephaven.table import Table

__all__ = ["LEADERS", "MarketWriters", "market_tables", "means", "sums"]

LEADERS = 20  # rows of top_movers and volume_leaders


class MarketWriters:
    """The four streams that the market tables derive from.

    Create it in the main thread, or inside Deephaven's execution context.

    Args:
        symbols: All symbols that can tick.
        desk: Whose positions are shown.
    """

    def __init__(self, symbols: Sequence[str], desk: Desk) -> None:
        self.prices = ColumnWriter("prices", column_types("prices_raw"), {"Symbol": symbols})
        self.risk = ColumnWriter("risk", column_types("risk_raw"), {"Symbol": symbols})
        self.positions = ColumnWriter(
            "positions",
            column_types("positions_live"),
            _position_names(desk),
        )
        self.fx = ColumnWriter("fx", column_types("fx_live"), {"Currency": desk.currencies})

    def mark(self, desk: Desk, positions: PositionMarks, risk: RiskMarks) -> None:
        """Show positions and their risk.

        Args:
            desk: Whose they are; it may have come to books, contracts and currencies since the last call.
            positions: The positions to show.
            risk: The risk to show.
        """
        for column, names in _position_names(desk).items():
            self.positions.extend(column, names)
        self.positions.write(*positions)
        self.risk.write(*risk)

    @property
    def all(self) -> tuple[ColumnWriter, ...]:
        """Every writer."""
        return (self.prices, self.risk, self.positions, self.fx)

    def close(self) -> None:
        """Take no more rows."""
        for writer in self.all:
            writer.close()


def market_tables(
    writers: MarketWriters, kept_rows: int | None, store_tables: Mapping[str, Table] | None = None
) -> dict[str, Table]:
    """Return the published tables by name.

    Args:
        writers: What they derive from.
        kept_rows: How many rows prices_raw and risk_raw keep; None keeps all, for as long as the heap lasts.
        store_tables: The store's tables by name; None for a server without a store.
    """
    from deephaven import agg

    prices_live = writers.prices.last_by("Symbol")
    risk_live = writers.risk.last_by("Symbol")
    shown = [column.name for column in MARKET_COLUMNS["prices_live"]]
    return {
        "prices_raw": writers.prices.kept(kept_rows),
        "prices_live": prices_live,
        "top_movers": prices_live.update_view("Move = abs(ChangePct)")
        .sort_descending("Move")
        .head(LEADERS)
        .view(shown),
        "volume_leaders": prices_live.sort_descending("Volume").head(LEADERS),
        "risk_raw": writers.risk.kept(kept_rows),
        "risk_live": risk_live,
        "portfolio_summary": risk_live.agg_by(
            [
                *sums(TotalMV="MarketValue", TotalPnL="UnrealizedPnL", TotalDelta="Delta"),
                *means(AvgGamma="Gamma", AvgTheta="Theta", AvgVega="Vega"),
                agg.count_("NumPositions"),
            ]
        ),
        "positions_live": writers.positions.last_by("Book", "Symbol", "Currency"),
        "fx_live": writers.fx.last_by("Currency"),
        **(store_tables or {}),
        "column_catalog": column_catalog(store=store_tables is not None),
    }


def sums(**columns: str) -> list[Aggregation]:
    """Return sums that are added up anew with each change.

    Those of `agg.sum_` take the old value off and add the new one: what a trade of a quadrillion shares rounds away
    would stay missing after its correction, for as long as the server runs.

    Args:
        columns: The column of each sum; nulls count for nothing.

    Example:
        >>> risk_live.agg_by(sums(TotalMV="MarketValue"))
    """
    from deephaven import agg

    return [agg.formula(f"{name} = sum({column})") for name, column in columns.items()]


def means(**columns: str) -> list[Aggregation]:
    """Return means that are reckoned anew with each change; see `sums`."""
    from deephaven import agg

    return [agg.formula(f"{name} = avg({column})") for name, column in columns.items()]


def _position_names(desk: Desk) -> dict[str, Sequence[str | None]]:
    values = desk.values
    return {
        "Book": values.books,
        "Symbol": values.contracts,
        "Currency": values.currencies,
        "Underlying": values.underlyings,
    }
