"""One user's statements: on pooled connections, in transactions of a thread or task, with the store's own errors."""

from __future__ import annotations

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
from store.pool import POOL_SIZE, Pool, PooledConnection, connect, running
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

    def connect(self) -> PooledConnection:
        """Open a new connection outside the pool. See `store.pool.connect`."""
        return self._pool.connect()

    def pool(self) -> PoolStats:
        """Return how the connections stand."""
        return self._pool.stats()

    def current(self) -> Transaction | None:
        """Return the transaction open in this thread or task, if any."""
        transaction = self._transaction.get()
        # A task started inside a transaction inherits the variable, but the transaction is not its own.
        return transaction if transaction is not None and transaction.owner == running() else None

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
            with self._savepoint(outer):
                yield outer
            return
        conn = self._pool.take()
        transaction = Transaction(conn, running())
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
            self._pool.give_back(conn)
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
        """Close every idle connection. Connections on loan are closed when they come back."""
        self._pool.close()


def _abandon(conn: PooledConnection) -> None:
    """Roll back, or close a connection that cannot."""
    try:
        with conn.cursor() as cursor:
            cursor.execute("ROLLBACK")
    except psycopg2.Error:
        conn.close()
