"""The connection to a Deephaven server that every client builds on; needs no Java.

Example:
    >>> with DeephavenClient() as client:
    ...     prices = client.open_table("prices_live").where("Price > 100").sort("Symbol")
    ...     print(prices.to_arrow().to_pandas())
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from keyword import iskeyword
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import grpc
from pyarrow import flight
from pydeephaven import DHError, Session
from pydeephaven.table import Table
from typing_extensions import Self

from client.access import find_key, given_key
from client.errors import AccessRefused, ClientError, ScriptFailed, ServerUnreachable, TableNotFound
from client.session import ClientSession
from client.tls import read_roots, tls_problem

if TYPE_CHECKING:
    import pyarrow
    from pydeephaven_ticking.table_listener import TableListenerHandle, TableUpdate

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "DeephavenClient"]

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 10000
_PSK = "io.deephaven.authentication.psk.PskAuthenticationHandler"
_ANSWER_SECONDS = 5.0
T = TypeVar("T")


class DeephavenClient:
    """A connection to a Deephaven server.

    It opens again by itself when the server has been restarted. Tables opened before, and those derived from them,
    are gone then: open them anew. What a call might have done twice is never repeated: its error says so.

    Args:
        host: The server's host.
        port: The server's port.
        key: The server's key; found by itself when None: in `key_file`, in the variable DEEPHAVEN_PSK, or in the file
            of this user's own server.
        key_file: A file that holds the key.
        anonymous: Use no key, for a server started with `--anonymous`.
        tls: Talk TLS, and trust the system's certificate authorities.
        tls_ca: Talk TLS, and trust the authorities in this PEM file instead.

    Raises:
        ServerUnreachable: Nothing answers at the address.
        AccessRefused: The server does not take the key.
        KeyNotFound: There is no key, or what was given is none.

    Example:
        >>> with DeephavenClient() as client:
        ...     client.list_tables()
    """

    def __init__(
        self,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        *,
        key: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        anonymous: bool = False,
        tls: bool = False,
        tls_ca: str | os.PathLike[str] | None = None,
    ) -> None:
        if anonymous and (key is not None or key_file is not None):
            raise ClientError("anonymous uses no key: leave out key= and key_file=, or --key-file")
        self.host = host
        self.port = port
        self._key = None if anonymous else given_key(key) if key is not None else find_key(key_file)
        self._tls = tls or tls_ca is not None
        self._roots = None if tls_ca is None else read_roots(Path(tls_ca))
        self._lock = threading.RLock()
        self._listeners: list[TableListenerHandle] = []
        self._closed = False
        self._session: ClientSession | None = self._connect()

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"

    @property
    def session(self) -> Session:
        """The pydeephaven session, for what this class does not offer.

        Raises:
            ClientError: The client is closed.
        """
        return self._open_session()

    def list_tables(self) -> list[str]:
        """Return the names of the published tables.

        Raises:
            ServerUnreachable: The server is gone.

        Example:
            >>> client.list_tables()
            ['column_catalog', 'prices_live', 'prices_raw']
        """
        return sorted(self._call(lambda session: list(session.tables), repeatable=True))

    def open_table(self, name: str) -> Table:
        """Return a published table, to filter, sort, join and aggregate on the server.

        Raises:
            TableNotFound: There is none of that name.
            ClientError: The name is no text.
            ServerUnreachable: The server is gone.

        Example:
            >>> client.open_table("prices_live").where("Symbol = `AAPL`").to_arrow().to_pandas()
        """
        if not isinstance(name, str):
            raise ClientError(f"a table is named by a text, not {name!r}")
        try:
            return self._call(lambda session: session.open_table(name), repeatable=True)
        except (ServerUnreachable, AccessRefused):
            raise
        except UnicodeEncodeError:
            raise TableNotFound(name, self.list_tables()) from None
        except ClientError as error:
            known = self.list_tables()
            if name in known and _status(error) is not grpc.StatusCode.NOT_FOUND:
                raise
            # The list comes in a moment late: it may still name a table that was just taken away.
            raise TableNotFound(name, [table for table in known if table != name]) from None

    def read(self, table: Table | str) -> pyarrow.Table:
        """Return the rows of a table, opened or named, as they are now.

        Raises:
            TableNotFound: There is none of that name.
            ServerUnreachable: The server is gone.

        Example:
            >>> client.read("portfolio_summary").to_pylist()
        """
        opened = self.open_table(table) if isinstance(table, str) else table
        found: pyarrow.Table = self._call(lambda session: opened.to_arrow(), repeatable=False)
        return found

    def run_script(self, script: str) -> None:
        """Run Python on the server: a table that it assigns to a name is published under it.

        Raises:
            ScriptFailed: It raised an error there.
            ServerUnreachable: The server is gone; the script may have run.

        Example:
            >>> client.run_script("movers = prices_live.where('abs(ChangePct) > 2')")
        """
        self._open_session()  # what is closed has run nothing
        try:
            self._call(lambda session: session.run_script(script), repeatable=False)
        except (ServerUnreachable, AccessRefused):
            raise
        except ClientError as error:
            raise ScriptFailed(str(error)) from error.__cause__

    def bind_table(self, name: str, table: Table) -> None:
        """Publish a table under a name, for other clients and the web IDE.

        Raises:
            ClientError: The name cannot be a variable's.
            ServerUnreachable: The server is gone.

        Example:
            >>> client.bind_table("dear_shares", client.open_table("prices_live").where("Price > 500"))
        """
        if not (name.isascii() and name.isidentifier()) or iskeyword(name):
            raise ClientError(f"{name!r} cannot name a table: use letters, digits and underscores")
        self._call(lambda session: session.bind_table(name, table), repeatable=True)

    def subscribe(
        self,
        table: Table | str,
        on_update: Callable[[TableUpdate], None],
        on_error: Callable[[Exception], None] | None = None,
    ) -> TableListenerHandle:
        """Call a function with each change of a ticking table, in a thread of the subscription's own.

        Args:
            table: A table, or the name of one.
            on_update: Takes a `TableUpdate`: `update.added()`, `.modified()` and `.removed()` return the columns of
                the rows concerned, by name, as Arrow arrays. The first one holds the table as it is.
            on_error: Takes what ended the subscription: a lost connection, or what `on_update` raised; by default it is
                logged.

        Returns:
            The subscription; its `stop()` ends it, as `close` does.

        Raises:
            TableNotFound: There is no table of that name.
            ClientError: What is to be called is no function.

        Example:
            >>> subscription = client.subscribe("prices_live", lambda update: print(update.modified("Symbol")))
        """
        from pydeephaven_ticking import table_listener

        for name, function in (("on_update", on_update), ("on_error", on_error)):
            if not callable(function) and (name == "on_update" or function is not None):
                raise ClientError(f"{name} takes a function, not {function!r}")
        opened = self.open_table(table) if isinstance(table, str) else table
        failed = on_error or (lambda error: logging.getLogger(__name__).error("a subscription ended: %s", error))
        # pydeephaven counts parameters, and would refuse `print` or a queue's `put`.
        handle = table_listener.listen(opened, lambda update: on_update(update), lambda error: failed(error))
        handle.start()
        with self._lock:
            self._listeners.append(handle)
        return handle

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn the errors of what is done with opened tables in the block into those of this class.

        Raises:
            ClientError: The server refused something, such as a filter by a column that is not there.
            ServerUnreachable: The server is gone.
            AccessRefused: It was restarted with another key.

        Example:
            >>> with client.explaining():
            ...     dear = client.open_table("prices_live").where("Price > 500").to_arrow()
        """
        try:
            yield
        except (DHError, grpc.RpcError, flight.FlightError) as error:
            raise self._explained(error) from error

    def reconnect(self) -> None:
        """Open the connection anew. Tables opened before are gone.

        Raises:
            ServerUnreachable: Nothing answers at the address.
            AccessRefused: The server does not take the key.
        """
        with self._lock:
            self._drop()
            self._open_session()

    def close(self) -> None:
        """End the subscriptions and the connection. A second call does nothing."""
        with self._lock:
            listeners, self._listeners = self._listeners, []
            self._closed = True
        for handle in listeners:
            handle.stop()
        with self._lock:
            self._drop()

    def __repr__(self) -> str:
        return f"<DeephavenClient: {self.address}{', closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            session.close()
        except (DHError, grpc.RpcError, flight.FlightError):
            session.is_connected = False  # stops its timer, which would try for ever

    def _connect(self) -> ClientSession:
        self._require_answer()
        auth_type, token = ("Anonymous", "") if self._key is None else (_PSK, self._key.key)
        try:
            return ClientSession(
                host=self.host,
                port=self.port,
                auth_type=auth_type,
                auth_token=token,
                use_tls=self._tls,
                tls_root_certs=self._roots,
            )
        except (DHError, grpc.RpcError) as error:
            raise self._explained(error) from error

    def _require_answer(self) -> None:
        # gRPC would try for long, and then not say why.
        try:
            socket.create_connection((self.host, self.port), timeout=_ANSWER_SECONDS).close()
        except UnicodeError as error:
            raise ServerUnreachable(self.address, "that cannot be the name of a host") from error
        except OSError as error:
            raise ServerUnreachable(self.address, error.strerror or str(error)) from error

    def _call(self, action: Callable[[Session], T], *, repeatable: bool) -> T:
        """Do something on the server; where it was restarted meanwhile, once more on a new connection."""
        session = self._open_session()
        try:
            session.release_tables()
            return action(session)
        except (DHError, grpc.RpcError, flight.FlightError) as error:
            status = _status(error)
            if status not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED):
                raise ClientError(_message(error)) from error
            with self._lock:
                if self._session is session:
                    self._drop()
            # A session that the server does not know has done nothing there.
            if not repeatable and status is grpc.StatusCode.UNAVAILABLE:
                raise self._explained(error) from error
            if not repeatable:
                raise ServerUnreachable(self.address, "it was restarted: open the tables anew") from error
        try:
            return action(self._open_session())
        except (DHError, grpc.RpcError, flight.FlightError) as error:
            raise self._explained(error) from error

    def _open_session(self) -> ClientSession:
        with self._lock:
            if self._closed:
                raise ClientError("this client is closed: make a new DeephavenClient")
            if self._session is None:
                self._session = self._connect()
            return self._session

    def _explained(self, error: Exception) -> ClientError:
        status = _status(error)
        if status is grpc.StatusCode.UNAUTHENTICATED:
            return AccessRefused(self.address, None if self._key is None else self._key.found_in)
        if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED):
            reason = "something listens, but it does not answer as Deephaven"
            if not self._tls:
                return ServerUnreachable(self.address, f"{reason}; a server with TLS needs tls=True, --tls or --tls-ca")
            problem = tls_problem(self.host, self.port, self._roots, _ANSWER_SECONDS)
            return ServerUnreachable(self.address, problem or reason)
        return ClientError(_message(error))


def _status(error: BaseException) -> grpc.StatusCode | None:
    """Return the gRPC status behind an error, None where there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, grpc.RpcError):
            code: grpc.StatusCode = cause.code()
            return code
        if isinstance(cause, flight.FlightUnauthenticatedError):
            return grpc.StatusCode.UNAUTHENTICATED
        if isinstance(cause, flight.FlightUnavailableError):
            return grpc.StatusCode.UNAVAILABLE
        cause = cause.__cause__ or cause.__context__
    return None


def _message(error: BaseException) -> str:
    details = next((str(e.details()) for e in _chain(error) if isinstance(e, grpc.RpcError)), "")
    return f"{error}: {details}" if details else str(error)


def _chain(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found
