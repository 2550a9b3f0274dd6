"""One connection of the engine's role, made again when it breaks."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from workflow.errors import EngineError

__all__ = ["Database"]


class Database:
    """Runs statements as the engine's role, one at a time, from any thread.

    Args:
        url: A psycopg URL.
    """

    def __init__(self, url: str) -> None:
        """Connect nothing yet."""
        self._url = url
        self._lock = threading.Lock()
        self._conn: psycopg.Connection[Any] | None = None

    def fetch(self, text: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows. A query whose connection broke is sent once more on a new one.

        Raises:
            psycopg.OperationalError: The server cannot be reached.
        """
        with self._lock:
            try:
                return self._run(text, params)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if not text.lstrip().startswith("SELECT"):
                    raise
                return self._run(text, params)

    def change(self, text: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement that changes rows, and return how many."""
        with self._lock:
            return max(0, self._cursor(text, params).rowcount)

    def script(self, text: str) -> None:
        """Run several statements without parameters."""
        with self._lock:
            self._connected().execute(sql.SQL(text))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._conn is not None:
                self._conn.close()
            self._conn = None

    def _run(self, text: str, params: Mapping[str, Any] | None) -> list[tuple[Any, ...]]:
        return self._cursor(text, params).fetchall()

    def _cursor(self, text: str, params: Mapping[str, Any] | None) -> psycopg.Cursor[Any]:
        try:
            return self._connected().execute(text, params)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if self._conn is not None:
                self._conn.close()
                self._conn = None
            raise

    def _connected(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            if not isinstance(self._url, str):
                raise EngineError(f"the engine's URL is a text, as server.dbos_url() returns it, not {self._url!r}")
            try:
                self._conn = psycopg.connect(self._url, autocommit=True, application_name="workflow")
            except psycopg.ProgrammingError:
                # What libpq says of it shows part of it, perhaps the password.
                raise EngineError(
                    "the engine's URL cannot be read: pass it as server.dbos_url() returns it, what is special in a"
                    " password written as %XX"
                ) from None
        return self._conn
