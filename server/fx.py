"""Exchange rates against USD, without a market: a geometric Brownian motion for each currency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.instruments import USD_PER_UNIT, Instrument
from server.market_data import MarketSimulator

__all__ = ["FxRates"]

Floats: TypeAlias = NDArray[np.float64]

_VOLATILITY = 0.08
_SECONDS = 1.0  # between two moves


class FxRates:
    """What one unit of each currency costs in USD.

    Args:
        currencies: Which; USD itself stays at 1.
        speed: How many seconds of trading pass in a second.
        seed: The same seed gives the same rates.

    Attributes:
        usd_per_unit: The current rates.
    """

    def __init__(self, currencies: Sequence[str], *, speed: float = 1.0, seed: int | None = None) -> None:
        self.usd_per_unit: Floats = np.array([USD_PER_UNIT[currency] for currency in currencies])
        self._speed = speed
        self._foreign = np.array([currency != "USD" for currency in currencies])
        moving = [
            Instrument(currency, USD_PER_UNIT[currency], _VOLATILITY) for currency in currencies if currency != "USD"
        ]
        self._simulator = MarketSimulator(moving, drift=0.0, seed=seed) if moving else None
        self._next_move = 0.0

    def advance(self, elapsed: float) -> bool:
        """Move the rates when it is time.

        Args:
            elapsed: Seconds since the start.

        Returns:
            Whether there are rates to tell: at the first call, and at every move after it.
        """
        if elapsed < self._next_move:
            return False
        first, self._next_move = self._next_move == 0.0, elapsed + _SECONDS
        if first or self._simulator is None:
            return first
        self.usd_per_unit = self.usd_per_unit.copy()
        self.usd_per_unit[self._foreign] = self._simulator.run(1, _SECONDS * self._speed)[0]
        return True
