"""From a source of ticks into the published tables, at the pace of the source and without drift."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np

from server.desk import Desk
from server.errors import WriterClosed
from server.fx import FxRates
from server.market_tables import MarketWriters
from server.ticks import TickSource

__all__ = ["Feed"]

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.01  # how often due ticks are looked for
_MARK_SECONDS = 0.1  # how often positions are valued: the engine shows no more
_BATCH_TICKS = 50_000
_LATE_SECONDS = 5.0


class Feed:
    """A thread that moves ticks, marks positions and keeps to the schedule.

    What is due is counted from the start, not from the last round, so that no delay adds up; after one the feed
    catches up. A tick is never left out.

    Args:
        source: Where ticks come from.
        desk: Whose positions follow them.
        rates: The exchange rates.
        writers: Where all goes.

    Attributes:
        failure: What ended the feed before it was stopped; None while there is nothing of the kind.
        ticks: How many ticks have been handed over.
        finished: Set once the source has ended, which a simulation does not.
    """

    def __init__(self, source: TickSource, desk: Desk, rates: FxRates, writers: MarketWriters) -> None:
        self.failure: BaseException | None = None
        self.ticks = 0
        self.finished = threading.Event()
        self._source = source
        self._desk = desk
        self._rates = rates
        self._writers = writers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="market data", daemon=True)

    def start(self) -> None:
        """Publish every position as it stands, then begin."""
        # Tables take seconds to build; the first tick is due now.
        self._source.begin(time.time_ns())
        self._mark(0.0, everything=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; rows handed over before are still shown."""
        self._stop.set()
        self._writers.close()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def running(self) -> bool:
        """Whether the thread is at work."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._follow()
        except WriterClosed as error:
            if not self._stop.is_set():
                self.failure = error
        except BaseException as error:
            _log.exception("the market data feed has ended")
            self.failure = error

    def _follow(self) -> None:
        begin = time.monotonic()
        on_time = next_mark = 0.0
        warned = False
        while not self._stop.is_set():
            elapsed = time.monotonic() - begin
            late = self._hand_over(self._source.due(elapsed) - self.ticks)
            if elapsed >= next_mark or self.finished.is_set():
                self._mark(elapsed)
                next_mark = max(next_mark + _MARK_SECONDS, elapsed)
            if self.finished.is_set():
                return
            if not late:
                on_time, warned = elapsed, False
                self._stop.wait(max(0.0, elapsed + _TICK_SECONDS - (time.monotonic() - begin)))
            elif elapsed - on_time > _LATE_SECONDS and not warned:
                _log.warning("market data is more than %.0f s late: this machine cannot keep the rate", _LATE_SECONDS)
                warned = True

    def _hand_over(self, due: int) -> bool:
        """Hand over the ticks that are due, up to a batch; return whether more of them wait."""
        left = min(due, _BATCH_TICKS)
        while left > 0:
            ticks = self._source.take(left)
            if not len(ticks):
                self.finished.set()
                return False
            self._writers.prices.write(*ticks.columns())
            self._desk.see(ticks)
            self.ticks += len(ticks)
            left -= len(ticks)
        return due > _BATCH_TICKS

    def _mark(self, elapsed: float, *, everything: bool = False) -> None:
        now = self._source.time(elapsed)
        if self._rates.advance(elapsed):
            rates = self._rates.usd_per_unit
            self._desk.set_rates(rates)
            self._writers.fx.write(np.arange(len(rates)), np.full(len(rates), now), rates)
        self._writers.mark(self._desk, *self._desk.mark(now, everything=everything))
