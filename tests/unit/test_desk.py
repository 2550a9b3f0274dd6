from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.desk import BOOKS, Desk
from server.instruments import UNIVERSE, sector_correlation
from server.market_data import MarketSimulator, SimulatedTicks
from server.positions import average_cost
from server.risk_engine import black_scholes
from server.ticks import Ticks
from server.valuation import midnight

START = 1_760_000_000 * 10**9
DAY = 86_400 * 10**9
TRADES = st.lists(st.tuples(st.integers(-500, 500).filter(bool), st.integers(1, 1000)), min_size=1, max_size=30)


@given(TRADES)
def test_average_cost_realised_and_unrealised_are_what_the_cash_says(trades: list[tuple[int, int]]) -> None:
    quantity = cost = realized = cash = 0.0
    for traded, price in trades:
        quantity, cost, gain = average_cost(quantity, cost, float(traded), float(price))
        realized += gain
        cash -= traded * price
        assert realized + quantity * (price - cost) == pytest.approx(cash + quantity * price, abs=1e-6)
    assert quantity == sum(traded for traded, _ in trades)


@pytest.mark.parametrize(
    ("held", "trade", "after"),
    [
        ((0.0, 0.0), (100.0, 10.0), (100.0, 10.0, 0.0)),
        ((100.0, 10.0), (100.0, 12.0), (200.0, 11.0, 0.0)),
        ((200.0, 11.0), (-50.0, 13.0), (150.0, 11.0, 100.0)),
        ((100.0, 10.0), (-100.0, 9.0), (0.0, 0.0, -100.0)),
        ((100.0, 10.0), (-150.0, 12.0), (-50.0, 12.0, 200.0)),
        ((-100.0, 10.0), (40.0, 8.0), (-60.0, 10.0, 80.0)),
        ((-100.0, 10.0), (-100.0, 8.0), (-200.0, 9.0, 0.0)),
        ((-100.0, 10.0), (300.0, 11.0), (200.0, 11.0, -100.0)),
    ],
)
def test_average_cost_of_each_kind_of_trade(
    held: tuple[float, float], trade: tuple[float, float], after: tuple[float, float, float]
) -> None:
    assert average_cost(*held, *trade) == after


def simulated(seed: int = 5, ticks_per_trade: int = 10) -> tuple[Desk, SimulatedTicks]:
    simulator = MarketSimulator(UNIVERSE, correlation=sector_correlation(UNIVERSE), seed=seed)
    source = SimulatedTicks(simulator, 1000.0, speed=3600.0, start=START)
    return Desk(
        source.symbols, source.first_prices, START, UNIVERSE, ticks_per_trade=ticks_per_trade, seed=seed
    ), source


def test_desk_profit_is_what_its_trades_paid_and_its_positions_are_worth() -> None:
    """Follow the trades from outside: quantities at the desk change, and each change was paid for at bid or ask."""
    desk, source = simulated(ticks_per_trade=1)
    before, _ = desk.mark(START, everything=True)
    paid = before.quantity * before.multiplier * before.avg_cost
    quantity = before.quantity.copy()
    for _ in range(3000):
        ticks = source.take(1)
        desk.see(ticks)
        after, _ = desk.mark(START, everything=True)
        for place in np.flatnonzero(after.quantity != quantity):
            bought = after.quantity[place] - quantity[place]
            assert after.underlying[place] == ticks.symbol[-1]
            paid[place] += bought * (ticks.ask[-1] if bought > 0 else ticks.bid[-1])
        quantity = after.quantity
    assert desk.trades == 3000
    profit = after.realized_pnl + after.unrealized_pnl
    np.testing.assert_allclose(profit, after.market_value - paid, atol=1e-5)
    assert np.abs(after.realized_pnl).sum() > 0


