from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from server.market_data import PriceStep
from server.risk_book import RISK_COLUMNS, RiskBook
from store.models import Trade

MOMENT = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)


class Recorder:
    """Takes rows as a table writer does."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write_row(self, *values: Any) -> None:
        self.rows.append(dict(zip(RISK_COLUMNS, values, strict=True)))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def book(recorder: Recorder) -> RiskBook:
    return RiskBook(recorder, steps_per_year=252.0)  # type: ignore[arg-type]


def prices(**values: float) -> PriceStep:
    return PriceStep(MOMENT, list(values.items()))


def trade(quantity: int, price: float) -> Trade:
    side = "BUY" if quantity > 0 else "SELL"
    return Trade(symbol="AAPL", quantity=abs(quantity), price=price, side=side)


def test_risk_book_each_price_and_each_trade_writes_one_row(book: RiskBook, recorder: Recorder) -> None:
    book.reprice(prices(AAPL=100.0, MSFT=50.0))
    book.reprice(prices(AAPL=101.0, MSFT=50.0))
    book.book(trade(200, 101.0))
    assert [(row["Symbol"], row["Price"], row["Quantity"]) for row in recorder.rows] == [
        ("AAPL", 100.0, 0),
        ("MSFT", 50.0, 0),
        ("AAPL", 101.0, 0),
        ("MSFT", 50.0, 0),
        ("AAPL", 101.0, 200),
    ]
    assert {row["Timestamp"] for row in recorder.rows} == {MOMENT}


def test_risk_book_results_are_those_of_their_formulas(book: RiskBook, recorder: Recorder) -> None:
    book.reprice(prices(AAPL=100.0))
    book.book(trade(-200, 100.0))
    book.reprice(prices(AAPL=110.0))
    row = recorder.rows[-1]
    volatility = (0.94 * 0.25**2 + 0.06 * 0.1**2 * 252) ** 0.5
    assert row["Volatility"] == pytest.approx(volatility)
    assert row["MarketValue"] == pytest.approx(-22_000.0)
    assert row["UnrealizedPnL"] == pytest.approx(-2_000.0)
    assert row["Risk"] == pytest.approx(22_000.0 * volatility * 2.326 / 252**0.5)


@pytest.mark.parametrize(
    ("trades", "quantity", "avg_cost"),
    [
        ([(100, 10.0), (300, 14.0)], 400, 13.0),
        ([(100, 10.0), (-40, 15.0)], 60, 10.0),
        ([(100, 10.0), (-100, 15.0)], 0, 0.0),
        ([(100, 10.0), (-150, 15.0)], -50, 15.0),
        ([(-100, 10.0), (-100, 12.0)], -200, 11.0),
        ([(-100, 10.0), (250, 12.0)], 150, 12.0),
        ([(0, 10.0)], 0, 0.0),
    ],
)
def test_risk_book_trades_are_booked_at_average_cost(
    book: RiskBook, recorder: Recorder, trades: list[tuple[int, float]], quantity: int, avg_cost: float
) -> None:
    for number, price in trades:
        book.book(trade(number, price))
    assert (recorder.rows[-1]["Quantity"], recorder.rows[-1]["AvgCost"]) == (quantity, avg_cost)
