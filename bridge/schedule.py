"""What changes without an event: scheduled changes that begin, bounded ones that end, and rights that are withdrawn.

The log says nothing when a valid time arrives. So each event carries the moment at which its entity next changes by
itself; when that has come, the entity's present state is read and shown, together with the moment after that.

Nor does it say to whom something was withdrawn: by its owner, or because a group or a right to read everything is gone.
So the database is asked now and then what the user may read, and which entities of others still: the less often the
longer it takes.
"""

from __future__ import annotations

import heapq
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from bridge.view import View
from store.base import Metadata
from store.connection import PooledConnection, connect, join, run_named
from store.errors import ConnectionLost
from store.log_rows import LogRow, Position

__all__ = ["DueChanges", "LogFeed", "ScheduleWatcher"]

logger = logging.getLogger(__name__)

_ENTITIES_A_READ = 32  # each may be as large as an object can be, and the bridge holds them in memory together
_LONGEST_WAIT = 30.0  # seconds: a clock that was set forward is noticed by then
_RETRY = 1.0  # seconds
_ENTITIES_A_LOOK = 10_000
_LOOK_SECONDS = 1.0  # between two looks at what may still be read, or else
_LOOK_SHARE = 50  # so many times what one takes
# A moment that has come by this machine's clock but not by the server's is looked at again after this.
_CLOCKS_DIFFER = timedelta(milliseconds=20)


class DueChanges:
    """The moments at which entities of one type next change by themselves; safe to share between threads."""

    def __init__(self) -> None:
        self._moments: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many entities have a change ahead."""
        return len(self._moments)

    def note(self, entity_id: str, moment: datetime | None) -> bool:
        """Replace an entity's next moment; None when nothing is ahead. Return whether it is now the first of all."""
        with self._lock:
            if moment is None:
                self._moments.pop(entity_id, None)
                return False
            if self._moments.get(entity_id) == moment:
                return False
            self._moments[entity_id] = moment
            heapq.heappush(self._heap, (moment, entity_id))
            return self._heap[0] == (moment, entity_id)

    def first(self) -> datetime | None:
        """Return the first moment ahead."""
        with self._lock:
            self._drop_replaced()
            return self._heap[0][0] if self._heap else None

    def due(self, now: datetime, limit: int) -> list[str]:
        """Return entities whose moment has come; they stay until `note` is told of their next one."""
        with self._lock:
            found: list[tuple[datetime, str]] = []
            while len(found) < limit:
                self._drop_replaced()
                if not self._heap or self._heap[0][0] > now:
                    break
                found.append(heapq.heappop(self._heap))
            for item in found:
                heapq.heappush(self._heap, item)
            return list(dict.fromkeys(entity_id for _, entity_id in found))

    def _drop_replaced(self) -> None:
        while self._heap and self._moments.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)


class LogFeed(Protocol):
    """Where one type's events go.

    Attributes:
        type_name: The type.
        position: The place in the log of the last event delivered.
        due_changes: What will change without an event.
        view: What was delivered to the user, and may be withdrawn.
        lock: Held while events or due changes are delivered, so that the newest comes last.
    """

    type_name: str
    position: Position
    due_changes: DueChanges
    view: View
    lock: threading.Lock

    def deliver(self, rows: Sequence[LogRow]) -> bool:
        """Take events, each once however often it is given; return whether the first of the changes ahead is new."""

    def deliver_due(self, rows: Sequence[LogRow]) -> None:
        """Take what entities have become without an event."""

    def begin_again(self) -> None:
        """Expect the log once more from its beginning: the user now sees what it did not see then."""

    def withdraw(self, entities: Sequence[str]) -> None:
        """Take note that the user may no longer read some entities."""