def test_desk_same_seed_trades_the_same_at_any_pace() -> None:
    (first, one), (second, other) = simulated(), simulated()
    first.see(one.take(5000))
    for _ in range(714):
        second.see(other.take(7))
    second.see(other.take(2))
    for ours, theirs in zip(first.mark(START)[0], second.mark(START)[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert first.trades == second.trades == 500


def test_desk_risk_is_the_sum_of_the_positions_in_usd() -> None:
    desk, source = simulated()
    desk.see(source.take(4000))
    positions, risk = desk.mark(START + DAY, everything=True)
    value = positions.market_value * positions.fx_rate
    np.testing.assert_allclose(np.bincount(positions.underlying, value), risk.market_value)
    unrealized = positions.unrealized_pnl * positions.fx_rate
    np.testing.assert_allclose(np.bincount(positions.underlying, unrealized), risk.unrealized_pnl, atol=1e-6)
    assert {desk.currencies[place] for place in positions.currency} == {"USD", "EUR", "GBP", "JPY"}
    assert {desk.values.books[place] for place in positions.book} == set(BOOKS)


def test_desk_delta_says_what_a_small_move_does() -> None:
    desk, source = simulated()
    ticks = source.take(16)
    desk.see(ticks)
    _, before = desk.mark(START, everything=True)
    move = 1e-4
    up = Ticks(ticks.symbol, ticks.time, ticks.price * (1 + move), *ticks.columns()[3:])
    desk._until_trade = 10**9
    desk.see(up)
    _, after = desk.mark(START, everything=True)
    expected = before.delta * move + before.gamma * 100 * move**2 / 2
    np.testing.assert_allclose(after.market_value - before.market_value, expected, rtol=1e-3, atol=0.01)


def test_desk_marks_only_what_has_changed() -> None:
    desk, source = simulated()
    assert len(desk.mark(START)[1].symbol) == len(UNIVERSE)
    assert len(desk.mark(START)[1].symbol) == 0
    ticks = source.take(3)
    desk.see(ticks)
    assert sorted(desk.mark(START)[1].symbol) == sorted(ticks.symbol)
    rates = np.array([1.0 if currency != "JPY" else 0.007 for currency in desk.currencies])
    rates[1:3] = desk.values.fx[1:3]
    desk.set_rates(rates)
    positions, _ = desk.mark(START)
    assert {desk.currencies[place] for place in positions.currency} == {"JPY"}
    assert set(positions.fx_rate) == {0.007}


def test_desk_options_are_valued_by_black_scholes_and_settled_at_expiry() -> None:
    desk = Desk(["AAPL"], np.array([200.0]), START)
    assert desk.values.contracts[1:] == ["AAPL 260107C210", "AAPL 260407P190"]
    positions, _ = desk.mark(START + 10 * DAY, everything=True)
    years = (midnight(date(2026, 1, 7)) - (START + 10 * DAY)) / (365 * DAY)
    call = black_scholes(True, 200.0, 210.0, years, 0.04, 0.25)
    assert positions.price[2] == pytest.approx(call.price)
    held, cost = positions.quantity[2], positions.avg_cost[2]
    assert held < 0
    nothing = np.full(1, math.nan)
    desk.see(Ticks(np.array([0], dtype=np.int32), np.array([START]), np.array([230.0]), *([nothing] * 5)))
    positions, risk = desk.mark(START + 90 * DAY)
    assert positions.quantity[2] == 0.0
    assert positions.realized_pnl[2] == pytest.approx(held * 100 * (20.0 - cost))
    assert positions.quantity[3] > 0
    assert positions.market_value[2] == positions.unrealized_pnl[2] == 0.0
    assert np.isfinite(risk.delta).all()


def test_desk_trades_at_the_price_where_no_quotes_are_known() -> None:
    desk = Desk(["A"], np.array([10.0]), START, ticks_per_trade=1)
    nothing = np.full(1, math.nan)
    desk.see(Ticks(np.array([0], dtype=np.int32), np.array([START]), np.array([11.0]), *([nothing] * 5)))
    positions, risk = desk.mark(START)
    assert desk.trades == 1
    assert np.isfinite(np.concatenate([positions.market_value, positions.realized_pnl, risk.delta])).all()


def test_desk_first_positions_are_of_like_size_in_every_currency() -> None:
    desk, _ = simulated()
    positions, _ = desk.mark(START, everything=True)
    value = np.abs(positions.market_value * positions.fx_rate).reshape(-1, 4)
    np.testing.assert_allclose(value[:, 0], 1_000_000, rtol=0.05)
    np.testing.assert_allclose(value[:, 1], 250_000, rtol=0.05)
