"""The desk's trades in the store: those that it writes, and those that anybody writes, corrects or deletes."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime

from bridge.schedule import DueChanges
from bridge.view import View
from server.desk import Fill, moment
from server.errors import TradeLeftOut
from server.positions import Execution, PositionBook, PositionKey, execution_of
from store.client import StoreClient
from store.errors import ConnectionLost, RegistryError, StoreError
from store.log_rows import BEGINNING, LogRow
from store.models import Trade
from store.reading import object_of

__all__ = ["TradeFeed", "TradeWriter", "trade_of"]

_log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.25  # how long trades are gathered into one batch
_MOST_WAITING = 10_000
_MOST_REFUSED = 20  # trades in a row: then the desk gives up
_MOST_TOLD = 100  # trades left out that are named: anybody may write such
_FIRST_RETRY, _LAST_RETRY = 0.1, 5.0  # seconds


class TradeFeed:
    """Follows the log's trades into positions: `bridge.follower.Follower` delivers to it.

    Args:
        positions: Where they go.
    """

    def __init__(self, positions: PositionBook) -> None:
        self.type_name = Trade.type_name()
        self.position = BEGINNING
        self.due_changes = DueChanges()
        self.view = View()
        self.lock = threading.Lock()
        self._positions = positions
        self._left_out: set[str] = set()

    def deliver(self, rows: Sequence[LogRow]) -> bool:
        """Take events over, each once; return whether the first of the changes ahead is a new one."""
        sooner = False
        for row in rows:
            if row.position > self.position:
                self.position = row.position
                if self.view.knows(row) and not self.view.brings_back(row):
                    continue
                sooner = self.due_changes.note(row.metadata.entity_id, row.due) or sooner
                self._put(row)
                self.view.note(row)
        return sooner

    def deliver_due(self, rows: Sequence[LogRow]) -> None:
        """Take over what trades have become without an event."""
        for row in rows:
            self._put(row)

    def begin_again(self) -> None:
        """Expect the log once more from its beginning: the reader now sees what it did not see then."""
        self.view.begin_again(self.position.seq)
        self.position = BEGINNING

    def withdraw(self, entities: Sequence[str]) -> None:
        """Count no more what the reader may no longer read."""
        for entity_id in entities:
            self.view.withdraw(entity_id)
            self.due_changes.note(entity_id, None)
            self._positions.put(entity_id, None)

    def _put(self, row: LogRow) -> None:
        entity_id = row.metadata.entity_id
        execution: Execution | None = None
        if row.data is not None:
            try:
                execution = execution_of(object_of(Trade, row.metadata, row.data))
            except (TradeLeftOut, RegistryError) as error:
                self._tell(entity_id, error)
        self._positions.put(entity_id, execution)

    def _tell(self, entity_id: str, error: Exception) -> None:
        if entity_id in self._left_out or len(self._left_out) >= _MOST_TOLD:
            return
        self._left_out.add(entity_id)
        _log.warning("%s", error if isinstance(error, TradeLeftOut) else TradeLeftOut(entity_id, str(error)))
        if len(self._left_out) == _MOST_TOLD:
            _log.warning("%d trades are left out of the positions; further ones are not named", _MOST_TOLD)


class TradeWriter:
    """Writes the desk's trades in batches, in a thread of its own, so that no tick waits for the database.

    A batch whose connection broke is written again under the same key, so that it is there once. While the store is
    away trades wait; when too many do, the desk stops trading. A trade that the store refuses is told and dropped, and
    its position goes on awaiting it: nothing tries the same again and again.

    Args:
        client: The desk's client.
        positions: Where the trades come back.

    Attributes:
        failure: Why nothing is written any more; None while there is nothing of the kind.
    """

    def __init__(self, client: StoreClient, positions: PositionBook) -> None:
        self.failure: StoreError | None = None
        self._client = client
        self._positions = positions
        self._changed = threading.Condition()
        self._waiting: deque[Fill] = deque()
        self._unwritten: Counter[PositionKey] = Counter()
        self._written: dict[str, PositionKey] = {}  # by entity, until the positions know it
        self._stopping = threading.Event()
        self._run_key = secrets.token_hex(8)
        self._batches = 0
        self._refused = 0  # in a row
        self._thread = threading.Thread(target=self._run, name="desk-trades", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def take(self, fills: Sequence[Fill]) -> None:
        """Take trades over."""
        with self._changed:
            self._waiting.extend(fills)
            self._unwritten.update(fill.key for fill in fills)
            self._changed.notify_all()

    def is_awaited(self, key: PositionKey) -> bool:
        """Say whether a trade was taken over that the positions do not show yet."""
        with self._changed:
            self._written = {
                entity: found for entity, found in self._written.items() if not self._positions.knows(entity)
            }
            return self._unwritten[key] > 0 or key in self._written.values()

    @property
    def is_full(self) -> bool:
        """Whether the desk had better stop trading."""
        return self.failure is not None or len(self._waiting) >= _MOST_WAITING

    def write(self, fills: Sequence[Fill]) -> None:
        """Write trades at once, all or none.

        Raises:
            StoreError: The store does not take them.
        """
        trades = [trade_of(fill) for fill in fills]
        self._batches += 1
        entities = self._client.write_many(trades, idempotency_key=f"desk-{self._run_key}-{self._batches}")
        with self._changed:
            self._written |= {entity: fill.key for entity, fill in zip(entities, fills, strict=True)}

    def stop(self) -> None:
        """Write what waits, if the store takes it, and end."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
                if not self._waiting:
                    return
            self._stopping.wait(_GATHER_SECONDS)
            with self._changed:
                batch = list(self._waiting)
            try:
                self._write_surely(batch)
                self._done(batch)
            except StoreError:
                for fill in batch:
                    self._write_alone(fill)
            if self.failure is not None:
                return

    def _write_alone(self, fill: Fill) -> None:
        try:
            self._write_surely([fill])
            self._done([fill])
        except StoreError as error:
            _log.error("the store does not take a trade of the desk in %s: %s", fill.key.contract.name, error)
            self._refused += 1
            with self._changed:
                self._waiting.popleft()
            if self._refused == _MOST_REFUSED:
                _log.error("the desk stops trading: the store does not take its trades")
                self.failure = error

    def _done(self, fills: Sequence[Fill]) -> None:
        self._refused = 0
        with self._changed:
            for fill in fills:
                self._waiting.popleft()
                self._unwritten[fill.key] -= 1
            self._unwritten += Counter()  # drops what has come to nothing

    def _write_surely(self, batch: Sequence[Fill]) -> None:
        pause, batches, told = _FIRST_RETRY, self._batches, ""
        while True:
            try:
                self._batches = batches  # the same key again
                self.write(batch)
                if told:
                    _log.warning("the store takes the desk's trades again")
                return
            except ConnectionLost as error:
                if self._stopping.is_set():
                    _log.error("%d trades of the desk are lost: %s", len(batch), error)
                    return
                if str(error) != told:
                    told = str(error)
                    _log.warning("trades of the desk wait for the store: %s", error)
                self._stopping.wait(pause)
                pause = min(2 * pause, _LAST_RETRY)


def trade_of(fill: Fill) -> Trade:
    """Return the stored form of a trade of the desk.

    Example:
        >>> trade_of(fill).side
        'BUY'
    """
    executed: datetime = moment(fill.time)
    contract = fill.key.contract
    return Trade(
        symbol=contract.symbol,
        quantity=abs(fill.quantity),
        price=fill.price,
        side="BUY" if fill.quantity > 0 else "SELL",
        currency=fill.key.currency,
        trader_name="simulated desk",
        book=fill.key.book,
        strategy=fill.strategy,
        trade_date=executed.date(),
        timestamp=executed,
        option_type=contract.option_type,
        strike=contract.strike,
        expiry_date=contract.expiry_date,
    )
