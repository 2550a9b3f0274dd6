"""The market at the highest rate that this machine sustains: no tick is lost, and memory does not grow."""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

import psutil
import pytest

from server.market_server import MarketServer
from server.options import MarketOptions
from tests.rounds import rounds

pytestmark = pytest.mark.soak

SECONDS = rounds(8, 300)
TRIED = (1_000_000.0, 500_000.0, 200_000.0, 100_000.0, 50_000.0, 20_000.0, 5_000.0)
TRIAL_SECONDS = 2.0
MEGABYTE = 1 << 20


def market_at(rate: float) -> MarketServer:
    return MarketServer(MarketOptions(symbols=50, rate=rate, keep=200_000, seed=3)).publish()


def behind(market: MarketServer, began: float) -> float:
    """Return by how many seconds the feed is late."""
    assert market.feed is not None
    return (time.monotonic() - began) - market.feed.ticks / market.options.rate


def sustained_rate() -> float:
    """Return the highest of some rates at which the feed is not late after a while."""
    for rate in TRIED:
        market = market_at(rate)
        began = time.monotonic()
        try:
            time.sleep(TRIAL_SECONDS)
            if behind(market, began) < 0.25 * TRIAL_SECONDS:
                return rate / 2  # what lasts a moment is not what lasts
        finally:
            market.stop()
    return TRIED[-1] / 2


def heap_after_collection() -> int:
    import jpy

    gc.collect()
    jpy.get_type("java.lang.System").gc()
    runtime = jpy.get_type("java.lang.Runtime").getRuntime()
    return int(runtime.totalMemory() - runtime.freeMemory())


def test_market_at_a_sustained_rate_loses_no_tick_and_does_not_grow(deephaven_context: Any) -> None:
    from deephaven import agg, arrow

    rate = sustained_rate()
    market = market_at(rate)
    assert market.feed is not None
    assert market.writers is not None
    try:
        # Counts, and the sum of the numbers of the ticks as their times tell them: one lost or doubled would show.
        start = market.feed._source.start
        numbered = market.writers.prices.blink.update_view(
            [f"Number = (long) Math.rint((epochNanos(Timestamp) - {start}L) * {rate} / 1e9)"]
        )
        counted = numbered.agg_by(
            [agg.count_("Ticks"), agg.min_("First = Number"), agg.max_("Last = Number"), agg.sum_("Sum = Number")]
        )
        time.sleep(SECONDS / 4)
        heap, process = heap_after_collection(), psutil.Process().memory_info().rss
        time.sleep(SECONDS * 3 / 4)
        grown_heap, grown = heap_after_collection() - heap, psutil.Process().memory_info().rss - process
        assert market.feed.failure is None
        market.stop()
        assert market.writers.prices.wait_visible(60)
        found = arrow.to_arrow(counted.snapshot()).to_pylist()[0]
    finally:
        market.stop()
        for name in market.tables:
            vars(sys.modules["__main__"]).pop(name, None)
    first, last = found["First"], found["Last"]
    assert found["Ticks"] == last - first + 1
    assert last == market.feed.ticks - 1
    assert found["Sum"] == (first + last) * (last - first + 1) // 2
    print(
        f"{rate:,.0f} ticks/s for {SECONDS} s, {found['Ticks']:,d} counted; heap {grown_heap / MEGABYTE:+.1f} MB, "
        f"process {grown / MEGABYTE:+.1f} MB"
    )
    # Less than the ring tables hold anyway; a leak of one row in ten would be far more.
    assert grown_heap < 100 * MEGABYTE
    assert grown < 300 * MEGABYTE
