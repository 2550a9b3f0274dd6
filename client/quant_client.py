"""The quant's screen: a watchlist with the latest prices as a line, the top movers and the volume leaders.

python3 quant_client.py --symbols AAPL,MSFT
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:
    # Run as a file: Python has put this folder on the path, not the one above.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from client.interrupts import end_on_interrupt

    end_on_interrupt()

import click

from client.base_client import DeephavenClient
from client.command import client_command
from client.errors import ClientError
from client.formats import Catalog, ColumnStyle
from client.panel import Panel
from client.screen import Screen

__all__ = ["main", "panels"]

_PRICE_COLUMNS = ["Symbol", "Price", "Change", "ChangePct", "Bid", "Ask", "Volume"]
_LINE_TICKS = 24


def panels(client: DeephavenClient, symbols: Sequence[str] = (), rows: int = 10) -> list[Panel]:
    """Return the watchlist, the top movers and the volume leaders.

    Args:
        client: The connection.
        symbols: What to watch; the volume leaders when empty.
        rows: How many rows of each at most.

    Raises:
        ClientError: A symbol has no price.
        TableNotFound: The server publishes no prices.
    """
    catalog = Catalog.of(client)
    prices, movers, leaders = (client.open_table(name) for name in ("prices_live", "top_movers", "volume_leaders"))
    lines = (
        client.open_table("prices_raw")
        .view(["Symbol", "Line = Price"])
        .tail_by(_LINE_TICKS, by=["Symbol"])
        .group_by(by=["Symbol"])
    )
    if symbols:
        _require_symbols(client, symbols)
        listed = ", ".join(f"`{symbol}`" for symbol in symbols)
        watched = prices.where(f"Symbol in {listed}").sort("Symbol")
    else:
        watched = leaders.head(rows)
    styles = {name: catalog.style("prices_live", name) for name in _PRICE_COLUMNS}
    line = {"Line": ColumnStyle(f"Last {_LINE_TICKS} ticks")}
    return [
        Panel(
            "Watchlist",
            watched.natural_join(lines, on=["Symbol"], joins=["Line"]).view([*_PRICE_COLUMNS, "Line"]),
            styles | line,
            ["Symbol"],
            "" if symbols else "the most traded; --symbols chooses",
        ),
        Panel("Top movers", movers.head(rows).view(_PRICE_COLUMNS), styles, ["Symbol"], "since the last close"),
        Panel("Volume leaders", leaders.head(rows).view(_PRICE_COLUMNS), styles, ["Symbol"]),
    ]


def _require_symbols(client: DeephavenClient, symbols: Sequence[str]) -> None:
    known = set(client.read(client.open_table("prices_live").view(["Symbol"]))["Symbol"].to_pylist())
    unknown = [symbol for symbol in symbols if symbol not in known]
    if unknown:
        raise ClientError(
            f"the server has no price for {', '.join(map(repr, unknown))}; it has {', '.join(sorted(known)[:20])}"
            + (" and more" if len(known) > 20 else "")
        )


@client_command
@click.option("--symbols", default="", metavar="A,B,...", help="What to watch; the most traded by default.")
@click.option("--rows", type=click.IntRange(1, 200), default=10, help="Rows of each table at most.")
def main(client: DeephavenClient, symbols: str, rows: int, once: bool, seconds: float | None, interval: float) -> None:
    """Watchlist, top movers and volume leaders, live."""
    watched = [symbol.strip().upper() for symbol in symbols.split(",") if symbol.strip()]
    screen = Screen("quant", client, lambda at: panels(at, watched, rows), interval=interval)
    screen.show_once() if once else screen.run(seconds)


if __name__ == "__main__":
    main()
