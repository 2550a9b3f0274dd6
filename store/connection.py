"""One user's statements: on pooled connections, in transactions of a thread or task, with the store's own errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NoReturn
from weakref import WeakSet

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR
from psycopg2.extensions import connection as Connection

from store import errors
from store.metrics import PoolStats
from store.pipeline import answers
from store.pool import POOL_SIZE, Pool, PooledConnection, connect, join, running
from store.refusals import FAILED, raise_store_error
from store.sql import statements

__all__ = [
    "Database",
    "PooledConnection",
    "Transaction",
    "commit",
    "connect",
    "join",
    "run",
    "run_named",
]


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
    with conn.awaited():
        if name not in conn.prepared:
            try:
                run(conn, f"PREPARE {name} AS {statements('queries')[name]}")
                conn.prepared.add(name)
            except BaseException as error:
                if not isinstance(error, Exception):  # Ctrl-C: it may be prepared by now or not
                    conn.close()
                raise
        holes = ", ".join(["%s"] * len(params))
        return run(conn, f"EXECUTE {name} ({holes})" if params else f"EXECUTE {name}", params, changing=changing)


class Transaction:
    """One open transaction: its connection, what to undo in memory if it fails, what to do once it is committed."""

    def __init__(self, conn: PooledConnection) -> None:
        """Belong to the running thread or task of this process."""
        self.conn = conn
        self.undo: list[Callable[[], None]] = []
        self.after_commit: list[Callable[[], None]] = []
        self._owner = running()
        self._process = os.getpid()
        self._open = True
        self._depth = 0

    def is_here(self) -> bool:
        """Say whether it is open, and the running thread or task, of this process, is the one that it belongs to."""
        return self._open and self._owner == running() and self.is_ours()

    def is_ours(self) -> bool:
        """Say whether this process opened it: after a fork the connection is the parent's."""
        return self._process == os.getpid()

    def end(self) -> None:
        """Let no more calls join it."""
        self._open = False

    def rewind(self, undo: int, after_commit: int) -> None:
        """Undo, newest first, what was done in memory since both lists had these lengths."""
        while len(self.undo) > undo:
            self.undo.pop()()
        del self.after_commit[after_commit:]

    def require_end(self, depth: int = 0) -> None:
        """Refuse to end its block where it was not begun, or out of turn: whose are the calls in between?

        Args:
            depth: In how many blocks the one that ends stands.
        """
        if not self.is_ours() or (self._open and not self.is_here()):
            raise errors.StoreError(
                "this transaction() was begun in another thread, task or process, and nothing of it is stored: begin"
                " and end it in the same one"
            )
        if not self._open or self._depth < depth:
            raise errors.StoreError("the block around this nested transaction() has ended before it")
        if self._depth > depth:
            raise errors.StoreError(
                "a transaction() nested in this one is still open, and nothing of either is stored: end the inner one"
                " first"
            )
        if self.conn.closed:
            raise errors.ConnectionLost(
                "the connection to the server was lost inside this transaction: nothing of it is stored"
            )
        if depth:
            return
        status = self.conn.info.transaction_status
        if status == TRANSACTION_STATUS_INERROR:
            raise errors.StoreError(FAILED)
        if status == TRANSACTION_STATUS_IDLE:
            raise errors.StoreError(
                "a COMMIT or ROLLBACK of its own ended this transaction inside its block, and what ran after it stands"
                " for itself: leave both to transaction(), and read again what the block changed"
            )

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Run a block as a savepoint."""
        marks = len(self.undo), len(self.after_commit)
        depth = self._depth + 1
        name = f"store_{depth}"
        run(self.conn, f"SAVEPOINT {name}")
        self._depth = depth  # a block that could not begin, as where the connection broke, need not end
        try:
            yield
            self.require_end(depth)
            run(self.conn, f"RELEASE SAVEPOINT {name}")
        except BaseException:
            if self.is_here() and self._depth >= depth:
                self.rewind(*marks)
                if not self.conn.closed:
                    run(self.conn, f"ROLLBACK TO SAVEPOINT {name}")
            raise
        finally:
            # Ended elsewhere, it counts as open: the whole transaction must not be committed.
            if self.is_here():
                self._depth = min(self._depth, depth - 1)


class Database:
    """The connections of one user to one database, safe to share between threads and asyncio tasks.

    Args:
        conninfo: Keyword arguments of `psycopg2.connect`.
        size: The most connections open at a time. See `Pool`.
    """

    def __init__(self, conninfo: dict[str, Any], size: int = POOL_SIZE) -> None:
        """Connect nothing yet."""
        self.user = str(conninfo["user"])
        self._pool = Pool(conninfo, size)
        self._transaction: ContextVar[Transaction | None] = ContextVar("store transaction", default=None)
        # The classes known to fit what is published of their types. Weak: a class that is gone does not linger.
        self.agreed: WeakSet[type] = WeakSet()
        self.retries = 0

    def apart(self) -> PooledConnection:
        """Return the open transaction's connection, else one outside the pool, kept for the user's own statements."""
        transaction = self.current()
        return self._pool.apart() if transaction is None else transaction.conn

    def pool(self) -> PoolStats:
        """Return how the connections stand."""
        return self._pool.stats()

    def current(self) -> Transaction | None:
        """Return the transaction open in this thread or task, if any."""
        transaction = self._transaction.get()
        # A task started inside a transaction inherits the variable, but the transaction is not its own.
        return transaction if transaction is not None and transaction.is_here() else None

    @contextmanager
    def connection(self) -> Iterator[PooledConnection]:
        """Lend a connection: the open transaction's, or one from the pool for the length of the block."""
        transaction = self.current()
        if transaction is not None:
            yield transaction.conn
            return
        conn = self._pool.take()
        try:
            yield conn
        finally:
            self._pool.give_back(conn)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run a block as one transaction; inside another one, as a savepoint of it."""
        outer = self.current()
        if outer is not None:
            with outer.savepoint():
                yield outer
            return
        conn = self._pool.take()
        transaction = Transaction(conn)
        token = self._transaction.set(transaction)
        try:
            try:
                run(conn, "BEGIN")
                yield transaction
                transaction.require_end()
                run(conn, "COMMIT", changing=True)
            except BaseException:
                transaction.end()
                transaction.rewind(0, 0)
                if transaction.is_ours():
                    _abandon(conn)
                raise
        finally:
            transaction.end()
            with suppress(ValueError):  # ended in another context, which has its own value of the variable
                self._transaction.reset(token)
            if transaction.is_ours():
                self._pool.give_back(conn)
        with ExitStack() as committed:  # each one runs, also where Ctrl-C ends one before it
            for action in reversed(transaction.after_commit):
                committed.callback(action)

    def fetch(self, name: str, *params: Any, changing: bool = False) -> list[tuple[Any, ...]]:
        """Run a statement of `queries.sql` by name, prepared once a connection.

        Args:
            name: The statement's name.
            *params: Its parameters, in order.
            changing: Whether it changes the store: a lost connection then leaves the outcome open.

        Raises:
            StoreError: The database refused it; each refusal has its own class.
        """
        return self._call(run_named, name, params, changing)

    def fetch_each(self, name: str, calls: Iterable[Sequence[Any]]) -> Iterator[list[tuple[Any, ...]]]:
        """Run a statement of `queries.sql` once for each set of parameters, inside the open transaction."""
        transaction = self.current()
        if transaction is None:
            raise errors.StoreError("statements that follow each other blindly need a transaction around them")
        return answers(lambda params: run_named(transaction.conn, name, params), calls)

    def fetch_text(self, text: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query built for one call, with bound parameters, and return its rows."""
        return self._call(run, text, params, changing=False)

    def _call(
        self, send: Callable[..., list[tuple[Any, ...]]], text: str, params: Sequence[Any], changing: bool
    ) -> list[tuple[Any, ...]]:
        """Run a statement on a connection; a query whose pooled connection broke is sent again on a new one."""
        transaction = self.current()
        if transaction is not None:
            # Nothing is committed yet: only the loss of the transaction's COMMIT leaves the outcome open.
            return send(transaction.conn, text, params)
        try:
            return self._call_alone(send, text, params, changing)
        except errors.ConnectionLost:
            if changing:
                raise
            self.retries += 1
        return self._call_alone(send, text, params, changing)

    def _call_alone(
        self, send: Callable[..., list[tuple[Any, ...]]], text: str, params: Sequence[Any], changing: bool
    ) -> list[tuple[Any, ...]]:
        conn = self._pool.take()
        try:
            return send(conn, text, params, changing=changing)
        finally:
            self._pool.give_back(conn)

    def close(self) -> None:
        """Close the connections. See `Pool.close`."""
        self._pool.close()


def _abandon(conn: PooledConnection) -> None:
    """Roll back, or close a connection that cannot."""
    try:
        with conn.cursor() as cursor:
            cursor.execute("ROLLBACK")
    except psycopg2.Error:
        conn.close()
