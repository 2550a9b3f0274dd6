"""The published market tables beside the run's Deephaven server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from server.market_columns import MARKET_COLUMNS, TABLE_NOTES
from server.market_server import MarketServer
from server.options import MarketOptions
from tests.deephaven.table_rows import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pydeephaven import Session

SYMBOLS = 12
ARROW = {"string": "string", "double": "double", "long": "int64", "Instant": "timestamp[ns, tz=UTC]"}


@pytest.fixture
def market(deephaven_server: Any) -> Iterator[MarketServer]:
    """A market at full speed: 2000 ticks a second, an hour of trading each second."""
    from deephaven.execution_context import get_exec_ctx

    with get_exec_ctx():
        market = MarketServer(MarketOptions(symbols=SYMBOLS, rate=2000.0, speed=3600.0, seed=11)).publish()
    yield market
    market.stop()
    for name in [*market.tables, *market.pages]:
        del vars(sys.modules["__main__"])[name]


def together(*tables: Any) -> list[list[dict[str, Any]]]:
    """Return the rows of several tables as they were in one and the same cycle."""
    from deephaven.update_graph import shared_lock

    with shared_lock(tables[0]):
        return [rows(table) for table in tables]


def test_market_client_sees_every_table_with_its_columns(market: MarketServer, deephaven_session: Session) -> None:
    wait_until(lambda: market.feed is not None and market.feed.ticks > 3 * SYMBOLS)
    # The server looks from time to time at what the program around it has published.
    wait_until(lambda: set(TABLE_NOTES) <= set(deephaven_session.tables))
    for name, columns in MARKET_COLUMNS.items():
        table = deephaven_session.open_table(name)
        wait_until(lambda table=table: table.to_arrow().num_rows > 0, message=name)  # type: ignore[misc]
        shown = table.to_arrow()
        assert [(field.name, str(field.type)) for field in shown.schema] == [
            (column.name, ARROW[column.type]) for column in columns
        ], name


def test_market_tables_are_globals_of_the_main_module(market: MarketServer) -> None:
    assert vars(sys.modules["__main__"])["prices_live"] is market.tables["prices_live"]


def test_market_prices_live_has_one_consistent_row_a_symbol(market: MarketServer) -> None:
    found = wait_until(lambda: (live := rows(market.tables["prices_live"])) and len(live) == SYMBOLS and live)
    assert len({row["Symbol"] for row in found}) == SYMBOLS
    for row in found:
        assert 0 < row["Bid"] < row["Ask"]
        assert row["Bid"] - 0.011 <= row["Price"] <= row["Ask"] + 0.011
        assert row["Change"] == pytest.approx(row["ChangePct"] / 100 * (row["Price"] - row["Change"]), abs=0.01)


def test_market_prices_raw_counts_every_tick_once(market: MarketServer) -> None:
    writers = market.writers
    assert writers.prices.wait_visible(120)
    times = [row["Timestamp"] for row in rows(market.tables["prices_raw"])]
    first = times[0].value
    assert [time.value for time in times] == [first + 500_000 * number for number in range(len(times))]


def test_market_risk_is_the_sum_of_the_positions_in_usd(market: MarketServer) -> None:
    # Positions and risk come by two ways: only when nothing moves are they of one moment.
    market.stop()
    assert market.writers.risk.wait_visible(120)
    positions, risk, summary = together(
        market.tables["positions_live"], market.tables["risk_live"], market.tables["portfolio_summary"]
    )
    assert len(positions) == 4 * SYMBOLS
    by_symbol = {row["Symbol"]: row for row in risk}
    for symbol, row in by_symbol.items():
        held = [position for position in positions if position["Underlying"] == symbol]
        for column in ("MarketValue", "UnrealizedPnL"):
            total = sum(position[column] * position["FxRate"] for position in held)
            assert row[column] == pytest.approx(total, rel=1e-9, abs=1e-6)
        assert row["Position"] == sum(position["Quantity"] for position in held if position["Symbol"] == symbol)
    total = summary[0]
    assert total["NumPositions"] == SYMBOLS
    assert total["TotalMV"] == pytest.approx(sum(row["MarketValue"] for row in risk))
    assert total["TotalPnL"] == pytest.approx(sum(row["UnrealizedPnL"] for row in risk))
    assert total["TotalDelta"] == pytest.approx(sum(row["Delta"] for row in risk))
    assert total["AvgVega"] == pytest.approx(sum(row["Vega"] for row in risk) / SYMBOLS)
    assert {row["Currency"] for row in positions} == {"USD", "EUR", "GBP", "JPY"}
    for row in positions:
        assert row["MarketValue"] == pytest.approx(row["Quantity"] * row["Multiplier"] * row["Price"])
