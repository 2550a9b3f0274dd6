"""The portfolio manager's screen: P&L, what made it, and how large positions are; snapshots into files.

python3 pm_client.py
python3 pm_client.py --once --snapshot positions.parquet
python3 pm_client.py --snapshot 'positions-{time}.csv' --every 300
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

if not __package__:
    # Run as a file: Python has put this folder on the path, not the one above.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from client.interrupts import end_on_interrupt

    end_on_interrupt()

import click
from click.core import ParameterSource
from pydeephaven import agg
from pydeephaven.table import Table

from client.base_client import DeephavenClient
from client.command import Seconds, client_command
from client.formats import Catalog, ColumnStyle
from client.panel import Panel
from client.screen import Screen
from client.snapshots import require_writable, write_snapshot

__all__ = ["attribution", "main", "panels", "positions_in_usd", "sizing"]

_SUMMARY = ["TotalMV", "TotalPnL", "TotalDelta", "AvgGamma", "AvgTheta", "AvgVega", "NumPositions"]
_ATTRIBUTION = {
    "PnL": ColumnStyle("P&L USD", "+,.0f"),
    "Share": ColumnStyle("Share", "+.1%"),
    "Realized": ColumnStyle("Realized USD", "+,.0f"),
    "Unrealized": ColumnStyle("Unrealized USD", "+,.0f"),
}
_SIZING = {
    "Book": ColumnStyle("Book"),
    "Symbol": ColumnStyle("Symbol"),
    "Quantity": ColumnStyle("Quantity", "+,d"),
    "ValueUSD": ColumnStyle("Value USD", "+,.0f"),
    "Weight": ColumnStyle("Weight", ".1%"),
    "Target": ColumnStyle("Target", ".1%"),
    "ToTrade": ColumnStyle("To trade", "+,d"),
}


def positions_in_usd(client: DeephavenClient) -> Table:
    """Return the positions with ValueUSD, RealizedUSD, UnrealizedUSD and PnLUSD added."""
    return client.open_table("positions_live").update_view(
        [
            "ValueUSD = MarketValue * FxRate",
            "RealizedUSD = RealizedPnL * FxRate",
            "UnrealizedUSD = UnrealizedPnL * FxRate",
            "PnLUSD = (RealizedPnL + UnrealizedPnL) * FxRate",
        ]
    )


def _sums(**columns: str) -> list[agg.Aggregation]:
    """Return sums that are added up anew with each change: what a huge number rounds away does not stay missing."""
    return [agg.formula(f"{name} = sum({column})") for name, column in columns.items()]


def attribution(positions: Table, by: str) -> Table:
    """Return Realized, Unrealized and PnL in USD by a column, and each one's Share of the total of absolute P&L.

    Args:
        positions: `positions_in_usd`.
        by: Book, Symbol, Underlying or Currency.
    """
    sums = positions.agg_by(_sums(Realized="RealizedUSD", Unrealized="UnrealizedUSD", PnL="PnLUSD"), by=[by])
    total = sums.update_view("AbsPnL = abs(PnL)").agg_by(_sums(Total="AbsPnL"), by=[])
    return (
        sums.natural_join(total, on=[])
        .update("Share = isNull(PnL) || isNull(Total) || Total == 0 ? NULL_DOUBLE : PnL / Total")
        .view([by, *_ATTRIBUTION])
        .sort_descending("PnL")
    )


def sizing(positions: Table, rows: int) -> Table:
    """Return the largest positions: their weight in the gross exposure, and the trade to an equal weight.

    Weight = |ValueUSD| / sum |ValueUSD|; Target = 1 / number of open positions; ToTrade is in units of the position,
    toward zero where it is too large. All are of open positions only.
    """
    opened = positions.where("Quantity != 0 && !isNull(ValueUSD)").update_view("AbsUSD = abs(ValueUSD)")
    total = opened.agg_by([*_sums(Gross="AbsUSD"), agg.count_("Open")], by=[])
    return (
        opened.natural_join(total, on=[])
        .update(
            [
                "Weight = Gross == 0 ? 0.0 : AbsUSD / Gross",
                "Target = 1.0 / Open",
                "ToTrade = AbsUSD == 0 ? NULL_LONG : (long) rint(Quantity * (Target * Gross / AbsUSD - 1))",
            ]
        )
        .sort_descending("Weight")
        .head(rows)
        .view(list(_SIZING))
    )


def panels(client: DeephavenClient, rows: int = 10) -> list[Panel]:
    """Return the summary, the attribution by book and by symbol, and the sizing.

    Raises:
        TableNotFound: The server publishes no positions.
    """
    catalog = Catalog.of(client)
    positions = positions_in_usd(client)
    by_symbol = attribution(positions, "Underlying")
    summary = client.open_table("portfolio_summary").view(_SUMMARY)
    named = {"Underlying": ColumnStyle("Symbol")} | _ATTRIBUTION
    return [
        Panel("Portfolio", summary, {name: catalog.style("portfolio_summary", name) for name in _SUMMARY}, []),
        Panel(
            "By book", attribution(positions, "Book").head(rows), {"Book": ColumnStyle("Book")} | _ATTRIBUTION, ["Book"]
        ),
        Panel("Contributors", by_symbol.where("PnL > 0").head(rows), named, ["Underlying"]),
        Panel("Detractors", by_symbol.where("!isNull(PnL) && PnL < 0").tail(rows).sort("PnL"), named, ["Underlying"]),
        Panel("Sizing", sizing(positions, rows), _SIZING, ["Book", "Symbol"], "against equal weights"),
    ]


def _snapshots(target: Path, every: float) -> Callable[[DeephavenClient], None]:
    """Return what writes the positions into a file, at once and then again and again."""
    due = 0.0

    def write(client: DeephavenClient) -> None:
        nonlocal due
        if time.monotonic() >= due:
            write_snapshot(client.read(positions_in_usd(client)), target)
            due = time.monotonic() + every

    return write


def _of_snapshots(ctx: click.Context, param: click.Parameter, every: float) -> float:
    """Refuse to be told how often, by somebody who would believe that something is written."""
    if ctx.params.get("snapshot") is None and ctx.get_parameter_source(str(param.name)) is not ParameterSource.DEFAULT:
        raise click.UsageError("--every says how often --snapshot writes: name a file with --snapshot FILE.", ctx)
    return every


@client_command
@click.option("--rows", type=click.IntRange(1, 200), default=8, help="Rows of each table at most.")
@click.option(
    "--snapshot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    is_eager=True,  # so that it is known when --every is looked at
    help="Write the positions to a .csv or .parquet file; {time} in its name gives each snapshot one of its own.",
)
@click.option(
    "--every", type=Seconds(min=1), default=60.0, callback=_of_snapshots, help="Seconds between two snapshots."
)
def main(
    client: DeephavenClient,
    rows: int,
    snapshot: Path | None,
    every: float,
    once: bool,
    seconds: float | None,
    interval: float,
) -> None:
    """P&L, attribution and position sizes, live, and snapshots into files."""
    write = None
    if snapshot is not None:
        require_writable(snapshot)
        write = _snapshots(snapshot, every)
    screen = Screen("pm", client, lambda at: panels(at, rows), interval=interval, on_frame=write)
    if not once:
        screen.run(seconds)
        return
    screen.show_once()
    if snapshot is not None:
        print(f"written: {write_snapshot(client.read(positions_in_usd(client)), snapshot)}")


if __name__ == "__main__":
    main()