class ScheduleWatcher:
    """Shows, in a thread of its own, what falls due in the live tables of some types.

    Args:
        conninfo: Keyword arguments of `psycopg2.connect`.
        feeds: The types.
        rights: Told each time whether the user reads everything.
    """

    def __init__(self, conninfo: dict[str, Any], feeds: Sequence[LogFeed], rights: Callable[[bool], None]) -> None:
        self._conninfo = conninfo
        self._feeds = list(feeds)
        self._rights = rights
        self._conn: PooledConnection | None = None
        self._changed = threading.Event()
        self._stopping = False
        self._next_look = 0.0  # on the monotonic clock
        self._told: dict[str, str] = {}  # the failure of each kind of work that was logged last
        self._thread = threading.Thread(target=self._run, name="store-bridge-schedule", daemon=True)

    def start(self) -> None:
        """Begin; connects when there is something to show."""
        self._thread.start()

    def wake(self) -> None:
        """Look again: some moment ahead is new."""
        self._changed.set()

    def stop(self) -> None:
        """End after the read under way, or once the server has not answered it for some seconds."""
        self._stopping = True
        self._changed.set()
        if self._thread is not threading.current_thread():
            join(self._thread, lambda: self._conn)

    def overdue(self, moment: datetime) -> bool:
        """Say whether something that fell due by a moment is not handed to the tables yet."""
        firsts = [feed.due_changes.first() for feed in self._feeds]
        return any(first is not None and first <= moment for first in firsts)

    def look_at_rights(self, conn: PooledConnection) -> None:
        """Ask what the user may read, and take out of the live tables what it no longer may."""
        reads_all = bool(run_named(conn, "reads_all")[0][0])
        self._rights(reads_all)
        for feed in () if reads_all else self._feeds:
            entities = _readable(feed)
            for begin in range(0, len(entities), _ENTITIES_A_LOOK):
                some = entities[begin : begin + _ENTITIES_A_LOOK]
                # No event may come in between: granted again, an entity would be taken out after it has come back.
                with feed.lock:
                    left = {entity for (entity,) in run_named(conn, "readable", [some])}
                    feed.withdraw([entity for entity in some if entity not in left])

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._changed.clear()
                wait = self._attempt(self._show_due)
                if not self._stopping:
                    wait = min(wait, self._attempt(self._look_if_time))
                self._changed.wait(wait)
        finally:
            self._disconnect()

    def _attempt(self, work: Callable[[], float]) -> float:
        """Do something that needs the server. Return how many seconds to wait for the next time."""
        told = self._told.get(work.__name__)
        try:
            wait = work()
        except Exception as error:
            # A failure may come again every second, for days.
            if repr(error) != told:
                self._told[work.__name__] = repr(error)
                if isinstance(error, ConnectionLost):
                    logger.warning("changes without an event wait for the server: %s; trying again", error)
                else:
                    logger.exception("changes without an event cannot be shown; trying again")
            self._disconnect()
            return _RETRY
        if told is not None:
            del self._told[work.__name__]
            logger.warning("changes without an event are shown again")
        return wait

    def _look_if_time(self) -> float:
        """Look at the user's rights, if it is time. Return how many seconds to wait for the next look."""
        begin = time.monotonic()
        if begin >= self._next_look:
            self.look_at_rights(self._connection())
            took = time.monotonic() - begin
            self._next_look = begin + took + max(_LOOK_SECONDS, _LOOK_SHARE * took)
        return max(self._next_look - time.monotonic(), 0.0)

    def _show_due(self) -> float:
        """Show what is due. Return how many seconds to wait for the next."""
        now = datetime.now(timezone.utc)
        for feed in self._feeds:
            while not self._stopping and (entities := feed.due_changes.due(now, _ENTITIES_A_READ)):
                self._show(feed, entities)
        ahead = [moment for feed in self._feeds if (moment := feed.due_changes.first()) is not None]
        if not ahead:
            return _LONGEST_WAIT
        return min(max((min(ahead) - datetime.now(timezone.utc)).total_seconds(), 0.0), _LONGEST_WAIT)

    def _show(self, feed: LogFeed, entities: list[str]) -> None:
        # No event may come between the reading and the showing: it would be newer, and be overwritten.
        with feed.lock:
            rows = self._read(feed.type_name, entities)
            feed.deliver_due(rows)
            soonest = datetime.now(timezone.utc) + _CLOCKS_DIFFER
            ahead = {row.metadata.entity_id: row.due for row in rows}
            for entity_id, moment in ahead.items():
                feed.due_changes.note(entity_id, None if moment is None else max(moment, soonest))
            feed.withdraw([entity_id for entity_id in entities if entity_id not in ahead])

    def _read(self, type_name: str, entities: list[str]) -> list[LogRow]:
        rows = run_named(self._connection(), "objects_now", [type_name, entities])
        return [
            LogRow(0, type_name, Metadata(*row[:9]), {}, None if row[9] is None else json.loads(row[9]), row[10])
            for row in rows
        ]

    def _connection(self) -> PooledConnection:
        if self._conn is None:
            self._conn = connect(self._conninfo)
        return self._conn

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()


def _readable(feed: LogFeed) -> list[str]:
    with feed.lock:
        return feed.view.readable()
