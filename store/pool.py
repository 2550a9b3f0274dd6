"""A few connections to one database, lent to the threads and tasks of one process."""

from __future__ import annotations

import math
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import psycopg2
from psycopg2.extensions import connection as Connection

from store import errors
from store.metrics import PoolStats
from store.refusals import raise_store_error

__all__ = ["POOL_SIZE", "Pool", "PooledConnection", "connect", "join", "running"]

POOL_SIZE = 8
LONGEST_WAIT = 60.0  # seconds
ANSWER_SECONDS = 5.0  # for which a thread that is to end waits for an answer of the server
LOOK_SECONDS = 0.1
# Variables of the environment which set for a session what the store's statements rely on.
OVERRIDING = {"PGTZ", "PGDATESTYLE"}


class PooledConnection(Connection):
    """A connection that remembers which named statements it has prepared, and whether it has no place in its pool."""

    prepared: set[str]
    surplus: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open the connection; nothing is prepared yet."""
        try:
            super().__init__(*args, **kwargs)
        except psycopg2.Error:
            self.close()  # libpq leaves the socket of a refused login open, and the error would keep it so
            raise
        self.prepared = set()
        self.surplus = False
        self._poller = select.poll()
        self._poller.register(self.fileno(), select.POLLIN)
        self._asked: float | None = None  # when the statement under way was sent, on the monotonic clock
        self._asking = threading.Lock()
        self.was_cut = False

    def alive(self) -> bool:
        """Say whether it still stands, without a round trip: a server that left has made it readable."""
        while not self.closed and self._poller.poll(0):  # first what the server had to say, then the end
            try:
                self.poll()
            except psycopg2.Error:
                return False
        return not self.closed

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Run a block of statements whose answers `cut_off` may end the wait for."""
        self._asked = time.monotonic()
        try:
            yield
        finally:
            with self._asking:
                self._asked = None

    def cut_off(self, seconds: float) -> None:
        """Break the connection if another thread has waited so long for an answer."""
        with self._asking:  # the other thread does not close the socket meanwhile: its number may be another file's
            if self._asked is None or time.monotonic() - self._asked < seconds or self.was_cut or self.closed:
                return
            self.was_cut = True
            with suppress(OSError), socket.socket(fileno=os.dup(self.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)


def connect(conninfo: dict[str, Any]) -> PooledConnection:
    """Open a connection in autocommit mode.

    Raises:
        ConnectionLost: The server cannot be reached, or refused the login.
    """
    try:
        conn: PooledConnection = psycopg2.connect(connection_factory=PooledConnection, **conninfo)
        conn.autocommit = True
        if OVERRIDING & os.environ.keys():
            # libpq sends these last. In another zone, the first and the last times of the calendar cannot be read.
            with conn.cursor() as cursor:
                cursor.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'")
    except psycopg2.OperationalError as error:
        raise_store_error(error, changing=False, conninfo=conninfo)
    return conn


def join(
    thread: threading.Thread, connection: Callable[[], PooledConnection | None], timeout: float | None = None
) -> None:
    """Wait for a thread that was told to end, but not for a server that hangs.

    Such a server closes no socket, and libpq waits for as long as one is open.

    Args:
        thread: The thread.
        connection: Returns the connection that it asks on.
        timeout: Seconds; None waits for whatever else the thread is at.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while thread.is_alive() and (left := deadline - time.monotonic()) > 0:
        thread.join(min(left, LOOK_SECONDS))
        conn = connection()
        if conn is not None:
            conn.cut_off(ANSWER_SECONDS)


def running() -> object:
    """Return what a transaction belongs to: the running asyncio task, else the thread."""
    asyncio = sys.modules.get("asyncio")  # where nobody has imported it, no task runs
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        if task is not None:
            return task
    return threading.get_ident()


class Pool:
    """Connections with one login, safe to share between threads and asyncio tasks.

    Args:
        conninfo: Keyword arguments of `psycopg2.connect`.
        size: The most connections open at a time; a caller waits for one beyond that. Not so an asyncio task, which
            would make those wait that it waits for: it gets one more, for once.
    """

    def __init__(self, conninfo: dict[str, Any], size: int = POOL_SIZE) -> None:
        """Connect nothing yet."""
        self._conninfo = conninfo
        self._size = size
        self._inherited: list[PooledConnection | None] = []
        self._apart: PooledConnection | None = None
        self._opened = 0
        self._waits = 0
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._free, self._waiting = self._size, 0
        self._idle: list[PooledConnection] = []
        self._closed = False

    def stats(self) -> PoolStats:
        """Return how the connections stand."""
        return PoolStats(self._size, self._size - self._free, len(self._idle), self._opened, self._waits)

    def apart(self) -> PooledConnection:
        """Return the one connection that is not lent, but there for whoever asks."""
        self._leave_to_parent()
        if self._closed:
            self._refuse()
        if self._apart is None or self._apart.closed:
            self._apart = self._connect()
        return self._apart

    def take(self) -> PooledConnection:
        """Lend a connection that stands.

        Raises:
            StoreError: The pool is closed, or nothing has become free in a long time.
            ConnectionLost: The server cannot be reached.
        """
        self._leave_to_parent()
        with self._lock:
            granted = self._free > 0 or self._wait()
            if granted:
                self._free -= 1
        if not granted:
            conn = self._connect()
            conn.surplus = True
            return conn
        try:
            while True:
                with self._lock:
                    if self._closed:
                        self._refuse()
                    idle = self._idle.pop() if self._idle else None
                if idle is None:
                    return self._connect()
                if idle.alive():
                    return idle
                idle.close()
        except BaseException:
            with self._lock:
                self._free_one()
            raise

    def give_back(self, conn: PooledConnection) -> None:
        """Take back a connection that was lent."""
        keep = not conn.closed and not conn.surplus
        if keep:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._idle.append(conn)
                    self._free_one()
        if not keep:
            conn.close()
            if not conn.surplus:
                with self._lock:
                    self._free_one()

    def close(self) -> None:
        """Close every connection but those on loan, which are closed when they come back."""
        self._leave_to_parent()
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for conn in (*idle, self._apart):
            if conn is not None:
                conn.close()

    def _connect(self) -> PooledConnection:
        conn = connect(self._conninfo)
        self._opened += 1
        return conn

    def _refuse(self) -> NoReturn:
        raise errors.StoreError("this client is closed: make a new StoreClient")

    def _leave_to_parent(self) -> None:
        """After a fork, let go the connections: they belong to the parent, whose sessions would end if one closed."""
        if os.getpid() != self._process:
            self._inherited += [*self._idle, self._apart]
            self._apart = None
            self._reset()

    def _wait(self) -> bool:
        """Wait, holding the lock, until a connection is free; not in an asyncio task, where that is False at once."""
        if not isinstance(running(), int):
            return False
        self._waits += 1
        self._waiting += 1
        try:
            if self._freed.wait_for(lambda: self._free > 0, LONGEST_WAIT):
                return True
        finally:
            self._waiting -= 1
        raise errors.StoreError(
            f"none of this client's {self._size} connections has become free in {LONGEST_WAIT:g} s: end the"
            " transactions that keep them, or use more clients"
        )

    def _free_one(self) -> None:
        self._free += 1
        if self._waiting:
            self._freed.notify()
