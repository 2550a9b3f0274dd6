"""Streams of ticks: simulated ones and those of a price history."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest

from server.instruments import INSTRUMENTS, UNIVERSE, Instrument, sector_correlation, universe
from server.market_data import MarketSimulator, SimulatedTicks
from server.price_history import PriceHistory, RecordedTicks
from server.ticks import Ticks

DAY = 86_400 * 10**9
TRADING_YEAR = 252 * 6.5 * 3600


def simulated(seed: int | None = 3, count: int = 7, rate: float = 1000.0, speed: float = 60.0) -> SimulatedTicks:
    instruments = universe(count)
    simulator = MarketSimulator(instruments, correlation=sector_correlation(instruments), seed=seed)
    return SimulatedTicks(simulator, rate, speed=speed, start=10**18)


def taken(source: SimulatedTicks | RecordedTicks, *counts: int) -> Ticks:
    """Take so many ticks, in so many portions."""
    parts = []
    for count in counts:
        left = count
        while left:
            part = source.take(left)
            assert 0 < len(part) <= left
            parts.append(part)
            left -= len(part)
    return Ticks(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Ticks)))


def test_simulated_ticks_same_seed_gives_the_same_at_any_pace() -> None:
    at_once, in_portions = taken(simulated(), 100_000), taken(simulated(), 1, 17, 32_750, 1, 32_767, 34_464)
    other = taken(simulated(seed=4), 100_000)
    for ours, theirs in zip(at_once.columns(), in_portions.columns(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(at_once.price, other.price)
    # None is left out where one block of random numbers ends and the next begins.
    assert set(np.diff(at_once.time).tolist()) == {1_000_000}


def test_simulated_ticks_come_evenly_and_each_symbol_once_a_round() -> None:
    ticks = taken(simulated(rate=400.0), 20_000)
    assert set(np.diff(ticks.time).tolist()) == {2_500_000}
    assert (np.sort(ticks.symbol[: 7 * 2800].reshape(-1, 7), axis=1) == np.arange(7)).all()
    assert len({tuple(row) for row in ticks.symbol[:700].reshape(-1, 7).tolist()}) > 50


def test_simulated_ticks_due_counts_from_the_start_without_drift() -> None:
    source = simulated(rate=300.0)
    assert [source.due(elapsed) for elapsed in (0.0, 1 / 300 + 1e-9, 1.0, 86_400.0)] == [1, 2, 301, 25_920_001]
    assert source.time(1.5) == 10**18 + 1_500_000_000


def test_simulated_quotes_surround_the_price_in_cents() -> None:
    ticks = taken(simulated(count=40), 40_000)
    for column in (ticks.price, ticks.bid, ticks.ask, ticks.change):
        np.testing.assert_allclose(column * 100, np.round(column * 100), atol=1e-6)
    assert (ticks.bid < ticks.price + 1e-9).all()
    assert (ticks.price < ticks.ask + 1e-9).all()
    assert (ticks.ask - ticks.bid >= 0.01 - 1e-9).all()
    spread = np.array([instrument.spread for instrument in universe(40)])[ticks.symbol]
    assert (ticks.ask - ticks.bid <= np.maximum(ticks.price * spread, 0.01) + 0.02 + 1e-9).all()


def test_simulated_volume_grows_at_the_daily_rate_and_change_is_against_the_start() -> None:
    source = simulated(rate=1000.0, speed=600.0)
    ticks = taken(source, 70_000)
    instruments = universe(7)
    for place, instrument in enumerate(instruments):
        own = ticks.symbol == place
        volume = ticks.volume[own]
        assert (np.diff(volume) >= 0).all()
        days = 70.0 * 600 / (6.5 * 3600)
        assert volume[-1] == pytest.approx(instrument.daily_volume * days, rel=0.1)
        np.testing.assert_allclose(ticks.change[own], ticks.price[own] - instrument.price, atol=1e-9)
        np.testing.assert_allclose(ticks.change_pct[own], 100 * (ticks.price[own] / instrument.price - 1), atol=1e-9)


def test_simulated_returns_have_the_correlation_matrix_asked_for() -> None:
    instruments = [Instrument(name, 1e7, volatility) for name, volatility in (("A", 0.2), ("B", 0.3), ("C", 0.6))]
    correlation = np.array([[1.0, 0.8, -0.3], [0.8, 1.0, 0.1], [-0.3, 0.1, 1.0]])
    prices = MarketSimulator(instruments, correlation=correlation, drift=0.0, seed=1).run(20_000, TRADING_YEAR / 252)
    returns = np.diff(np.log(prices), axis=0)
    np.testing.assert_allclose(np.corrcoef(returns.T), correlation, atol=0.03)
    np.testing.assert_allclose(returns.std(axis=0) * math.sqrt(252), [0.2, 0.3, 0.6], rtol=0.03)


def test_sector_correlation_of_many_symbols_can_be_simulated() -> None:
    instruments = universe(300)
    prices = MarketSimulator(instruments, correlation=sector_correlation(instruments), drift=0.0, seed=1).run(
        4000, 23_400
    )
    measured = np.corrcoef(np.diff(np.log(prices), axis=0).T)
    wanted = sector_correlation(instruments)
    assert np.abs(measured - wanted).max() < 0.1


@pytest.mark.parametrize(
    ("correlation", "message"),
    [
        (np.eye(2), "must be 5 × 5, not 2 × 2"),
        (np.ones(5), "must be 5 × 5, not 5$"),
        (np.full((5, 5), 0.5), "with ones on its diagonal"),
        (np.triu(np.full((5, 5), 0.2)) + 0.8 * np.eye(5), "is symmetric"),
        (np.full((5, 5), -0.9) + 1.9 * np.eye(5), "contradict each other: the matrix has the eigenvalue -2.6"),
        (np.full((5, 5), math.nan), "is symmetric"),
    ],
)
def test_simulator_impossible_correlation_matrix_is_refused(correlation: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MarketSimulator(correlation=correlation)


@pytest.mark.parametrize(
    ("instruments", "message"),
    [
        ([], "at least one instrument"),
        ([INSTRUMENTS[0], INSTRUMENTS[0]], "the symbol 'AAPL' comes 2 times"),
        ([Instrument("A", 1.0, 0.2, spread=0.0)], "the spread must lie between 0 and 1"),
    ],
)
def test_simulator_impossible_instruments_are_refused(instruments: list[Instrument], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MarketSimulator(instruments)


@pytest.mark.parametrize("change", [{"rate": 0.0}, {"rate": math.inf}, {"speed": -1.0}, {"speed": math.nan}])
def test_simulated_ticks_impossible_pace_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive numbers"):
        simulated(**change)


def test_universe_is_always_the_same_and_has_no_symbol_twice() -> None:
    assert universe(2000) == universe(2000)
    assert universe(5) == INSTRUMENTS
    assert universe(16) == UNIVERSE
    assert len({instrument.symbol for instrument in universe(2000)}) == 2000
    with pytest.raises(ValueError, match="at least one symbol, not 0"):
        universe(0)


def recorded(*rows: tuple[float, str, float, float]) -> PriceHistory:
    """A history of (day, symbol, price, volume)."""
    days, symbols, prices, volumes = zip(*rows, strict=True)
    names = tuple(sorted(set(symbols)))
    unknown = np.full(len(rows), math.nan)
    return PriceHistory(
        names,
        np.array([names.index(symbol) for symbol in symbols], dtype=np.int32),
        np.array([int(day * DAY) for day in days]),
        np.array(prices),
        unknown,
        unknown,
        np.array(volumes),
    )


def test_recorded_ticks_change_is_against_the_last_price_of_an_earlier_day() -> None:
    ticks = recorded(
        (1.1, "A", 10.0, 5.0),
        (1.2, "B", 100.0, math.nan),
        (1.9, "A", 12.0, 6.0),
        (2.1, "A", 15.0, 1.0),
        (2.2, "A", 18.0, 2.0),
        (5.0, "B", 90.0, 7.0),
    ).ticks()
    assert ticks.change.tolist() == [0.0, 0.0, 2.0, 3.0, 6.0, -10.0]
    assert ticks.change_pct.tolist() == pytest.approx([0.0, 0.0, 20.0, 25.0, 50.0, -10.0])
    np.testing.assert_array_equal(ticks.volume, [5.0, math.nan, 11.0, 1.0, 3.0, 7.0])


def test_recorded_ticks_are_due_at_their_time_divided_by_the_speed() -> None:
    source = RecordedTicks(recorded(*((day, "A", 1.0 + day, 1.0) for day in range(10))), speed=2 * 86_400.0)
    assert [source.due(elapsed) for elapsed in (0.0, 0.4, 0.5, 1.7)] == [1, 1, 2, 4]
    assert source.due(100.0) == 11
    assert len(source.take(50)) == 10
    assert len(source.take(1)) == 0
    assert source.time(1e9) == 9 * DAY
    assert source.first_prices.tolist() == [1.0]


@pytest.mark.parametrize(
    ("times", "speed"),
    [([0, 1, 2, 5, 6, 7], 86_400.0), ([0, 0.5 / 86_400, 1 / 86_400], 1.0), ([3], 1.0), ([3, 3], 1.0)],
)
def test_recorded_ticks_usual_speed_is_a_typical_step_a_second(times: list[float], speed: float) -> None:
    assert RecordedTicks(recorded(*((day, "A", 1.0, 1.0) for day in times))).speed == speed


def test_simulated_ticks_first_one_is_due_when_the_clock_begins() -> None:
    source, other = simulated(), simulated()
    source.begin(2 * 10**18)
    late, early = source.take(100), other.take(100)
    assert late.time[0] == source.time(0.0) == 2 * 10**18
    np.testing.assert_array_equal(late.time - early.time, 10**18)
    np.testing.assert_array_equal(late.price, early.price)


def test_simulated_volume_of_many_short_rounds_is_not_rounded_away() -> None:
    source = simulated(rate=200_000.0, speed=1.0)  # 3 shares of a symbol in ten rounds
    ticks = taken(source, 140_000)
    own = ticks.volume[ticks.symbol == 6]
    expected = universe(7)[6].daily_volume * 0.7 / (6.5 * 3600)
    assert own[-1] == pytest.approx(expected, rel=0.1)
    assert (own == np.rint(own)).all()
