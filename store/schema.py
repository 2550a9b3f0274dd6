"""The database side of the store: tables, functions, row security, and the roles that reach them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from store.errors import StoreError
from store.protection import Shortfall, lock_setup, protect
from store.publishing import publish, retire, set_governed
from store.sql import script, statements
from store.users import OVERTAKEN, change_password, disable_user, enable_user, list_users, provision_user, silence

__all__ = [
    "bootstrap_schema",
    "change_password",
    "disable_user",
    "enable_user",
    "list_users",
    "make_schema",
    "provision_user",
    "publish",
    "retire",
    "set_governed",
]

# Applied once each, in this order; never edited after a release.
MIGRATIONS = (
    "tables",
    "outbox",
    "limits",
    "stability",
    "places",
    "administration",
    "published",
    "bounds",
    "snapshots",
    "fields",
    "amended",
    "edges",
    "shares",
    "batches",
    "checks",
    "ages",
    "weights",
)
# Whose constraints hold for changes from then on: a restored store has the rows that they let stand.
NOT_ASKED_OF_OLD_ROWS = ("weights",)
# Applied whenever their text changes.
DEFINITIONS = (
    "casing",
    "access",
    "fold",
    "values",
    "govern",
    "mutate",
    "create",
    "append",
    "append_batch",
    "workflows",
    "publish",
    "log",
    "stream",
    "replay",
    "share",
    "groups",
    "reap",
    "settle",
    "rebuild",
    "sweep",
    "triggers",
    "grants",
)

OLDEST_POSTGRES = 15
# Whoever comes while an upgrade waits for a table waits behind it: it does not wait for long.
LOCK_TIMEOUT = "10s"


def bootstrap_schema(admin_conn: Connection) -> list[Shortfall]:
    """Create the store's schema in the connected database, or bring it up to date.

    Safe to call at every start, also from several processes at once; it changes nothing when all is current.

    Args:
        admin_conn: An administrator's connection to the database that shall hold the store, in PostgreSQL 15 or newer:
            a superuser's, or, as on managed servers, that of a role with CREATEROLE who owns the database.

    Returns:
        What could not be done for want of rights, and what that means; nothing for a superuser.

    Raises:
        StoreError: The server or the database cannot hold a store, the login may not set one up, a newer version of
            this package did, or open transactions hold its tables.
    """
    try:
        with admin_conn, admin_conn.cursor() as cursor:
            return _bring_up_to_date(admin_conn, cursor)
    except psycopg2.errors.LockNotAvailable as error:
        raise StoreError(
            f"the store is read by open transactions, of {_holders(admin_conn)}: let them end, or end them, and repeat"
            " this"
        ) from error


def _bring_up_to_date(conn: Connection, cursor: Any) -> list[Shortfall]:
    digest = _digest()
    _require_server(conn, cursor)
    lock_setup(cursor)
    applied, current, complete = _installed(cursor)
    if applied > len(MIGRATIONS):
        raise StoreError(
            f"this database has schema version {applied}, newer than the {len(MIGRATIONS)} that this package knows:"
            " upgrade it"
        )
    if applied < len(MIGRATIONS) or current != digest:
        cursor.execute("SET LOCAL lock_timeout = %s", (LOCK_TIMEOUT,))
        _apply(cursor, applied, digest)
    elif complete:
        return []
    return _protect(cursor)


def _holders(conn: Connection) -> str:
    """Return whose transactions hold tables of the store."""
    with conn, conn.cursor() as cursor:
        cursor.execute(statements("queries")["holders"])
        names = [name for (name,) in cursor.fetchall()]
        return ", ".join(names) or "users who have gone"


def _require_server(conn: Connection, cursor: Any) -> None:
    """Refuse a server or a database that cannot hold a store, and a login that cannot set one up."""
    if conn.server_version < OLDEST_POSTGRES * 10_000:
        major, minor = divmod(conn.server_version, 10_000)
        raise StoreError(f"this is PostgreSQL {major}.{minor}; the store needs {OLDEST_POSTGRES} or newer")
    cursor.execute(
        "SELECT d.datname, pg_encoding_to_char(d.encoding), d.datistemplate, pg_is_in_recovery(), session_user,"
        " r.rolsuper OR (r.rolcreaterole AND pg_has_role(d.datdba, 'USAGE'))"
        " FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user"
    )
    dbname, encoding, template, standby, user, able = cursor.fetchone()
    if standby:
        raise StoreError(f"the server of database {dbname} is a read-only standby: run this on its primary")
    if encoding != "UTF8":
        raise StoreError(
            f"database {dbname} is encoded in {encoding}; the store needs UTF8:"
            " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    if template:
        raise StoreError(f"database {dbname} is a template of others: the store needs a database of its own")
    if not able:
        raise StoreError(
            f"{user} may not set up a store in database {dbname}: it takes a superuser, or the owner of the database"
            " with the right to create roles (CREATEROLE)"
        )


def make_schema(cursor: Any, version: int, load: Callable[[], None]) -> list[Shortfall]:
    """Make the schema of an earlier version, let it be filled, and bring it up to date, in the caller's transaction.

    Args:
        cursor: A cursor of an administrator's connection to a database without a store.
        version: How many migrations have been applied when `load` is called, as the schema's owner.
        load: Fills the tables; it meets neither row security nor triggers.

    Returns:
        What could not be done for want of rights.

    Raises:
        StoreError: The server or the database cannot hold a store, or the login may not set one up.
    """
    _require_server(cursor.connection, cursor)
    _make_roles(cursor)
    cursor.execute("CREATE SCHEMA store AUTHORIZATION store_owner")
    with _as_owner(cursor):
        for name in MIGRATIONS[:version]:
            if name not in NOT_ASKED_OF_OLD_ROWS:
                cursor.execute(script(name))
        load()
        for name in NOT_ASKED_OF_OLD_ROWS:
            if name in MIGRATIONS[:version]:
                cursor.execute(script(name))
    _apply(cursor, version, _digest())
    return _protect(cursor)


def _digest() -> str:
    names = ("roles", *MIGRATIONS, *DEFINITIONS, "database")
    return hashlib.sha256("".join(map(script, names)).encode()).hexdigest()


def _protect(cursor: Any) -> list[Shortfall]:
    shortfalls = protect(cursor)
    if not shortfalls:
        cursor.execute("UPDATE store.schema_version SET complete = true WHERE NOT complete")
    return shortfalls


def _apply(cursor: Any, applied: int, digest: str) -> None:
    """Make the roles and the schema, or bring them up to date from the number of migrations applied."""
    _make_roles(cursor)
    cursor.execute("SELECT to_regnamespace('store') IS NOT NULL, to_regclass('store.schema_version') IS NOT NULL")
    exists, ours = cursor.fetchone()
    if exists and not ours:
        raise StoreError("this database has a schema named store that is not a store's: choose another database")
    if not exists:
        cursor.execute("CREATE SCHEMA store AUTHORIZATION store_owner")
    with _as_owner(cursor):
        for name in MIGRATIONS[applied:]:
            cursor.execute(script(name))
        _define(cursor)
        cursor.execute("INSERT INTO store.schema_version (version, digest) VALUES (%s, %s)", (len(MIGRATIONS), digest))
    cursor.execute(statements("queries")["heard_users"])
    for (name,) in cursor.fetchall():
        try:
            silence(cursor, sql.Identifier(name))
        except OVERTAKEN as error:
            raise StoreError(
                f"user {name!r} changes its own login at this moment, or keeps such a change open: end its sessions,"
                f" and repeat this ({error.diag.message_primary})"
            ) from error


def _define(cursor: Any) -> None:
    """Make or replace functions, triggers, policies and grants."""
    text = "\n".join(map(script, DEFINITIONS))
    cursor.execute("SAVEPOINT definitions")
    try:
        cursor.execute(text)
    except psycopg2.errors.InvalidFunctionDefinition:
        # A result of another shape than before: such a function cannot be replaced.
        cursor.execute("ROLLBACK TO SAVEPOINT definitions")
        cursor.execute(script("sweep"))
        cursor.execute(text)


@contextmanager
def _as_owner(cursor: Any) -> Iterator[None]:
    """Act as the schema's owner; an error ends the transaction, and with it the role."""
    cursor.execute("SET LOCAL ROLE store_owner")
    cursor.execute(script("version"))
    yield
    cursor.execute("RESET ROLE")


def _make_roles(cursor: Any) -> None:
    try:
        cursor.execute(script("roles"))
    except psycopg2.errors.InsufficientPrivilege as error:
        raise StoreError(
            "the store's roles exist on this server and belong to another administrator, who can hand them on: GRANT"
            f" store_owner, store_admin, store_user, store_reads_all, store_engine TO {cursor.connection.info.user}"
            f" WITH ADMIN OPTION ({error.diag.message_primary})"
        ) from error


def _installed(cursor: Any) -> tuple[int, str | None, bool]:
    """Return a database's schema version, the digest of its scripts, and whether all of them could be done."""
    cursor.execute("SELECT to_regclass('store.schema_version')")
    if cursor.fetchone()[0] is None:
        return 0, None, False
    # As an object: earlier versions lack some columns.
    cursor.execute("SELECT to_jsonb(v) FROM store.schema_version v ORDER BY applied_at DESC LIMIT 1")
    found = (cursor.fetchone() or [{}])[0]
    return found.get("version", 0), found.get("digest"), found.get("complete", False)
