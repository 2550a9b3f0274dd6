"""A PostgreSQL server whose administrator is no superuser, as where somebody else runs the machine."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2

from store import schema

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from store.protection import Shortfall
    from tests.fix_postgres import Server

ADMINISTRATOR = "dba"
DATABASE = "managed"


class ManagedServer:
    """A role that may create roles and databases, and a database of its own, in which it has set a store up.

    Args:
        server: The server.
        alone: Whether no store has been set up on the server before; else this one's roles are there already.

    Attributes:
        shortfalls: What the administrator could not do.
    """

    def __init__(self, server: Server, *, alone: bool) -> None:
        self.server = server
        with closing(server.admin_conn("postgres")) as conn:
            conn.autocommit = True
            with conn.cursor() as cursor:
                if alone:
                    cursor.execute(f'DROP DATABASE "{server.conn_info()["dbname"]}"')
                    cursor.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'store\\_%'")
                    for (role,) in cursor.fetchall():
                        cursor.execute(f"DROP ROLE {role}")
                cursor.execute(f"CREATE ROLE {ADMINISTRATOR} LOGIN CREATEROLE CREATEDB PASSWORD 'dba_pw'")
                cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {ADMINISTRATOR} TEMPLATE template0 ENCODING 'UTF8'")
        self.shortfalls = self.set_up()

    def set_up(self) -> list[Shortfall]:
        with closing(self.admin_conn()) as conn:
            return schema.bootstrap_schema(conn)

    def conn_info(self) -> dict[str, Any]:
        return self.server.conn_info() | {"dbname": DATABASE}

    def admin_conn(self, dbname: str | None = None) -> Connection:
        """Return a new connection of the administrator; to the server's own database, of the superuser."""
        if dbname == "postgres":
            return self.server.admin_conn(dbname)
        where = self.conn_info() | {"dbname": dbname or DATABASE}
        return psycopg2.connect(user=ADMINISTRATOR, password="dba_pw", **where)

    def provision_user(self, name: str, password: str, *, reads_all: bool = False) -> None:
        with closing(self.admin_conn()) as conn:
            schema.provision_user(conn, name, password, reads_all=reads_all)

    def close(self) -> None:
        """Leave the server as it was; not where it was alone, since such a server ends with the test."""
        with closing(self.server.admin_conn("postgres")) as conn:
            conn.autocommit = True
            with conn.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
                cursor.execute(f"DROP OWNED BY {ADMINISTRATOR}; DROP ROLE {ADMINISTRATOR}")
