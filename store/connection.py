"""One user's connections: a small pool, transactions pinned to a thread or task, PostgreSQL's errors as the store's."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn
from weakref import WeakSet

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR
from psycopg2.extensions import connection as Connection

from store import errors
from store.metrics import PoolStats
from store.pipeline import answers
from store.refusals import raise_store_error
from store.sql import statements

__all__ = [
    "Database",
    "PooledConnection",
    "Transaction",
    "commit",
    "connect",
    "run",
    "run_named",
]

POOL_SIZE = 8
LONGEST_WAIT = 60.0  # seconds


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


def connect(conninfo: dict[str, Any]) -> PooledConnection:
    """Open a connection in autocommit mode.

    Raises:
        ConnectionLost: The server cannot be reached, or refused the login.
    """
    try:
        conn: PooledConnection = psycopg2.connect(connection_factory=PooledConnection, **conninfo)
    except psycopg2.OperationalError as error:
        raise_store_error(error, changing=False, conninfo=conninfo)
    conn.autocommit = True
    return conn


def run(conn: Connection, text: str, params: Sequence[Any] = (), *, changing: bool = False) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows.

    Args:
        conn: The connection.
        text: The statement, with `%s` where parameters go.
        params: The parameters.
        changing: Whether it changes the store: a lost connection then leaves the outcome open.

    Raises:
        StoreError: The database refused it; each refusal has its own class.
    """
    try:
        with conn.cursor() as cursor:
            cursor.execute(text, params or None)
            return cursor.fetchall() if cursor.description is not None else []
    except psycopg2.Error as error:
        _raise(conn, error, changing)
    except ValueError as error:
        # psycopg2's way to say that a text holds a NUL or a lone surrogate, or that a time is not one of Python's.
        raise errors.StoreError(f"a value cannot be sent to PostgreSQL, or be read from it: {error}") from error


def commit(conn: Connection) -> None:
    """Commit the transaction that psycopg2 opened by itself.

    Raises:
        StoreError: It is not committed; or, where the connection was lost, perhaps not.
    """
    try:
        conn.commit()
    except psycopg2.Error as error:
        _raise(conn, error, changing=True)


def _raise(conn: Connection, error: psycopg2.Error, changing: bool) -> NoReturn:
    lost = _ends_session(conn, error)
    if lost:
        conn.close()
    # psycopg2 refuses a connection that is closed already: nothing was sent.
    raise_store_error(error, changing=changing and not isinstance(error, psycopg2.InterfaceError), lost=lost)


def _ends_session(conn: Connection, error: psycopg2.Error) -> bool:
    """Say whether an error means that the server, or the way to it, is gone."""
    if conn.closed or isinstance(error, psycopg2.InterfaceError):
        return True
    if error.pgcode is None:
        # Not the server's words but libpq's: a socket broke. Where it could still read what the server said last, as
        # after another session's crash, libpq takes the connection for a good one, and psycopg2 leaves it open.
        return type(error) in (psycopg2.DatabaseError, psycopg2.OperationalError)
    return error.diag.severity_nonlocalized in ("FATAL", "PANIC")


def run_named(
    conn: PooledConnection, name: str, params: Sequence[Any] = (), *, changing: bool = False
) -> list[tuple[Any, ...]]:
    """Run a statement of `queries.sql` by name, prepared once a connection. See `run`."""
    if name not in conn.prepared:
        run(conn, f"PREPARE {name} AS {statements('queries')[name]}")
        conn.prepared.add(name)
    holes = ", ".join(["%s"] * len(params))
    return run(conn, f"EXECUTE {name} ({holes})" if params else f"EXECUTE {name}", params, changing=changing)


class Transaction:
    """One open transaction: its connection, what to undo in memory if it fails, what to do once it is committed."""

    def __init__(self, conn: PooledConnection, owner: object) -> None:
        """Belong to one thread or task."""
        self.conn = conn
        self.owner = owner
        self.depth = 0
        self.undo: list[Callable[[], None]] = []
        self.after_commit: list[Callable[[], None]] = []

    def rewind(self, undo: int, after_commit: int) -> None:
        """Undo, newest first, what was done in memory since both lists had these lengths."""
        while len(self.undo) > undo:
            self.undo.pop()()
        del self.after_commit[after_commit:]


