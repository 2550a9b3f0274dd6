"""The store behind the market data server: positions that follow its trades, limits, and their ticking tables."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np

from bridge.errors import BridgeError
from bridge.follower import Follower, log_end, wait_current
from bridge.store_bridge import StoreBridge
from server.desk import BOOKS, Desk
from server.errors import ServerError
from server.positions import PositionBook
from server.store_place import RISK_MANAGERS, TRADERS, StorePlace
from server.trade_log import TradeFeed, TradeWriter
from store.client import StoreClient
from store.connection import connect
from store.conninfo import conninfo
from store.errors import StoreError, UnknownPrincipal
from store.models import Limit, Trade

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["DeskStore", "first_limits"]

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5  # how long a lost hint can delay a trade of somebody else
_WAIT_SECONDS = 60.0  # for what is there already, before the server goes on without
# Of the exposure that a limit is first made from: the warning and the stop.
_WARN, _STOP = 1.1, 1.25
_NET_WARN, _NET_STOP = 1.2, 1.5
_LOSS_WARN, _LOSS_STOP = 0.02, 0.04
_LEAST_EXPOSURE = 1_000_000.0  # USD: of a book without positions


class DeskStore:
    """A store that the desk trades in.

    Args:
        place: Where it is.

    Attributes:
        reader: A client that reads everything, for whoever asks about the past; set once open.
        positions: What the store's trades come to; they follow the store once open.
        trades: Where the desk's trades go.

    Example:
        >>> with closing(DeskStore(store_place("~/desk")).open()) as store:
        ...     store.positions.holdings()
    """

    def __init__(self, place: StorePlace) -> None:
        self.place = place
        self.positions = PositionBook()
        self.reader: StoreClient
        self.trades: TradeWriter
        self._desk: StoreClient
        self._follower: Follower
        self._bridge: StoreBridge
        self._opened = ExitStack()
        self._stop: threading.Event | None = None

    def open(self, stop: threading.Event | None = None) -> DeskStore:
        """Open the store, and wait until the positions are those of its trades.

        Args:
            stop: Ends that wait, once set.

        Raises:
            StorePlaceError: The place cannot be used.
            ServerError: The store cannot be used; the message says why.
        """
        self._stop = stop
        try:
            with ExitStack() as opened:
                self._open(opened)
                self._opened = opened.pop_all()
        except StoreError as error:
            raise ServerError(f"the store cannot be used: {error}") from error
        return self

    def _open(self, opened: ExitStack) -> None:
        opened.callback(self.place.close)
        logins = self.place.open()
        self.reader = opened.enter_context(StoreClient(**logins.bridge))
        self._desk = opened.enter_context(StoreClient(**logins.desk, writers=[TRADERS]))
        self._limits = opened.enter_context(StoreClient(**logins.desk, readers=[TRADERS], writers=[RISK_MANAGERS]))
        self._login = conninfo(**logins.bridge)
        self._follower = Follower(self._login, [TradeFeed(self.positions)], None, _POLL_SECONDS)
        self._follower.start()
        opened.callback(self._follower.stop)
        self.trades = TradeWriter(self._desk, self.positions)
        self.trades.start()
        opened.callback(self.trades.stop)
        self._bridge = StoreBridge(**logins.bridge, poll_seconds=_POLL_SECONDS)
        self._wait_for_trades()

    def wait_current(self, timeout: float | None = None) -> bool:
        """Wait until the positions count everything that was committed before the call.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Returns:
            Whether they do.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        now = datetime.now(timezone.utc)
        with closing(connect(self._login)) as conn:
            end = log_end(conn)
        return wait_current([self._follower], end, now, deadline, self._stop)

    def silence(self) -> float:
        """Return for how many seconds the store has not told all there is; see `StoreBridge.silence`."""
        with suppress(BridgeError):  # once closed
            return max(self._follower.silence, self._bridge.silence())
        return self._follower.silence

    def begin(self, desk: Desk) -> None:
        """Let a store that never held a trade begin with the desk's first positions, one without limits with some.

        Raises:
            ServerError: The store does not take them.
        """
        try:
            known = set(self.reader.list_types())
            if Trade.type_name() not in known:
                self.trades.write(desk.opening())
                self._wait_for_trades()
            if Limit.type_name() not in known:
                self._limits.write_many(first_limits(desk), idempotency_key="first limits of the books")
        except UnknownPrincipal as error:
            raise ServerError(
                f"the store cannot be used: {error}; an administrator makes the groups {TRADERS} and {RISK_MANAGERS} "
                "with `python -m store --url URL groups add NAME`"
            ) from error
        except StoreError as error:
            raise ServerError(f"the store cannot be used: {error}") from error

    def _wait_for_trades(self) -> None:
        # However many there are: what half of them come to would be traded on, and settled. A transaction that somebody
        # leaves open holds all readers of the log up, though: then the server starts all the same.
        read = self._follower.position
        while not self.wait_current(_WAIT_SECONDS):
            if self._stop is not None and self._stop.is_set():
                return
            if self._follower.position == read:
                _log.warning("no trade can be read for %.0f s; the positions follow as they come", _WAIT_SECONDS)
                return
            read = self._follower.position
            _log.warning("the store's trades are read up to event %d; the server waits for the rest", read.seq)

    def tables(self) -> dict[str, Table]:
        """Return the store's published tables by name; where `StoreBridge.register` may be called.

        Raises:
            ServerError: They cannot be filled.
        """
        self._bridge.register(Trade)
        self._bridge.register(Limit)
        try:
            self._opened.enter_context(self._bridge)
            self._bridge.wait_current(_WAIT_SECONDS)
        except (StoreError, BridgeError) as error:
            raise ServerError(f"the store cannot be used: {error}") from error
        return {
            "trades_raw": self._bridge.table(Trade),
            "trades_live": self._bridge.live(Trade),
            "limits_live": self._bridge.live(Limit),
        }

    def close(self) -> None:
        """Write what the desk has traded, and let go of the store."""
        self._opened.close()


def first_limits(desk: Desk) -> list[Limit]:
    """Return limits for each book of the desk, a little above what it holds, in USD.

    Args:
        desk: The desk, with its positions.
    """
    marks, _ = desk.mark(desk.start, everything=True)
    value = np.nan_to_num(marks.market_value * marks.fx_rate)
    books = np.array([desk.values.books[place] for place in marks.book], dtype=object)
    limits = []
    for book in BOOKS:
        held = value[books == book]
        gross = max(float(np.abs(held).sum()), _LEAST_EXPOSURE)
        net = max(abs(float(held.sum())), gross / 4)
        levels = {
            "gross_exposure": (_WARN * gross, _STOP * gross),
            "net_exposure": (_NET_WARN * net, _NET_STOP * net),
            "loss": (_LOSS_WARN * gross, _LOSS_STOP * gross),
        }
        limits += [Limit(book, metric, _round(warn), _round(stop)) for metric, (warn, stop) in levels.items()]
    return limits


def _round(level: float) -> float:
    return float(f"{level:.3g}")
