"""The past again: a stretch of the log played into ticking tables, at a speed of one's choosing."""

from __future__ import annotations

import heapq
import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import Self

from bridge.errors import BridgeError
from bridge.feed import Feed
from store.base import Metadata, Storable
from store.connection import PooledConnection, connect, join, run_named
from store.errors import ConnectionLost
from store.items import require_instant
from store.log_rows import LogRow, read_between

if TYPE_CHECKING:
    from deephaven.table import Table

    from reactive.expr import Expr

__all__ = ["Replay"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BATCH = 2_000
_LONGEST_STEP = 0.05  # seconds between two looks at the clock, so that `stop` and a dense stretch are both served
_RETRY = 1.0  # seconds
_INSTANT = timedelta(microseconds=1)
_FIRST = datetime.min.replace(tzinfo=timezone.utc)
_FASTEST = 1e300  # an int may be more than a float can be


class Replay:
    """One type's events of a past stretch, written into tables at the pace at which they were recorded.

    `live` begins with what was there just before the stretch and shows, at each moment played, what `as_of` returns
    for it, scheduled changes that fell due included. `table` has one row for each event of the stretch.
    Made by `StoreBridge.replay`.

    Args:
        conninfo: Keyword arguments of `psycopg2.connect`.
        cls: The type.
        start: The stretch's first moment.
        end: The moment after its last; what can still change is left out, so that a replay can be repeated. None
            plays all that is there.
        speed: Seconds of the past for each second; infinity plays as fast as the tables take it.
        filter: As for `StoreBridge.register`.
        columns: Likewise.

    Raises:
        BridgeError: The stretch is empty, or the speed is not positive.
        InvalidRange: A moment has no time zone.
        ConnectionLost: The server cannot be reached.

    Attributes:
        start: The stretch's first moment.
        end: The moment after its last.
    """

    def __init__(
        self,
        conninfo: dict[str, Any],
        cls: type[Storable],
        start: datetime,
        end: datetime | None,
        speed: float,
        *,
        filter: Expr | None = None,
        columns: Iterable[str] | None = None,
    ) -> None:
        first, last = require_instant("start", start), require_instant("end", end)
        if first is None:
            raise BridgeError("start=None: say from which moment on to play")
        if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not speed > 0:
            raise BridgeError(f"speed={speed!r}: it must be a positive number of seconds of the past for each second")
        self._conninfo = conninfo
        self._speed = math.inf if speed > _FASTEST else float(speed)
        self._feed = Feed(cls, filter=filter, columns=columns)
        self._conn: PooledConnection | None = connect(conninfo)
        stable: datetime = run_named(self._conn, "stable_time")[0][0]
        self.start = first
        self.end = stable + _INSTANT if last is None else min(last, stable + _INSTANT)
        if self.start >= self.end:
            self._conn.close()
            raise BridgeError(
                f"nothing to play: the stretch from {self.start.isoformat()} to {self.end.isoformat()} is empty"
            )
        self._position, self._upto = run_named(self._conn, "stretch", [self.start, self.end])[0]
        self._events: deque[LogRow] = deque()
        self._ahead: list[tuple[datetime, str]] = []
        self._moment = self.start
        self._failure: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-replay", daemon=True)
        self._feed.open()
        self._thread.start()

    @property
    def table(self) -> Table:
        """The events of the stretch as they are played, append-only."""
        assert self._feed.raw is not None
        return self._feed.raw

    @property
    def live(self) -> Table:
        """The entities as they were at the moment that is played."""
        return self._feed.live

    @property
    def moment(self) -> datetime:
        """The moment of the past up to which everything is played."""
        return self._moment

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the stretch is played and visible in the tables.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Returns:
            Whether it is; False also after `stop`.

        Raises:
            BridgeError: The replay failed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._thread.join(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        if self._failure is not None:
            raise BridgeError(f"the replay stopped at {self._moment.isoformat()}: {self._failure}") from self._failure
        if self._thread.is_alive() or self._moment < self.end:
            return False
        return self._feed.wait_visible(None if deadline is None else max(deadline - time.monotonic(), 0.0))

    def stop(self) -> None:
        """End the replay where it is. The tables stay."""
        self._stopping.set()
        if self._thread is not threading.current_thread():
            join(self._thread, lambda: self._conn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._open()
            began = time.monotonic()
            while not self._stopping.is_set() and self._moment < self.end:
                self._play(self._clock(time.monotonic() - began))
                if self._moment < self.end:
                    self._stopping.wait(self._pause(time.monotonic() - began))
        except Exception as error:
            logger.exception("the replay of %s stops at %s", self._feed.type_name, self._moment)
            self._failure = error
        finally:
            self._disconnect()

    def _clock(self, elapsed: float) -> datetime:
        """Return the moment to which the past has come after some seconds."""
        if math.isinf(self._speed) or elapsed * self._speed >= (self.end - self.start).total_seconds():
            return self.end
        return self.start + timedelta(seconds=elapsed * self._speed)

    def _pause(self, elapsed: float) -> float:
        if math.isinf(self._speed):
            return 0.0
        ahead = (self._next_moment() - self.start).total_seconds() / self._speed - elapsed
        return min(max(ahead, 0.0), _LONGEST_STEP)

    def _open(self) -> None:
        """Show what was there just before the stretch, and learn what it was to become without an event."""
        type_name = self._feed.type_name
        if self.start > _FIRST:
            self._feed.deliver_due(self._states("all_objects_at", type_name, self.start - _INSTANT))
        self._ahead = [(moment, entity_id) for entity_id, moment in self._fetch("changes_ahead", type_name, self.start)]
        heapq.heapify(self._ahead)

    def _play(self, moment: datetime) -> None:
        """Play everything from where the replay is up to a moment, in the order in which it happened."""
        while not self._stopping.is_set():
            following = self._next_moment()
            if following > moment or following >= self.end:
                self._moment = moment
                return
            if self._ahead and self._ahead[0][0] <= following:
                self._show_due(following)
            else:
                # Events that nothing scheduled lies between go together.
                limit = min(moment, self._ahead[0][0]) if self._ahead else moment
                self._deliver(limit)
            self._moment = following

    def _next_moment(self) -> datetime:
        self._fill()
        event = self._events[0].metadata.tx_time if self._events else None
        moments = [*([event] if event else []), *([self._ahead[0][0]] if self._ahead else [])]
        # An event committed late carries a time before those of events ahead of it in the log.
        return max(min(moments, default=self.end), self._moment)

    def _show_due(self, moment: datetime) -> None:
        entities = set()
        while self._ahead and self._ahead[0][0] <= moment:
            entities.add(heapq.heappop(self._ahead)[1])
        self._feed.deliver_due(self._states("objects_at", self._feed.type_name, sorted(entities), moment))

    def _deliver(self, limit: datetime) -> None:
        rows = []
        while self._events and self._events[0].metadata.tx_time <= limit:
            row = self._events.popleft()
            rows.append(row)
            for bound in (row.metadata.valid_from, row.metadata.valid_to):
                if bound is not None and bound > row.metadata.tx_time:
                    heapq.heappush(self._ahead, (bound, row.metadata.entity_id))
                    limit = min(limit, bound)
        self._feed.deliver(rows)

    def _fill(self) -> None:
        while not self._events and self._position < self._upto:
            rows = self._retrying(
                lambda conn: read_between(conn, self._position, self._upto, [self._feed.type_name], _BATCH, data=True)
            )
            self._position = rows[-1].seq if rows else self._upto
            self._events += [row for row in rows if self.start <= row.metadata.tx_time < self.end]

    def _states(self, name: str, *params: Any) -> list[LogRow]:
        return [
            LogRow(0, self._feed.type_name, Metadata(*row[:9]), {}, None if row[9] is None else json.loads(row[9]))
            for row in self._fetch(name, *params)
        ]

    def _fetch(self, name: str, *params: Any) -> list[tuple[Any, ...]]:
        return self._retrying(lambda conn: run_named(conn, name, params))

    def _retrying(self, read: Callable[[PooledConnection], T]) -> T:
        """Read what can no longer change, over lost connections."""
        while True:
            try:
                if self._conn is None:
                    self._conn = connect(self._conninfo)
                return read(self._conn)
            except ConnectionLost as error:
                self._disconnect()
                logger.warning("the replay waits for the server: %s; trying again", error)
                if self._stopping.wait(_RETRY):
                    raise

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()
