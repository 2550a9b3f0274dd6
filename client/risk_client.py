"""The risk manager's screen: exposures of each book against its limits, breaches first, and the riskiest symbols.

    python3 risk_client.py

Limits are `Limit` objects in the store (book, metric, warn, stop), which the server publishes as `limits_live`. The
metrics, in USD, over the positions of a book:

| metric | what it is |
|---|---|
| gross_exposure | sum of the absolute market values |
| net_exposure | absolute value of the sum of the market values |
| loss | how far realised and unrealised P&L together are below zero |
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a file: Python has put this folder on the path, not the one above.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import click
from pydeephaven import agg
from pydeephaven.table import Table

from client.base_client import DeephavenClient
from client.command import client_command
from client.errors import TableNotFound
from client.formats import Catalog, ColumnStyle
from client.panel import Panel
from client.screen import Screen

__all__ = ["book_exposures", "limit_usage", "main", "panels", "risk_scores"]

_USD = "+,.0f"
_USAGE = {
    "Book": ColumnStyle("Book"),
    "Metric": ColumnStyle("Metric"),
    "Value": ColumnStyle("Value USD", ",.0f"),
    "Warn": ColumnStyle("Warn", ",.0f"),
    "Stop": ColumnStyle("Stop", ",.0f"),
    "Usage": ColumnStyle("Usage", ".0%"),
    "Status": ColumnStyle("Status"),
}
_EXPOSURES = {
    "Book": ColumnStyle("Book"),
    "Gross": ColumnStyle("Gross USD", ",.0f"),
    "Net": ColumnStyle("Net USD", _USD),
    "PnL": ColumnStyle("P&L USD", _USD),
    "Positions": ColumnStyle("Positions", ",d"),
}
_ALARMS = {("Status", "STOP"): "bold red", ("Status", "WARN"): "yellow"}


def book_exposures(client: DeephavenClient) -> Table:
    """Return Book, Gross, Net and PnL in USD and the number of Positions, largest gross exposure first."""
    positions = client.open_table("positions_live").where("Quantity != 0 || RealizedPnL != 0")
    in_usd = positions.update_view(
        [
            "Net = MarketValue * FxRate",
            "Gross = abs(MarketValue * FxRate)",
            "PnL = (RealizedPnL + UnrealizedPnL) * FxRate",
        ]
    )
    return in_usd.agg_by([agg.sum_(["Gross", "Net", "PnL"]), agg.count_("Positions")], by=["Book"]).sort_descending(
        "Gross"
    )


def limit_usage(client: DeephavenClient, exposures: Table) -> Table:
    """Return each limit with the value that it bounds, the largest usage first.

    Args:
        client: The connection.
        exposures: `book_exposures`.

    Returns:
        Book, Metric, Value (USD), Warn, Stop, Usage (of the stop) and Status: STOP, WARN, OK, or ? for a metric that
        is not one of those above.

    Raises:
        TableNotFound: The server publishes no limits.
    """
    limits = client.open_table("limits_live").view(["Book = book", "Metric = metric", "Warn = warn", "Stop = stop"])
    return (
        limits.natural_join(exposures, on=["Book"], joins=["Gross", "Net", "PnL"])
        .update(
            [
                # A book without positions has used nothing of its limit.
                "Value = Metric == null ? NULL_DOUBLE : Metric == `gross_exposure` ? (isNull(Gross) ? 0.0 : Gross)"
                " : Metric == `net_exposure` ? (isNull(Net) ? 0.0 : abs(Net))"
                " : Metric == `loss` ? (isNull(PnL) ? 0.0 : max(0.0, -PnL)) : NULL_DOUBLE",
                "Usage = isNull(Value) || isNull(Stop) || Stop <= 0 ? NULL_DOUBLE : Value / Stop",
                "Status = isNull(Value) ? `?` : Value >= Stop ? `STOP` : Value >= Warn ? `WARN` : `OK`",
            ]
        )
        .view(list(_USAGE))
        .sort_descending("Usage")
    )


def risk_scores(client: DeephavenClient, rows: int) -> Table:
    """Return the riskiest symbols, with their share of the desk's risk as a score from 0 to 100.

    Score = 100 (0.6 |Delta| / sum |Delta| + 0.2 |Gamma| / sum |Gamma| + 0.2 |Vega| / sum |Vega|), over all symbols.
    """
    risk = client.open_table("risk_live").update_view(
        ["AbsDelta = abs(Delta)", "AbsGamma = abs(Gamma)", "AbsVega = abs(Vega)"]
    )
    totals = risk.agg_by(agg.sum_(["SumDelta = AbsDelta", "SumGamma = AbsGamma", "SumVega = AbsVega"]), by=[])
    share = "(isNull(Abs{0}) || isNull(Sum{0}) || Sum{0} == 0 ? 0.0 : Abs{0} / Sum{0})"
    score = f"60 * {share.format('Delta')} + 20 * {share.format('Gamma')} + 20 * {share.format('Vega')}"
    return (
        risk.natural_join(totals, on=[])
        .update([f"Score = {score}"])
        .sort_descending("Score")
        .head(rows)
        .view(["Symbol", "Score", "MarketValue", "Delta", "Gamma", "Vega", "Theta", "UnrealizedPnL"])
    )


def panels(client: DeephavenClient, rows: int = 10) -> list[Panel]:
    """Return the limits, the exposures of the books and the riskiest symbols.

    Raises:
        TableNotFound: The server publishes no positions or no risk.
    """
    catalog = Catalog.of(client)
    exposures = book_exposures(client)
    scores = risk_scores(client, rows)
    shown = ["MarketValue", "Delta", "Gamma", "Vega", "Theta", "UnrealizedPnL"]
    score_styles = {"Symbol": ColumnStyle("Symbol"), "Score": ColumnStyle("Score", ".1f")}
    score_styles |= {name: catalog.style("risk_live", name) for name in shown}
    found = [
        Panel("Exposures", exposures, _EXPOSURES, ["Book"], "by book"),
        Panel("Risk scores", scores, score_styles, ["Symbol"], "share of the desk's delta, gamma and vega"),
    ]
    try:
        usage = limit_usage(client, exposures)
    except TableNotFound:
        found[0].note = "by book; the server publishes no limits_live"
        return found
    return [Panel("Limits", usage.head(rows), _USAGE, ["Book", "Metric"], "breaches first", _ALARMS), *found]


@client_command
@click.option("--rows", type=click.IntRange(1, 200), default=10, help="Rows of each table at most.")
def main(client: DeephavenClient, rows: int, once: bool, seconds: float | None, interval: float) -> None:
    """Exposures against limits, breaches first, and the riskiest symbols, live."""
    screen = Screen("risk", client, lambda at: panels(at, rows), interval=interval)
    screen.show_once() if once else screen.run(seconds)


if __name__ == "__main__":
    main()