class Database:
    """The connections of one user to one database, safe to share between threads and asyncio tasks.

    Args:
        conninfo: Keyword arguments of `psycopg2.connect`.
        size: The most connections open at a time; a caller waits for one beyond that. Not so an asyncio task, which
            would make those wait that it waits for: it gets one more, for once.
    """

    def __init__(self, conninfo: dict[str, Any], size: int = POOL_SIZE) -> None:
        """Connect nothing yet."""
        self.user = str(conninfo["user"])
        self._conninfo = conninfo
        self._size = size
        self._transaction: ContextVar[Transaction | None] = ContextVar("store transaction", default=None)
        self._inherited: list[PooledConnection] = []
        # The classes known to fit what is published of their types. Weak: a class that is gone does not linger.
        self.agreed: WeakSet[type] = WeakSet()
        self.retries = 0
        self._opened = 0
        self._waits = 0
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self._size)
        self._idle: list[PooledConnection] = []
        self._closed = False

    def connect(self) -> PooledConnection:
        """Open a new connection outside the pool. See `connect`."""
        conn = connect(self._conninfo)
        self._opened += 1
        return conn

    def pool(self) -> PoolStats:
        """Return how the connections stand."""
        in_use = self._size - self._slots._value
        return PoolStats(self._size, in_use, len(self._idle), self._opened, self._waits)

    def current(self) -> Transaction | None:
        """Return the transaction open in this thread or task, if any."""
        transaction = self._transaction.get()
        # A task started inside a transaction inherits the variable, but the transaction is not its own.
        return transaction if transaction is not None and transaction.owner == _running() else None

    @contextmanager
    def connection(self) -> Iterator[PooledConnection]:
        """Lend a connection: the open transaction's, or one from the pool for the length of the block."""
        transaction = self.current()
        if transaction is not None:
            yield transaction.conn
            return
        conn = self._take()
        try:
            yield conn
        finally:
            self._give_back(conn)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run a block as one transaction; inside another one, as a savepoint of it."""
        outer = self.current()
        if outer is not None:
            with self._savepoint(outer):
                yield outer
            return
        conn = self._take()
        transaction = Transaction(conn, _running())
        token = self._transaction.set(transaction)
        try:
            try:
                run(conn, "BEGIN")
                yield transaction
                if conn.closed:
                    raise errors.ConnectionLost(
                        "the connection to the server was lost inside this transaction: nothing of it is stored"
                    )
                if conn.info.transaction_status == TRANSACTION_STATUS_INERROR:
                    raise errors.StoreError(
                        "a call in this transaction failed, so that nothing of it can be committed: let its error end"
                        " the block, or wrap a call that may fail in a nested transaction()"
                    )
                if conn.info.transaction_status == TRANSACTION_STATUS_IDLE:
                    raise errors.StoreError(
                        "a COMMIT or ROLLBACK of its own ended this transaction inside its block, and what ran after"
                        " it stands for itself: leave both to transaction(), and read again what the block changed"
                    )
                run(conn, "COMMIT", changing=True)
            except BaseException:
                transaction.rewind(0, 0)
                _abandon(conn)
                raise
        finally:
            self._transaction.reset(token)
            self._give_back(conn)
        with ExitStack() as committed:  # each one runs, also where Ctrl-C ends one before it
            for action in reversed(transaction.after_commit):
                committed.callback(action)

    @contextmanager
    def _savepoint(self, transaction: Transaction) -> Iterator[None]:
        marks = len(transaction.undo), len(transaction.after_commit)
        transaction.depth += 1
        name = f"store_{transaction.depth}"
        run(transaction.conn, f"SAVEPOINT {name}")
        try:
            yield
            run(transaction.conn, f"RELEASE SAVEPOINT {name}")
        except BaseException:
            transaction.rewind(*marks)
            if not transaction.conn.closed:
                run(transaction.conn, f"ROLLBACK TO SAVEPOINT {name}")
            raise
        finally:
            transaction.depth -= 1

    def fetch(self, name: str, *params: Any, changing: bool = False) -> list[tuple[Any, ...]]:
        """Run a statement of `queries.sql` by name, prepared once a connection.

        Args:
            name: The statement's name.
            *params: Its parameters, in order.
            changing: Whether it changes the store: a lost connection then leaves the outcome open.

        Raises:
            StoreError: The database refused it; each refusal has its own class.
        """
        # Inside a transaction nothing is committed yet: only the loss of its COMMIT leaves the outcome open.
        alone = changing and self.current() is None
        return self._call(lambda conn: run_named(conn, name, params, changing=alone), changing)

    def fetch_each(self, name: str, calls: Iterable[Sequence[Any]]) -> Iterator[list[tuple[Any, ...]]]:
        """Run a statement of `queries.sql` once for each set of parameters, inside the open transaction."""
        transaction = self.current()
        if transaction is None:
            raise errors.StoreError("statements that follow each other blindly need a transaction around them")
        return answers(lambda params: run_named(transaction.conn, name, params), calls)

    def fetch_text(self, text: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query built for one call, with bound parameters, and return its rows."""
        return self._call(lambda conn: run(conn, text, params), changing=False)

    def _call(
        self, statement: Callable[[PooledConnection], list[tuple[Any, ...]]], changing: bool
    ) -> list[tuple[Any, ...]]:
        """Run a statement on a connection; a query whose pooled connection broke is sent again on a new one."""
        repeatable = not changing and self.current() is None
        try:
            with self.connection() as conn:
                return statement(conn)
        except errors.ConnectionLost:
            if not repeatable:
                raise
            self.retries += 1
        with self.connection() as conn:
            return statement(conn)

    def close(self) -> None:
        """Close every idle connection. Connections on loan are closed when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for conn in idle:
            conn.close()

    def _take(self) -> PooledConnection:
        if os.getpid() != self._process:
            # After a fork the sockets belong to the parent: closing them here would end its sessions.
            self._inherited += self._idle
            self._reset()
        patient = isinstance(_running(), int)
        if not self._slots.acquire(blocking=False):
            if not patient:
                conn = self.connect()
                conn.surplus = True
                return conn
            self._waits += 1
            if not self._slots.acquire(timeout=LONGEST_WAIT):
                raise errors.StoreError(
                    f"none of this client's {self._size} connections has become free in {LONGEST_WAIT:g} s: end the"
                    " transactions that keep them, or use more clients"
                )
        try:
            while True:
                with self._lock:
                    if self._closed:
                        raise errors.StoreError("this client is closed: make a new StoreClient")
                    idle = self._idle.pop() if self._idle else None
                if idle is None:
                    return self.connect()
                if _alive(idle):
                    return idle
                idle.close()
        except BaseException:
            self._slots.release()
            raise

    def _give_back(self, conn: PooledConnection) -> None:
        with self._lock:
            keep = not conn.closed and not self._closed and not conn.surplus
            if keep:
                self._idle.append(conn)
        if not keep:
            conn.close()
        if not conn.surplus:
            self._slots.release()


def _running() -> object:
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


def _abandon(conn: PooledConnection) -> None:
    """Roll back, or close a connection that cannot."""
    try:
        with conn.cursor() as cursor:
            cursor.execute("ROLLBACK")
    except psycopg2.Error:
        conn.close()


def _alive(conn: PooledConnection) -> bool:
    """Say whether an idle connection still stands, without a round trip: a server that left has made it readable."""
    poller = select.poll()
    poller.register(conn.fileno(), select.POLLIN)
    while poller.poll(0):  # first what the server had to say, then the end
        try:
            conn.poll()
        except psycopg2.Error:
            return False
    return not conn.closed
