"""One reader of the log, and the types that it serves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bridge.errors import BridgeError, WriterFailed
from bridge.schedule import LogFeed, ScheduleWatcher
from store.connection import PooledConnection, run_named
from store.errors import StoreError
from store.log_reader import LogReader
from store.log_rows import BEGINNING, LogRow, Position
from store.subscriptions import Lag

__all__ = ["Follower", "log_end", "wait_current"]

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 0.002
_NO_POSITION = 2**62  # beyond any position: asks for the log's end, not for a safe read


class Follower:
    """One reader of the log and the feeds that it serves.

    Args:
        conninfo: Keyword arguments of `psycopg2.connect`.
        feeds: The feeds.
        subscriber_id: The name of a checkpoint to move; None moves none.
        poll_seconds: How long a lost hint can delay an event.
        peers: The others that move the same checkpoint, which is where the last of them is.
    """

    def __init__(
        self,
        conninfo: dict[str, Any],
        feeds: Sequence[LogFeed],
        subscriber_id: str | None,
        poll_seconds: float,
        peers: Sequence[Follower] = (),
    ) -> None:
        self._peers = peers
        self._feeds = {feed.type_name: feed for feed in feeds}
        self._user: str = conninfo["user"]
        self._subscriber_id = subscriber_id
        self._reader = LogReader(conninfo, types=list(self._feeds), data=True, poll_seconds=poll_seconds, ahead=True)
        self._reader.position = min(feed.position for feed in feeds)
        self.schedule = ScheduleWatcher(conninfo, feeds, self._note_rights)
        self._rights = threading.Lock()  # held to compare what the user may read with what it might
        self._gained = threading.Event()
        self._failure: BridgeError | None = None
        self._stopping = threading.Event()
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="store-bridge", daemon=True)

    @property
    def position(self) -> Position:
        """The place in the log up to which everything is delivered."""
        return self._reader.position

    @property
    def silence(self) -> float:
        """For how many seconds the store has not told all there is: it is away, or a transaction holds the log up."""
        return time.monotonic() - self._heard

    def lag(self, conn: PooledConnection) -> Lag:
        """Return how far behind the newest committed event it is, asked on another connection."""
        events, seconds = run_named(conn, "log_lag", [*self.position, list(self._feeds)])[0]
        return Lag(int(events), float(seconds))

    def start(self) -> None:
        """Connect, and begin."""
        for feed in self._feeds.values():
            feed.view.reader = self._user
        try:
            self.ask_rights(self._reader.connect())
        except BaseException:
            self._reader.close()
            raise
        self._thread.start()
        self.schedule.start()

    def stop(self) -> None:
        """End after the batch under way, or once the server has not answered for some seconds."""
        self._stopping.set()
        self._reader.stop()
        self.schedule.stop()  # first: while it waits for the server, it lets no event of the type be delivered
        if self._thread is not threading.current_thread():
            self._reader.join(self._thread)
            self._reader.close()

    def is_current(self, end: int, moment: datetime) -> bool:
        """Say whether everything up to a place in the log, and all that fell due by a moment, is delivered.

        Raises:
            BridgeError: It has ended.
        """
        self.check()
        return not self._gained.is_set() and self.position.seq >= end and not self.schedule.overdue(moment)

    def ask_rights(self, conn: PooledConnection) -> None:
        """Ask on another connection whether the user reads everything."""
        self._note_rights(bool(run_named(conn, "reads_all")[0][0]))

    def check(self) -> None:
        """Raise what ended it, if anything did."""
        if self._failure is not None:
            raise BridgeError(f"the bridge has stopped: {self._failure}") from self._failure

    def _run(self) -> None:
        told: str | None = None  # the failure that was logged last: one may come again every second, for days
        while not self._stopping.is_set():
            try:
                if self._gained.is_set():
                    self._begin_again()
                for rows in self._reader.follow(empty=True):
                    if rows:
                        self._deliver(rows)
                        if told is not None:
                            logger.warning("the bridge goes on from position %d", self.position.seq)
                            told = None
                    if not self._reader.waits:
                        self._heard = time.monotonic()
                    if self._gained.is_set():
                        break
            except Exception as error:
                if isinstance(error, BridgeError) and not isinstance(error, WriterFailed):
                    logger.error("the bridge stops: %s", error)
                    self._failure = error
                    return
                # Feeds take each event once, so what was delivered before the error does no harm when it comes again.
                if repr(error) != told:
                    told = repr(error)
                    logger.exception("the bridge stumbles at position %d: %s; trying again", self.position.seq, error)
                self._stopping.wait(_RETRY_SECONDS)

    def _note_rights(self, reads_all: bool) -> None:
        """Take note of whether the user reads everything: then all that it did not see before comes from the log."""
        views = [feed.view for feed in self._feeds.values()]
        with self._rights:
            gained = reads_all and any(view.reads_all is False for view in views)
            for view in views:
                view.reads_all = reads_all
        if gained:
            self._gained.set()
            self._reader.wake()

    def _begin_again(self) -> None:
        for feed in self._feeds.values():
            with feed.lock:
                feed.begin_again()
        self._reader.position = BEGINNING
        self._gained.clear()

    def _deliver(self, rows: list[LogRow]) -> None:
        by_type: dict[str, list[LogRow]] = {}
        if len(self._feeds) == 1:
            by_type = {rows[0].type_name: rows}
        else:
            for row in rows:
                by_type.setdefault(row.type_name, []).append(row)
        for type_name, found in by_type.items():
            feed = self._feeds[type_name]
            with feed.lock:
                sooner = feed.deliver(found)
            if sooner:
                self.schedule.wake()
        if self._subscriber_id is not None:
            others = [peer.position.seq for peer in self._peers if peer is not self]
            self._save_checkpoint(min([rows[-1].position.seq, *others]))

    def _save_checkpoint(self, position: int) -> None:
        assert self._subscriber_id is not None
        try:
            self._reader.fetch("save_checkpoint", self._subscriber_id, position, changing=True)
        except StoreError as error:
            logger.warning("bridge %r keeps its old checkpoint: %s", self._subscriber_id, error)


def log_end(conn: PooledConnection) -> int:
    """Return the place of the newest event that has begun to be written."""
    return int(run_named(conn, "watermark", [_NO_POSITION])[0][0])


def wait_current(
    followers: Sequence[Follower],
    end: int,
    moment: datetime,
    deadline: float | None,
    stop: threading.Event | None = None,
) -> bool:
    """Wait until all are current, `stop` is set or the deadline of `time.monotonic` comes; say whether they are.

    Raises:
        BridgeError: One has ended.
    """
    while not all([follower.is_current(end, moment) for follower in followers]):
        if (stop is not None and stop.is_set()) or (deadline is not None and time.monotonic() >= deadline):
            return False
        time.sleep(_LOOK_SECONDS)
    return True
