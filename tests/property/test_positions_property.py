"""Positions that follow their trades one by one are always what a naive reckoning of all of them comes to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from server.positions import FLAT, Contract, Execution, Holding, PositionBook, PositionKey, fold
from tests.rounds import rounds

START = datetime(2026, 1, 2, tzinfo=timezone.utc)
KEYS = [
    PositionKey(book, contract, currency)
    for book in ("EQ-US", None)
    for contract in (Contract("AAPL"), Contract("AAPL", "CALL", 240.0, START.date()))
    for currency in ("USD", "EUR")
]
IDS = [f"id{number}" for number in range(8)]

executions = st.builds(
    lambda minutes, entity_id, key, quantity, price: Execution(
        START + timedelta(minutes=minutes), entity_id, key, float(quantity), price / 4
    ),
    st.integers(0, 5),  # late bookings, and trades of one moment
    st.sampled_from(IDS),
    st.sampled_from(KEYS),
    st.integers(-300, 300),
    st.integers(0, 400),
)
# A trade that is written, corrected (also in book, contract, currency and time) or deleted; and a look at positions.
changes = st.one_of(executions, st.sampled_from(IDS), st.none())


def naive(trades: list[Execution]) -> dict[PositionKey, tuple[Fraction, Fraction, Fraction]]:
    """Return quantity, average cost and realised profit, reckoned unit by unit with queues of what was paid."""
    found: dict[PositionKey, tuple[Fraction, Fraction, Fraction]] = {}
    for trade in sorted(trades, key=lambda trade: (trade.time, trade.entity_id)):
        held, cost, realized = found.get(trade.key, (Fraction(0), Fraction(0), Fraction(0)))
        price, left = Fraction(trade.price), Fraction(trade.quantity)
        closing = Fraction(0)
        if held * left < 0:
            closing = max(-held, left) if held > 0 else min(-held, left)
            realized += -closing * (price - cost) * trade.key.contract.multiplier
            held, left = held + closing, left - closing
            cost = cost if held else Fraction(0)
        if left:
            held, cost = held + left, (held * cost + left * price) / (held + left)
        found[trade.key] = (held, cost, realized)
    return found


def close(holding: Holding, expected: tuple[Fraction, Fraction, Fraction]) -> bool:
    found = (holding.quantity, holding.avg_cost, holding.realized_pnl)
    return all(
        abs(one - float(other)) <= 1e-6 * max(1.0, abs(float(other)))
        for one, other in zip(found, expected, strict=True)
    )


@given(st.lists(changes, max_size=40))
@settings(max_examples=rounds(150, 3000))
def test_positions_follow_every_change_of_their_trades(steps: list[Execution | str | None]) -> None:
    book = PositionBook()
    trades: dict[str, Execution] = {}
    seen: dict[PositionKey, Holding] = {}
    for step in steps:
        if step is None:
            seen |= book.take_changed()
        elif isinstance(step, str):
            trades.pop(step, None)
            book.put(step, None)
        else:
            trades[step.entity_id] = step
            book.put(step.entity_id, step)
    seen |= book.take_changed()
    expected = naive(list(trades.values()))
    # A look now and then has shown all that a look at everything shows.
    assert seen == book.holdings()
    for key, holding in seen.items():
        assert close(holding, expected.get(key, (Fraction(0),) * 3)), key
        assert holding.trades == sum(trade.key == key for trade in trades.values())
    assert fold(trades.values()) == {
        key: holding for key, holding in seen.items() if holding != FLAT or key in expected
    }
    assert book.take_changed() == {}


@given(st.lists(executions, max_size=30, unique_by=lambda trade: trade.entity_id))
def test_profit_is_always_value_less_what_was_paid(trades: list[Execution]) -> None:
    price = 17.25
    for key, held in fold(trades).items():
        paid = sum(trade.quantity * trade.price for trade in trades if trade.key == key) * key.contract.multiplier
        value = held.quantity * price * key.contract.multiplier
        unrealized = held.quantity * (price - held.avg_cost) * key.contract.multiplier
        assert abs(held.realized_pnl + unrealized - (value - paid)) < 1e-4
