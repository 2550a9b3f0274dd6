"""The risk manager's screen: exposures of each book against its limits, breaches first, and the riskiest symbols.

    python3 risk_client.py

All figures are the server's own, in the tables exposures_live, limit_usage and risk_scores; docs/dashboards.md has
their formulas. Limits are `Limit` objects in the store (book, metric, warn, stop).
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a file: Python has put this folder on the path, not the one above.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from client.interrupts import end_on_interrupt

    end_on_interrupt()

import click

from client.base_client import DeephavenClient
from client.command import client_command
from client.errors import TableNotFound
from client.formats import Catalog
from client.panel import Panel
from client.screen import Screen

__all__ = ["main", "panels"]

_USAGE = ["Status", "Book", "Metric", "Owner", "Value", "Usage", "Warn", "Stop"]
_EXPOSURES = ["Book", "Gross", "Net", "PnL", "PnLToday", "Positions"]
_SCORES = ["Symbol", "Score", "MarketValue", "Delta", "Gamma", "Vega", "Theta", "UnrealizedPnL"]
_ALARMS = {("Status", "STOP"): "bold red", ("Status", "WARN"): "yellow"}


def panels(client: DeephavenClient, rows: int = 10) -> list[Panel]:
    """Return the limits, the exposures of the books and the riskiest symbols.

    Args:
        client: The connection.
        rows: How many rows of each at most.

    Raises:
        TableNotFound: The server publishes no exposures or no scores.
    """
    catalog = Catalog.of(client)

    def panel(title: str, name: str, columns: list[str], key: list[str], note: str) -> Panel:
        styles = {column: catalog.style(name, column) for column in columns}
        table = client.open_table(name).view([*columns, *(part for part in key if part not in columns)])
        return Panel(title, table.head(rows), styles, key, note, _ALARMS)

    exposures = panel("Exposures", "exposures_live", _EXPOSURES, ["Book"], "by book, in USD")
    scores = panel(
        "Risk scores", "risk_scores", _SCORES, ["Symbol"], "share of the desk's delta, gamma and vega, in USD"
    )
    try:
        limits = panel("Limits", "limit_usage", _USAGE, ["EntityId"], "breaches first, in USD")
    except TableNotFound:
        exposures.note += "; the server publishes no limit_usage, since it has no store"
        return [exposures, scores]
    return [limits, exposures, scores]


@client_command
@click.option("--rows", type=click.IntRange(1, 200), default=10, help="Rows of each table at most.")
def main(client: DeephavenClient, rows: int, once: bool, seconds: float | None, interval: float) -> None:
    """Exposures against limits, breaches first, and the riskiest symbols, live."""
    screen = Screen("risk", client, lambda at: panels(at, rows), interval=interval)
    screen.show_once() if once else screen.run(seconds)


if __name__ == "__main__":
    main()
