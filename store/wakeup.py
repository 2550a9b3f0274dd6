"""The hint that something was committed: sent after commit from a connection of its own, never a promise.

A NOTIFY inside the writer's transaction would make commits wait for each other. Listeners poll besides, so that a
lost or forged hint costs or gains nobody anything.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import psycopg2

from store.connection import PooledConnection, connect, run
from store.errors import StoreError
from store.refusals import raise_store_error

__all__ = ["CHANNEL", "Pinger", "Waiter"]

CHANNEL = "store_events"
# A writer in full flight sends at most one hint in this time (seconds); the first after a pause goes at once.
SHORTEST_GAP = 0.002
# Where the server cannot be reached, it is asked less and less often, at the least once in this time (seconds).
LONGEST_GAP = 1.0
SHORTEST_POLL = 0.001  # seconds; poll counts in milliseconds


class Pinger:
    """Sends hints in the background; those that come while one is on its way are sent as one."""

    def __init__(self, conninfo: dict[str, Any]) -> None:
        """Start nothing before the first hint."""
        self._conninfo = conninfo
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._closed = threading.Event()

    def ping(self) -> None:
        """Ask for a hint to be sent; returns at once."""
        if self._thread is None or self._process != os.getpid():
            with self._lock:
                if (self._thread is None or self._process != os.getpid()) and not self._closed.is_set():
                    self._process = os.getpid()
                    self._thread = threading.Thread(target=self._send, name="store-pinger", daemon=True)
                    self._thread.start()
        self._wanted.set()

    def close(self) -> None:
        """Send what was asked for, and end."""
        with self._lock:
            self._closed.set()
            thread = self._thread
        self._wanted.set()
        if thread is not None and self._process == os.getpid():
            thread.join(timeout=5.0)

    def _send(self) -> None:
        conn: PooledConnection | None = None
        gap = SHORTEST_GAP
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                if conn is None:
                    conn = connect(self._conninfo)
                    run(conn, "SET synchronous_commit = off")
                run(conn, f"NOTIFY {CHANNEL}")
                gap = SHORTEST_GAP
            except StoreError:
                if conn is not None:
                    conn.close()
                conn = None
                gap = min(gap * 2, LONGEST_GAP)
            if self._closed.wait(gap) and not self._wanted.is_set():
                break
        if conn is not None:
            conn.close()


class Waiter:
    """Waits for a hint on a connection, for a time to pass, or for `wake` from another thread."""

    def __init__(self) -> None:
        """Open the channel between threads."""
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._closing = threading.Lock()  # a number that was closed may be another file's by now
        self._closed = False

    def wait(
        self, conn: PooledConnection | None, seconds: float, lock: AbstractContextManager[Any] | None = None
    ) -> bool:
        """Wait until a hint comes, at most for `seconds`. Without a connection, only time and `wake` count.

        Args:
            conn: The connection that listens.
            seconds: The longest time to wait.
            lock: What the connection is used under.

        Returns:
            Whether a hint came.

        Raises:
            ConnectionLost: The server closed the connection.
        """
        if conn is None and seconds < SHORTEST_POLL:
            time.sleep(seconds)
            return False
        poller = select.poll()
        poller.register(self._read_end, select.POLLIN)
        if conn is not None:
            if conn.notifies:
                conn.notifies.clear()
                return True
            poller.register(conn.fileno(), select.POLLIN)
        ready = [number for number, _ in poller.poll(seconds * 1000)]
        if self._read_end in ready:
            os.read(self._read_end, 4096)
        if conn is None or conn.closed or conn.fileno() not in ready:
            return False
        with lock or nullcontext():
            try:
                conn.poll()
            except psycopg2.Error as error:
                raise_store_error(error, changing=False, lost=True)
            hinted = bool(conn.notifies)
            conn.notifies.clear()
        return hinted

    def wake(self) -> None:
        """End a `wait` that is under way, or the next one."""
        with self._closing:
            if not self._closed:
                with suppress(BlockingIOError):  # full: there is more than enough to wake up by
                    os.write(self._write_end, b".")

    def close(self) -> None:
        """Release the channel between threads; not while another thread waits."""
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._read_end)
                os.close(self._write_end)
