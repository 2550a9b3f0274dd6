"""Reading the log in commit-safe order: every event the user may see, once, by `seq`, none overtaken.

Sequence values are handed out before their transactions commit, so the log read by `seq > last` alone skips events that
commit late. The reader therefore takes the sequence's last value S and then a fresh transaction id X. Once no
transaction older than X runs, every event up to S is visible, and only then is it read.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from store.base import Metadata
from store.connection import PooledConnection, connect, run, run_named
from store.errors import ConnectionLost, StoreError
from store.wakeup import CHANNEL, Waiter

__all__ = ["LogReader", "LogRow", "read_between"]

logger = logging.getLogger(__name__)

BATCH = 2_000
FIRST_RETRY, LAST_RETRY = 0.05, 5.0  # seconds
FIRST_FENCE_WAIT, LAST_FENCE_WAIT = 0.0005, 0.05  # seconds


class LogRow(NamedTuple):
    """One event of the log.

    Attributes:
        seq: Its place in the log.
        type_name: The entity's type.
        metadata: The event's metadata; `state` is the one that a read showed just after it.
        changes: The changed fields in JSON form.
        data: All fields as a read showed them just after the event; None where it showed nothing, or where data was
            not asked for.
        due: When what a read shows of the entity next changes by itself, counted from its newest event on: a scheduled
            change begins, a bounded one ends.
    """

    seq: int
    type_name: str
    metadata: Metadata
    changes: dict[str, Any]
    data: dict[str, Any] | None
    due: datetime | None = None


def read_between(
    conn: PooledConnection, after: int, upto: int, types: Sequence[str] | None, limit: int, *, data: bool
) -> list[LogRow]:
    """Return the first events of the log in (after, upto], all of whose transactions are over."""
    return [
        LogRow(
            row[0],
            row[10],
            Metadata(*row[1:10]),
            json.loads(row[11]),
            None if row[12] is None else json.loads(row[12]),
            row[13],
        )
        for row in run_named(conn, "read_log", [after, upto, types, limit, data])
    ]


class LogReader:
    """Follows the log for one user, from a position on, over lost connections and restarts of the server.

    Args:
        conninfo: Keyword arguments of `psycopg2.connect`.
        types: Type names to read; None reads all.
        data: Whether rows carry `data`.
        poll_seconds: How long to wait for a hint before looking anyway.
    """

    def __init__(
        self,
        conninfo: dict[str, Any],
        *,
        types: Sequence[str] | None = None,
        data: bool = False,
        poll_seconds: float = 1.0,
    ) -> None:
        """Read nothing yet; the position is the log's beginning."""
        self.position = 0
        self._conninfo = conninfo
        self._types = None if types is None else list(types)
        self._data = data
        self._poll_seconds = poll_seconds
        self._conn: PooledConnection | None = None
        self._target = 0
        self._fence: str | None = None
        self._waiter = Waiter()
        self.stopped = False

    def connect(self) -> PooledConnection:
        """Return the reader's connection, opened first where there is none.

        Raises:
            ConnectionLost: The server cannot be reached, or refused the login.
        """
        if self._conn is None or self._conn.closed:
            self._conn = connect(self._conninfo)
            self._fence = None
            run(self._conn, f"LISTEN {CHANNEL}")
        return self._conn

    def seek_end(self, seconds: float = 30.0) -> None:
        """Move the position to the log's end: behind every event that commits after this call returns.

        Args:
            seconds: How long to wait for changes under way to be committed or undone.

        Raises:
            ConnectionLost: The server cannot be reached, or refused the login.
            StoreError: Some transaction stayed open all that time.
        """
        conn = self.connect()
        end, fence = run_named(conn, "watermark", [-1])[0]
        deadline = time.monotonic() + seconds
        wait = FIRST_FENCE_WAIT
        while not run_named(conn, "fence_passed", [fence])[0][0]:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"a transaction that changes the store has been open for {seconds:g} s: end it, then start again"
                )
            self._waiter.wait(None, wait)
            wait = min(wait * 2, LAST_FENCE_WAIT)
        self.position = end

    def read(self, limit: int = BATCH) -> tuple[list[LogRow], int] | None:
        """Read the next rows after the position, without moving it.

        Returns:
            The rows and the position after them (beyond the last row where others' events follow); None when
            nothing new can be read safely yet.

        Raises:
            ConnectionLost: The connection broke; call again to open a new one.
        """
        conn = self.connect()
        if self._fence is None and self._target <= self.position:
            self._target, self._fence = run_named(conn, "watermark", [self.position])[0]
            if self._fence is None:
                return None
        if self._fence is not None:
            if not run_named(conn, "fence_passed", [self._fence])[0][0]:
                return None
            self._fence = None
        rows = read_between(conn, self.position, self._target, self._types, limit, data=self._data)
        return rows, rows[-1].seq if len(rows) == limit else self._target

    def follow(self, *, until_idle: bool = False) -> Iterator[list[LogRow]]:
        """Yield batch after batch until `stop`. The position moves once the consumer asks for the next batch.

        Args:
            until_idle: End instead of waiting when all that was committed has been read.
        """
        retry, fence_wait = FIRST_RETRY, FIRST_FENCE_WAIT
        while not self.stopped:
            try:
                found = self.read()
                retry = FIRST_RETRY
                if found is None:
                    if self._fence is None:
                        if until_idle:
                            return
                        self._waiter.wait(self._conn, self._poll_seconds)
                    else:
                        self._waiter.wait(None, fence_wait)
                        fence_wait = min(fence_wait * 2, LAST_FENCE_WAIT)
                    continue
            except ConnectionLost as error:
                if self.stopped:
                    return
                logger.warning("reading the log stops at position %d: %s; trying again", self.position, error)
                self._drop_connection()
                self._waiter.wait(None, retry)
                retry = min(retry * 2, LAST_RETRY)
                continue
            fence_wait = FIRST_FENCE_WAIT
            rows, position = found
            if rows:
                yield rows
            self.position = position

    def stop(self) -> None:
        """End `follow` after the batch that it is at. Safe from any thread."""
        self.stopped = True
        self._waiter.wake()

    def close(self) -> None:
        """Close the connection; not while another thread follows."""
        self.stop()
        self._drop_connection()
        self._waiter.close()

    def _drop_connection(self) -> None:
        if self._conn is not None:
            self._conn.close()
        self._conn = None
        self._fence = None
        self._target = self.position
