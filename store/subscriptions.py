"""Events as they happen: in this process over an `EventBus`, from other processes through a `SubscriptionListener`."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple

from typing_extensions import Self

from store.connection import run_named
from store.conninfo import conninfo
from store.errors import StoreError
from store.events import Callback, ChangeEvent, EventBus
from store.log_reader import LogReader, LogRow

__all__ = ["Callback", "ChangeEvent", "EventBus", "Lag", "LogReader", "LogRow", "SubscriptionListener"]

logger = logging.getLogger(__name__)

CHECKPOINT_EVENTS = 100


class Lag(NamedTuple):
    """How far a listener is behind: events not yet delivered, and the age of the oldest of them in seconds."""

    events: int
    seconds: float


class SubscriptionListener:
    """Feeds a bus with the events of every process, in commit-safe order, each at least once.

    With a `subscriber_id` the listener keeps a checkpoint in the database, moved only after the callbacks returned:
    after a crash or a restart it goes on where it was, and may repeat the last events (at most 100). The first start
    of a `subscriber_id` begins at the events committed from then on, or at the log's beginning if asked.
    Without one, every start begins at the events committed from then on.

    The listener sees what its user may read. It reconnects by itself. A slow callback slows only its own listener.

    Args:
        event_bus: The bus to feed; callbacks run in the listener's thread.
        host: The server's host, or the directory of its socket.
        port: The server's port.
        dbname: The database.
        user: The user's login.
        password: The user's password.
        subscriber_id: The name of the checkpoint; None keeps none.
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
        self._bus = event_bus
        self._conninfo = conninfo(user, password, host, port, dbname, sslmode, sslrootcert)
        self._subscriber_id = subscriber_id
        self._from_beginning = from_beginning
        self._poll_seconds = poll_seconds
        self._types = None if types is None else [t if isinstance(t, str) else t.type_name() for t in types]  # type: ignore[attr-defined]
        self._reader: LogReader | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Begin to deliver. Every event that commits after this call returns is delivered.

        Raises:
            ConnectionLost: The server cannot be reached, or refused the login.
            StoreError: The listener runs already.
        """
        if self._thread is not None:
            raise StoreError("this listener runs already")
        reader = LogReader(self._conninfo, types=self._types, poll_seconds=self._poll_seconds)
        try:
            reader.position = self._first_position(reader)
        except BaseException:
            reader.close()
            raise
        self._reader = reader
        name = f"store-listener-{self._subscriber_id or self._conninfo['user']}"
        self._thread = threading.Thread(target=self._deliver, args=(reader,), name=name, daemon=True)
        self._thread.start()
        return self

    def stop(self, timeout: float | None = 10.0) -> None:
        """End after the event that is being delivered, and keep the checkpoint.

        Args:
            timeout: Seconds to wait for a callback to return; None waits as long as it takes.

        Raises:
            StoreError: A callback did not return in time. The thread ends when it does.
        """
        thread, reader = self._thread, self._reader
        if thread is None or reader is None:
            return
        reader.stop()
        if thread is not threading.current_thread():
            thread.join(timeout)
            if thread.is_alive():
                raise StoreError(f"a callback did not return within {timeout} s; the listener stops when it does")
            reader.close()
        self._thread = self._reader = None

    def lag(self) -> Lag:
        """Return how far behind the newest committed event the callbacks are. Costs one query.

        Raises:
            StoreError: The listener does not run.
        """
        if self._reader is None:
            raise StoreError("this listener does not run: call start()")
        probe = LogReader(self._conninfo)
        try:
            events, seconds = run_named(probe.connect(), "log_lag", [self._reader.position, self._types])[0]
        finally:
            probe.close()
        return Lag(int(events), float(seconds))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _first_position(self, reader: LogReader) -> int:
        if self._subscriber_id is not None:
            rows = run_named(reader.connect(), "read_checkpoint", [self._subscriber_id])
            if rows:
                return int(rows[0][0])
        if not self._from_beginning:
            reader.seek_end()
        self._save(reader, reader.position)
        return reader.position

    def _deliver(self, reader: LogReader) -> None:
        for rows in reader.follow():
            for number, row in enumerate(rows, start=1):
                if reader.stopped:
                    self._save(reader, reader.position)
                    return
                meta = row.metadata
                self._bus.emit(
                    ChangeEvent(
                        meta.entity_id,
                        meta.version,
                        meta.event_type,
                        row.type_name,
                        meta.updated_by,
                        meta.state,
                        meta.tx_time,
                        meta.valid_from,
                    )
                )
                reader.position = row.seq
                if number % CHECKPOINT_EVENTS == 0 or number == len(rows):
                    self._save(reader, row.seq)

    def _save(self, reader: LogReader, position: int) -> None:
        """Move the checkpoint; where the server is away, the events since the last one will come again."""
        if self._subscriber_id is None:
            return
        try:
            run_named(reader.connect(), "save_checkpoint", [self._subscriber_id, position], changing=True)
        except StoreError as error:
            logger.warning("subscriber %r keeps its old checkpoint: %s", self._subscriber_id, error)
