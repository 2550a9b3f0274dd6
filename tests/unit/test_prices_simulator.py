from __future__ import annotations

import math
import time

import numpy as np
import pytest

from server.instruments import universe
from server.market_data import INSTRUMENTS, Instrument, MarketSimulator, SimulatedTicks

YEAR = 252 * 6.5 * 3600


def log_returns(simulator: MarketSimulator, seconds: float, count: int) -> np.ndarray:
    prices = np.array([list(simulator.step(seconds).values()) for _ in range(count)])
    return np.diff(np.log(prices), axis=0)


def test_simulator_same_seed_gives_same_prices() -> None:
    first, second, other = MarketSimulator(seed=1), MarketSimulator(seed=1), MarketSimulator(seed=2)
    steps = [first.step(60.0) for _ in range(20)]
    assert steps == [second.step(60.0) for _ in range(20)]
    assert steps != [other.step(60.0) for _ in range(20)]


def test_simulator_long_run_has_the_volatility_and_correlation_asked_for() -> None:
    instruments = [Instrument("A", 1e6, 0.2), Instrument("B", 1e6, 0.4)]
    returns = log_returns(MarketSimulator(instruments, correlation=0.6, drift=0.0, seed=3), YEAR / 252, 4000)
    assert returns.std(axis=0) * math.sqrt(252) == pytest.approx([0.2, 0.4], rel=0.05)
    assert np.corrcoef(returns.T)[0, 1] == pytest.approx(0.6, abs=0.05)


def test_simulator_prices_are_positive_cents_for_every_symbol() -> None:
    simulator = MarketSimulator(seed=4)
    for _ in range(1000):
        prices = simulator.step(600.0)
        assert list(prices) == [instrument.symbol for instrument in INSTRUMENTS]
        assert all(price > 0 and price == round(price, 2) for price in prices.values())


@pytest.mark.parametrize("correlation", [-0.1, 1.1])
def test_simulator_impossible_correlation_is_refused(correlation: float) -> None:
    with pytest.raises(ValueError, match="correlation"):
        MarketSimulator(correlation=correlation)


@pytest.mark.parametrize("instrument", [Instrument("A", 0.0, 0.2), Instrument("A", 1.0, -0.2)])
def test_simulator_impossible_instrument_is_refused(instrument: Instrument) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        MarketSimulator([instrument])


@pytest.mark.parametrize(("rate", "speed", "symbols"), [(100.0, 1e9, 1), (1e-3, 1e9, 16), (1e9, 1e-6, 40)])
def test_ticks_at_any_pace_are_numbers(rate: float, speed: float, symbols: int) -> None:
    ticks = SimulatedTicks(
        MarketSimulator(universe(symbols), correlation=0.4, seed=1), rate, speed=speed, start=time.time_ns()
    )
    for _ in range(5):
        found = ticks.take(100_000)
        assert all(np.isfinite(column).all() for column in found.columns())
        assert found.time.min() >= ticks.start
        assert (found.price > 0).all()
        assert found.volume.max() < 2**63
