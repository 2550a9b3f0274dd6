"""Events as they happen: in this process over an `EventBus`, from other processes through a `SubscriptionListener`."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple

from typing_extensions import Self

from store.checkpoint import Checkpoint, require_subscriber_id
from store.conninfo import conninfo, login_shown
from store.errors import StoreError, shown
from store.events import Callback, ChangeEvent, ErrorCallback, EventBus, name_of
from store.log_reader import LogReader, is_poll_interval
from store.log_rows import LogRow, Position

__all__ = [
    "Callback",
    "ChangeEvent",
    "ErrorCallback",
    "EventBus",
    "Lag",
    "ListenerStats",
    "LogReader",
    "LogRow",
    "SubscriptionListener",
]

logger = logging.getLogger(__name__)

CHECKPOINT_EVENTS = 100
CHECKPOINT_SECONDS = 0.05
# A checkpoint moves past so much of what its user may not see, even where no event is delivered.
CHECKPOINT_PLACES = 50_000
LOOK_SECONDS = 0.1
RETRY_SECONDS = 1.0


class Lag(NamedTuple):
    """How far a listener is behind.

    Attributes:
        events: How many committed events its callbacks have not had yet.
        seconds: For how long the oldest of them has been committed, 0.0 where there is none.
    """

    events: int
    seconds: float


class ListenerStats(NamedTuple):
    """What a listener has done since it was started last.

    Attributes:
        delivered: Events whose callbacks have returned.
        backfilled: Those of them that came from the past, with a grant.
        reconnects: How often its connection broke, or could not be opened.
        position: The place in the log that it has read up to.
        checkpoint: The place from which it would go on after a crash.
    """

    delivered: int
    backfilled: int
    reconnects: int
    position: int
    checkpoint: int


class SubscriptionListener:
    """Feeds a bus with the events of every process, in commit-safe order, each at least once.

    With a `subscriber_id` the listener keeps a checkpoint in the database, moved only after the callbacks returned:
    after a crash or a restart it goes on where it was, and repeats at most the last 100 events. The first start of a
    `subscriber_id` begins at the events committed from then on, or at the log's beginning if asked. A second listener
    with the same user and `subscriber_id` takes over, and the first one stops. Without a `subscriber_id`, every start
    begins at the events committed from then on.

    The listener sees what its user may read. An entity that comes into view later, because it is shared with the user
    or with one of its groups, or because the user joins a group, arrives with its history first, marked as `backfill`;
    one that is withdrawn arrives no more.

    A callback that raises is reported (see `EventBus`); the event counts as delivered and the next one follows. The
    listener reconnects by itself. A slow callback slows only its own listener.

    Args:
        event_bus: The bus to feed; callbacks run in the listener's thread.
        host: The server's host, or the directory of its socket.
        port: The server's port.
        dbname: The database.
        user: The user's login.
        password: The user's password.
        subscriber_id: The name of the checkpoint, for this user; None keeps none.
        types: Type names or classes to deliver; None delivers all.
        from_beginning: Where a listener without checkpoint begins: at the log's beginning, or at its end.
        poll_seconds: How long a lost hint can delay an event.
        sslmode: As in libpq; see `StoreClient`.
        sslrootcert: Likewise.

    Example:
        >>> listener = SubscriptionListener(bus, host=host, port=port, dbname=dbname, user="bob", password="bob_pw",
        ...                                 subscriber_id="risk_engine")
        >>> listener.start()
    """

    def __init__(
        self,
        event_bus: EventBus,
        host: str,
        port: int | str,
        dbname: str,
        user: str,
        password: str,
        subscriber_id: str | None = None,
        *,
        types: Iterable[str | type] | None = None,
        from_beginning: bool = False,
        poll_seconds: float = 1.0,
        sslmode: str | None = None,
        sslrootcert: str | os.PathLike[str] | None = None,
    ) -> None:
        """Connect nothing before `start`."""
        if not isinstance(event_bus, EventBus):  # every event would count as delivered, to nobody
            raise StoreError(f"event_bus takes an EventBus, not {shown(event_bus)}")
        if isinstance(types, (str, type)):
            raise StoreError(f"types takes a list: write types=[{types!r}]")
        self._types = None if types is None else [name_of(item) for item in types]
        if self._types == []:
            raise StoreError("types is empty, so that nothing would be delivered: leave it out to have all types")
        if not is_poll_interval(poll_seconds):
            raise StoreError(
                f"poll_seconds takes a number of seconds above 0, of an hour at most, not {shown(poll_seconds)}"
            )
        self._bus = event_bus
        self._conninfo = conninfo(user, password, host, port, dbname, sslmode, sslrootcert)
        self._subscriber_id = None if subscriber_id is None else require_subscriber_id(subscriber_id)
        self._from_beginning = from_beginning
        self._poll_seconds = poll_seconds
        self._starting = threading.Lock()
        self._reader: LogReader | None = None
        self._last: tuple[LogReader, Checkpoint] | None = None
        self._delivered = self._backfilled = 0
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    @property
    def running(self) -> bool:
        """Whether the listener delivers, from `start` on until it is stopped or another one takes over."""
        return self._thread is not None and self._thread.is_alive() and self._process == os.getpid()

    def start(self) -> Self:
        """Begin to deliver. Every event that commits after this call returns is delivered.

        Raises:
            ConnectionLost: The server cannot be reached, or refused the login.
            StoreError: The listener runs already.
        """
        with self._starting:
            if self.running:
                assert self._reader is not None
                if not self._reader.stopped:
                    raise StoreError("this listener runs already")
                self.stop()
            if self.running:
                raise StoreError("this listener is just stopping: a callback that stopped it cannot start it again")
            reader = LogReader(self._conninfo, types=self._types, poll_seconds=self._poll_seconds)
            try:
                checkpoint = Checkpoint(reader, self._subscriber_id)
                if not self._from_beginning and not checkpoint.exists():
                    reader.seek_end()
                reader.position = checkpoint.claim(reader.position)
            except BaseException:
                reader.close()
                raise
            self._reader, self._process = reader, os.getpid()
            self._last, self._delivered, self._backfilled = (reader, checkpoint), 0, 0
            name = f"store-listener-{self._subscriber_id or self._conninfo['user']}"
            self._thread = threading.Thread(target=self._run, args=(reader, checkpoint), name=name, daemon=True)
            self._thread.start()
        return self

    def stop(self, timeout: float | None = 10.0) -> None:
        """End after the event that is being delivered, and keep the checkpoint. A listener can be started again.

        A server that does not answer is waited for some seconds; the checkpoint then stays where it was.

        Called by a callback, it returns at once and the listener ends when the callback has returned.

        Args:
            timeout: Seconds to wait for a callback to return; None waits as long as it takes.

        Raises:
            StoreError: A callback did not return in time. The listener ends when it does.
        """
        thread, reader = self._thread, self._reader
        if thread is None or reader is None:
            return
        if (
            self._process == os.getpid()
        ):  # in a forked child there is no such thread, and the connection is the parent's
            reader.stop()
            if thread is threading.current_thread():
                return
            reader.join(thread, timeout)
            if thread.is_alive():
                raise StoreError(f"a callback did not return within {timeout} s; the listener ends when it does")
        self._thread = self._reader = None

    def lag(self) -> Lag:
        """Return how far behind the newest committed event the callbacks are. Costs one query.

        Raises:
            StoreError: The listener does not run.
            ConnectionLost: The server cannot be reached, or has not answered the listener for some seconds.
        """
        reader = self._reader
        if reader is None or not self.running:
            raise StoreError("this listener does not run: call start()")
        return Lag(*reader.lag())

    def stats(self) -> ListenerStats:
        """Return what the listener has done since it was started last. Costs no query.

        Raises:
            StoreError: The listener was never started.
        """
        if self._last is None:
            raise StoreError("this listener was never started: call start()")
        reader, checkpoint = self._last
        saved, at = checkpoint.saved.seq, reader.position.seq
        return ListenerStats(self._delivered, self._backfilled, reader.reconnects, at, saved)

    def __repr__(self) -> str:
        name = "" if self._subscriber_id is None else f" {self._subscriber_id!r}"
        return f"<SubscriptionListener{name}: {login_shown(self._conninfo)}>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self, reader: LogReader, checkpoint: Checkpoint) -> None:
        try:
            while not reader.stopped:
                try:
                    if not self._deliver(reader, checkpoint):
                        return
                except Exception:
                    place = reader.position.seq
                    told = "the listener stumbles at position %d; trying again"
                    logger.exception(told, place, extra={"subscriber": self._subscriber_id, "position": place})
                    reader.pause(RETRY_SECONDS)
        finally:
            reader.close()

    def _deliver(self, reader: LogReader, checkpoint: Checkpoint) -> bool:
        """Deliver until the listener is stopped; return False when another one has taken over."""
        if not self._move(checkpoint, reader.position):
            return False
        unsaved, moved = 0, time.monotonic()
        for rows in reader.follow(empty=True):
            for row in rows:
                if reader.stopped or not self._emit(reader, row):
                    break
                reader.position = row.position
                unsaved += 1
                if unsaved == CHECKPOINT_EVENTS:
                    if not self._move(checkpoint, row.position):
                        return False
                    unsaved, moved = 0, time.monotonic()
            # At once when there is a pause; in full flow now and then, since each move is a commit of its own.
            idle = not rows and not reader.waits
            due = unsaved > 0 and (idle or time.monotonic() - moved > CHECKPOINT_SECONDS)
            if due or reader.position.seq - checkpoint.saved.seq > CHECKPOINT_PLACES:
                if not self._move(checkpoint, reader.position):
                    return False
                unsaved, moved = 0, time.monotonic()
            if reader.stopped:
                break
        return self._move(checkpoint, reader.position)

    def _emit(self, reader: LogReader, row: LogRow) -> bool:
        """Deliver one event; return False if the listener was stopped before all its callbacks had returned."""
        meta = row.metadata
        event = ChangeEvent(
            meta.entity_id,
            meta.version,
            meta.event_type,
            row.type_name,
            meta.updated_by,
            meta.state,
            meta.tx_time,
            meta.valid_from,
            row.granted_at > 0,
        )
        try:
            self._bus.emit(event)
        except BaseException:  # sys.exit() in a callback, say: this thread is not the callback's to end
            logger.exception("a callback tried to end the listener on %s of %s", event.event_type, event.entity_id)
        # Another thread may have been first: the checkpoint must not pass an event whose callbacks still run.
        while not self._bus.await_settled(event, LOOK_SECONDS):
            if reader.stopped:
                return False
        self._delivered += 1
        self._backfilled += event.backfill
        return True

    def _move(self, checkpoint: Checkpoint, position: Position) -> bool:
        if checkpoint.move(position):
            return True
        facts = {"subscriber": self._subscriber_id}
        logger.error("another listener has taken over subscriber %r: this one ends", self._subscriber_id, extra=facts)
        return False
