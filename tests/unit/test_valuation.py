"""Positions that others have traded into being: of any book, contract and currency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest

from server.desk import Desk, Fill, moment
from server.positions import Contract, Execution, PositionBook, PositionKey
from server.ticks import Ticks
from server.valuation import DAY

START = 1_760_000_000 * 10**9
SHARES = Contract("AAPL")


def put(book: PositionBook, trade: str, key: PositionKey, quantity: float, price: float) -> None:
    book.put(trade, Execution(moment(START), trade, key, quantity, price))


def tick(price: float) -> Ticks:
    nothing = np.full(1, math.nan)
    return Ticks(np.zeros(1, dtype=np.int32), np.array([START]), np.array([price]), *([nothing] * 5))


def marked(desk: Desk, time: int = START) -> dict[tuple[str | None, str | None, str | None], tuple[float, ...]]:
    """Return quantity, price, value, profits and rate of each position that a mark shows."""
    marks, _ = desk.mark(time)
    values = desk.values
    shown = zip(
        marks.quantity,
        marks.price,
        marks.market_value,
        marks.unrealized_pnl,
        marks.realized_pnl,
        marks.fx_rate,
        strict=True,
    )
    return {
        (values.books[book], values.contracts[contract], values.currencies[currency]): tuple(map(float, figures))
        for book, contract, currency, figures in zip(marks.book, marks.symbol, marks.currency, shown, strict=True)
    }


@pytest.fixture
def book() -> PositionBook:
    return PositionBook()


@pytest.fixture
def desk(book: PositionBook) -> Desk:
    desk = Desk(["AAPL"], np.array([200.0]), START, positions=book, ticks_per_trade=0)
    desk.mark(START)
    return desk


def test_trade_of_others_moves_its_position_and_no_other(desk: Desk, book: PositionBook) -> None:
    mine, theirs = PositionKey("MINE", SHARES, "USD"), PositionKey(None, SHARES, "USD")
    put(book, "1", mine, 100.0, 190.0)
    assert marked(desk) == {("MINE", "AAPL", "USD"): (100.0, 200.0, 20_000.0, 1000.0, 0.0, 1.0)}
    put(book, "2", theirs, -50.0, 210.0)
    shown = marked(desk)
    assert shown[None, "AAPL", "USD"] == (-50.0, 200.0, -10_000.0, 500.0, 0.0, 1.0)
    book.put("1", None)
    assert marked(desk)["MINE", "AAPL", "USD"] == (0.0, 200.0, 0.0, 0.0, 0.0, 1.0)
    assert marked(desk) == {}


def test_position_in_another_currency_is_valued_in_its_own(desk: Desk, book: PositionBook) -> None:
    put(book, "1", PositionKey("A", SHARES, "EUR"), 10.0, 180.0)
    (figures,) = marked(desk).values()
    price = 200.0 / 1.08
    assert figures == pytest.approx((10.0, price, 10 * price, 10 * (price - 180.0), 0.0, 1.08))
    _, risk = desk.mark(START, everything=True)
    assert risk.market_value == pytest.approx([2000.0])
    rates = np.array([1.0, *desk.values.fx[1:]])
    rates[desk.currencies.index("EUR")] = 1.25
    desk.set_rates(rates)
    assert marked(desk)["A", "AAPL", "EUR"][1] == pytest.approx(160.0)


def test_position_without_price_or_rate_is_shown_and_in_no_total(desk: Desk, book: PositionBook) -> None:
    put(book, "1", PositionKey("A", Contract("NOSUCH"), "USD"), 10.0, 5.0)
    put(book, "2", PositionKey("A", SHARES, "CHF"), 10.0, 5.0)
    put(book, "3", PositionKey("A", SHARES, "USD"), 1.0, 5.0)
    put(book, "4", PositionKey("A", Contract("NOSUCH", "CALL", 1.0, date(2020, 1, 1)), "USD"), 10.0, 5.0)
    shown = marked(desk)
    assert shown["A", "NOSUCH", "USD"][0] == 10.0
    assert np.isnan(shown["A", "NOSUCH", "USD"][1:4]).all()
    assert np.isnan(shown["A", "AAPL", "CHF"][-1])
    assert len(shown) == 4
    positions, risk = desk.mark(START, everything=True)
    assert risk.market_value.tolist() == [200.0]
    assert risk.position.tolist() == [11.0]
    assert [desk.values.underlyings[place] for place in positions.underlying] == ["NOSUCH", "AAPL", "AAPL", "NOSUCH"]
    desk.set_rates(desk.values.fx[: desk.values.rated])
    assert marked(desk) == {}


class Held:
    """A sink whose trades reach the positions only when told."""

    is_full = False

    def __init__(self) -> None:
        self.fills: list[Fill] = []

    def take(self, fills: Sequence[Fill]) -> None:
        self.fills += fills

    def is_awaited(self, key: PositionKey) -> bool:
        return any(fill.key == key for fill in self.fills)


def test_expired_option_is_settled_once_while_its_trade_is_on_its_way(book: PositionBook) -> None:
    sink = Held()
    desk = Desk(["AAPL"], np.array([200.0]), START, positions=book, sink=sink, ticks_per_trade=1)
    key = PositionKey("MINE", Contract("AAPL", "PUT", 260.0, moment(START).date() + timedelta(days=1)), "USD")
    put(book, "1", key, 3.0, 40.0)
    assert marked(desk)["MINE", key.contract.name, "USD"][1] > 59.0
    for _ in range(3):
        marked(desk, START + 2 * DAY)
    (fill,) = sink.fills
    assert (fill.key, fill.quantity, fill.price, fill.strategy) == (key, -3, 60.0, "expiry")
    put(book, "2", key, -3.0, fill.price)
    sink.fills.clear()
    assert marked(desk, START + 2 * DAY)["MINE", key.contract.name, "USD"][4] == 3 * 100 * 20.0
    assert sink.fills == []


def test_desk_does_not_trade_while_its_sink_is_full(book: PositionBook) -> None:
    sink = Held()
    sink.is_full = True
    desk = Desk(["AAPL"], np.array([200.0]), START, positions=book, sink=sink, ticks_per_trade=1)
    desk.see(tick(200.0))
    assert (desk.trades, sink.fills) == (0, [])
    sink.is_full = False
    desk.see(tick(200.0))
    assert (desk.trades, len(sink.fills)) == (1, 1)


def test_options_of_any_strike_and_day_have_finite_values_and_are_settled_in_parts(book: PositionBook) -> None:
    """Whoever has a login may write them: the market goes on."""
    sink = Held()
    desk = Desk(["AAPL"], np.array([200.0]), START, positions=book, sink=sink, ticks_per_trade=0)
    days = [date(1, 1, 1), date(1969, 7, 20), date(2030, 1, 1), date(9999, 12, 31)]
    strikes = [0.0, 1e-300, 1e15]
    keys = [
        PositionKey("A", Contract("AAPL", right, strike, day), "USD")
        for right in ("CALL", "PUT")
        for strike in strikes
        for day in days
    ]
    for number, key in enumerate(keys):
        for part in range(3):
            put(book, f"{number}-{part}", key, 2.0**53, 1e15)
    positions, risk = desk.mark(START, everything=True)
    assert np.isfinite(positions.market_value).all()
    assert np.isfinite(np.concatenate(risk[2:])).all()
    assert {(fill.key, fill.quantity) for fill in sink.fills} == {
        (key, -(2**53)) for key in keys if str(key.contract.expiry_date) < "1970"
    }
