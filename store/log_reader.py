"""Reading the log in commit-safe order: every event the user may see, by its place in the stream, none overtaken.

Sequence values are handed out before their transactions commit, so the log read by `seq > last` alone skips events that
commit late. The reader therefore takes the sequence's last value S and then a fresh transaction id X. Once no
transaction older than X runs, every event up to S is visible, and only then is it read.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from store import pool
from store.connection import PooledConnection, connect, join, run, run_named
from store.errors import ConnectionLost, StoreError
from store.log_rows import BEGINNING, LogRow, Position, position_after, rows_of
from store.wakeup import CHANNEL, Waiter

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["LogReader", "is_poll_interval"]

logger = logging.getLogger(__name__)

BATCH = 2_000
FIRST_RETRY, LAST_RETRY = 0.05, 5.0  # seconds
FIRST_FENCE_WAIT, LAST_FENCE_WAIT = 0.0002, 0.05  # seconds
# Hints that bring nothing may be forged: the more of them in a row, the longer until the next look (seconds).
FIRST_PAUSE, LAST_PAUSE = 0.001, 0.02
# While several events come in one look, a reader that has caught up lets some gather: each look costs the writers.
GATHER_SECONDS = 0.004
LONGEST_POLL = 3600.0  # seconds
STALL_SECONDS = 5.0  # how often a stalled reader says so
REAP_SECONDS = 30.0  # how often a reader has sessions ended that hold others up


def is_poll_interval(given: object) -> bool:
    """Say whether a reader can look so seldom, in seconds: at least now and then, and no longer than a timer goes."""
    return isinstance(given, (int, float)) and not isinstance(given, bool) and 0 < given <= LONGEST_POLL


class LogReader:
    """Follows the log for one user, from a position on, over lost connections and restarts of the server.

    Args:
        conninfo: Keyword arguments of `psycopg2.connect`.
        types: Type names to read; None reads all.
        data: Whether rows carry `changes` and `data`.
        poll_seconds: How long to wait for a hint before looking anyway.
        ahead: Whether `follow` has the server read the next batch while the consumer works on one. What was withdrawn
            from the user meanwhile still comes.
    """

    def __init__(
        self,
        conninfo: dict[str, Any],
        *,
        types: Sequence[str] | None = None,
        data: bool = False,
        poll_seconds: float = 1.0,
        ahead: bool = False,
    ) -> None:
        """Read nothing yet; the position is the log's beginning."""
        self.position = BEGINNING
        self._conninfo = conninfo
        self._types = None if types is None else list(types)
        self._data = data
        self._poll_seconds = poll_seconds
        self._conn: PooledConnection | None = None
        self._lock = threading.RLock()  # the connection also serves `lag`, from other threads
        self._target = 0
        self._fence: str | None = None
        self._fence_since = 0.0
        self._next_report = STALL_SECONDS
        self._next_reap = time.monotonic() + REAP_SECONDS
        self._vain_hints = 0
        self.reconnects = 0
        self._waiter = Waiter()
        self._worker = _one_thread() if ahead else None
        self._ahead: tuple[Position, Future[list[tuple[Any, ...]]]] | None = None
        self.stopped = False
        self._closed = False
        self._given_up = False  # on the server, by a reader that is to end

    def connect(self) -> PooledConnection:
        """Return the reader's connection, opened first where there is none.

        Raises:
            ConnectionLost: The server cannot be reached, or refused the login.
        """
        with self._lock:
            if self._closed:
                raise StoreError("this reader of the log is closed")
            if self._conn is None or self._conn.closed:
                if self._given_up or (self._conn is not None and self._conn.was_cut):
                    raise ConnectionLost("the server does not answer")
                try:
                    self._conn = connect(self._conninfo)
                except ConnectionLost:
                    self._given_up = self.stopped  # the next attempt may take as long
                    raise
                self._conn.notifies = deque(maxlen=1)  # type: ignore[assignment]  # however many come, one is enough
                self._forget_fence()
                with self._conn.awaited():
                    run(self._conn, f"LISTEN {CHANNEL}")
            return self._conn

    @property
    def waits(self) -> bool:
        """Whether something was committed that cannot be read safely yet."""
        return self._fence is not None

    def fetch(self, name: str, *params: Any, changing: bool = False) -> list[tuple[Any, ...]]:
        """Run a statement of `queries.sql` on the reader's connection; from any thread.

        Raises:
            StoreError: The database refused it, or cannot be reached.
        """
        with self._lock:
            return run_named(self.connect(), name, params, changing=changing)

    def seek_end(self, seconds: float = 45.0) -> None:
        """Move the position to the log's end: behind every event that commits after this call returns.

        Args:
            seconds: How long to wait for changes under way to be committed or undone.

        Raises:
            ConnectionLost: The server cannot be reached, or refused the login.
            StoreError: Some transaction stayed open all that time.
        """
        end, fence, passed = self.fetch("watermark", -1)[0]
        self._begin_wait()
        deadline = time.monotonic() + seconds
        wait = FIRST_FENCE_WAIT
        while not (passed or self.fetch("fence_passed", fence)[0][0]):
            if time.monotonic() > deadline:
                raise StoreError(f"{self._holder()} keeps the end of the log open for {seconds:g} s: end it, try again")
            self._report_stall()
            self._waiter.wait(None, wait)
            wait = min(wait * 2, LAST_FENCE_WAIT)
        self.position = Position(end)

    def read(self, limit: int = BATCH) -> tuple[list[LogRow], Position] | None:
        """Read the next rows after the position, without moving it: at most `limit`, and about 8 MB.

        Returns:
            The rows and the position after them (beyond the last row where others' events follow); None when
            nothing new can be read safely yet.

        Raises:
            ConnectionLost: The connection broke; call again to open a new one.
        """
        answer = self._ask(limit)
        return None if answer is None else (rows_of(answer), position_after(answer))

    def _ask(self, limit: int) -> list[tuple[Any, ...]] | None:
        """Return what `read_stream` tells of the next rows; None when nothing new can be read safely yet."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == self.position:
            return ahead[1].result()
        self.connect()
        if self._fence is None and self._target <= self.position.seq:
            self._target, fence, passed = self.fetch("watermark", self.position.seq)[0]
            if fence is None:
                # Only a server that crashed, or was restored, can have forgotten numbers: they will come again.
                self.position = min(self.position, Position(self._target))
                return None
            if not passed:
                self._fence = fence
                self._begin_wait()
        if self._fence is not None:
            if not self.fetch("fence_passed", self._fence)[0][0]:
                self._report_stall()
                return None
            self._fence = None
        return self.fetch("read_stream", *self.position, self._target, self._types, limit, self._data)

    def _look_ahead(self, position: Position) -> None:
        """Have the server read on from a position, if what lies behind it is known to be safe to read."""
        conn = self._conn
        if self._worker is None or conn is None or self._fence is not None or self._target <= position.seq:
            return
        params = [*position, self._target, self._types, BATCH, self._data]

        def fetch() -> list[tuple[Any, ...]]:
            # Not on another connection: what is safe to read would have to be asked anew there.
            with self._lock:
                return run_named(conn, "read_stream", params)

        self._ahead = position, self._worker.submit(fetch)

    def lag(self) -> tuple[int, float]:
        """Return how many events lie behind the position, and the age of the oldest in seconds; from any thread.

        Raises:
            ConnectionLost: The server cannot be reached, or has not answered the thread that follows for some seconds.
        """
        if not self._lock.acquire(timeout=pool.ANSWER_SECONDS):
            raise ConnectionLost(f"the server has not answered for {pool.ANSWER_SECONDS:g} s")
        try:
            events, seconds = self.fetch("log_lag", *self.position, self._types)[0]
        finally:
            self._lock.release()
        self.wake()  # a hint may have come in together with the answer
        return events, seconds

    def follow(self, *, until_idle: bool = False, empty: bool = False) -> Iterator[list[LogRow]]:
        """Yield batch after batch until `stop`. The position moves once the consumer asks for the next batch.

        Args:
            until_idle: End instead of waiting when all that was committed has been read.
            empty: Yield an empty batch before waiting, and where the position moves past what the user may not see.
        """
        retry, fence_wait = FIRST_RETRY, FIRST_FENCE_WAIT
        told: str | None = None  # the failure that was logged last: one may come again every few seconds, for days
        while not self.stopped:
            try:
                answer = self._ask(BATCH)
                retry = FIRST_RETRY
                if told is not None:
                    logger.warning("reading the log goes on from position %d", self.position.seq)
                    told = None
                if answer is None:
                    if until_idle and self._fence is None:
                        return
                    if empty:
                        yield []
                    if self._fence is None:
                        self._await_hint()
                        if time.monotonic() >= self._next_reap:
                            self._reap()
                    else:
                        self._waiter.wait(None, fence_wait)
                        fence_wait = min(fence_wait * 2, LAST_FENCE_WAIT)
                    continue
            except StoreError as error:
                if self.stopped:
                    return
                self.reconnects += 1
                place = self.position.seq
                facts = {"position": place, "error": type(error).__name__}
                if str(error) != told:
                    told = str(error)
                    logger.warning("reading the log stops at position %d: %s; trying again", place, error, extra=facts)
                self._drop_connection()
                self._waiter.wait(None, retry * random.uniform(0.5, 1.0))  # not all listeners at the same moment
                retry = min(retry * 2, LAST_RETRY)
                continue
            fence_wait, self._vain_hints = FIRST_FENCE_WAIT, 0
            position = position_after(answer)
            self._look_ahead(position)
            rows = rows_of(answer)
            if rows or empty:
                yield rows
            self.position = position
            if len(rows) > 1 and not until_idle and position.seq >= self._target:
                self._waiter.wait(None, GATHER_SECONDS)

    def stop(self) -> None:
        """End `follow` after the batch that it is at. Safe from any thread."""
        self.stopped = True
        self._waiter.wake()

    def join(self, thread: threading.Thread, timeout: float | None = None) -> None:
        """Stop, and wait for the thread that follows: for its consumer, but not for a server that does not answer.

        Args:
            thread: The thread.
            timeout: Seconds; None waits for as long as the consumer takes.
        """
        self.stop()
        join(thread, lambda: self._conn, timeout)  # without the lock, which the thread holds while it waits

    def wake(self) -> None:
        """Have `follow` look at once. Safe from any thread."""
        self._waiter.wake()

    def pause(self, seconds: float) -> None:
        """Wait for a time, or until `stop`."""
        self._waiter.wait(None, seconds)

    def close(self) -> None:
        """Close the connection; not while another thread follows."""
        self.stop()
        if self._worker is not None:
            self._worker.shutdown()
        with self._lock:
            self._closed = True
            self._drop_connection()
        self._waiter.close()

    def _await_hint(self) -> None:
        if not self._waiter.wait(self._conn, self._poll_seconds, self._lock):
            return
        if self._vain_hints:
            self._waiter.wait(None, min(FIRST_PAUSE * 2**self._vain_hints, LAST_PAUSE))
        self._vain_hints = min(self._vain_hints + 1, 10)

    def _begin_wait(self) -> None:
        self._fence_since, self._next_report = time.monotonic(), STALL_SECONDS

    def _report_stall(self) -> None:
        """Say what a stalled reader waits for, and have it ended once it has lasted too long."""
        waited = time.monotonic() - self._fence_since
        if waited < self._next_report:
            return
        self._next_report = waited + STALL_SECONDS
        facts: dict[str, Any] = {"seconds": waited}
        logger.warning("no event can be read for %.0f s now: %s is open", waited, self._holder(), extra=facts)
        self._reap()

    def _reap(self) -> None:
        self._next_reap = time.monotonic() + REAP_SECONDS
        for username, age in self.fetch("reap", changing=True):
            told = "a transaction of %r was told to end: it is %s old and holds others up"
            logger.warning(told, username, age, extra={"user": username, "seconds": age.total_seconds()})

    def _holder(self) -> str:
        rows = self.fetch("held_back_by")
        if not rows or rows[0][0] is None:
            return "a transaction"  # of whom, this server does not tell
        username, process, seconds = rows[0]
        where = "prepared" if process is None else f"process {process}"
        return f"a transaction of {username!r} ({where}, {seconds:.0f} s old)"

    def _drop_connection(self) -> None:
        self._ahead = None
        with self._lock:
            if self._conn is not None:
                self._given_up = self._conn.was_cut
                self._conn.close()
            self._conn = None
            self._forget_fence()

    def _forget_fence(self) -> None:
        self._fence = None
        self._target = self.position.seq


def _one_thread() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, "log-reader")
