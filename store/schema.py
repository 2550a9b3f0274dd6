"""The database side of the store: tables, functions, row security, and the roles that reach them."""

from __future__ import annotations

import hashlib
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password

from store.errors import StoreError, UnknownPrincipal
from store.protection import Shortfall, lock_setup, protect
from store.sql import script

__all__ = ["bootstrap_schema", "disable_user", "enable_user", "provision_user"]

# Applied once each, in this order; never edited after a release.
MIGRATIONS = ("tables", "outbox", "limits", "stability", "places")
# Applied whenever their text changes.
DEFINITIONS = (
    "casing",
    "access",
    "fold",
    "mutate",
    "create",
    "append",
    "workflows",
    "log",
    "stream",
    "replay",
    "share",
    "reap",
    "rebuild",
    "triggers",
    "grants",
)

OLDEST_POSTGRES = 15
MAX_ROLE_NAME_BYTES = 63
CONNECTIONS_PER_USER = 64


def bootstrap_schema(admin_conn: Connection) -> list[Shortfall]:
    """Create the store's schema in the connected database, or bring it up to date.

    Safe to call at every start, also from several processes at once; it changes nothing when all is current.

    Args:
        admin_conn: An administrator's connection to the database that shall hold the store, in PostgreSQL 15 or newer:
            a superuser's, or, as on managed servers, that of a role with CREATEROLE who owns the database.

    Returns:
        What could not be done for want of rights, and what that means; nothing for a superuser.

    Raises:
        StoreError: The server or the database cannot hold a store, the login may not set one up, or a newer version of
            this package did.
    """
    names = ("roles", *MIGRATIONS, *DEFINITIONS, "database")
    digest = hashlib.sha256("".join(map(script, names)).encode()).hexdigest()
    with admin_conn, admin_conn.cursor() as cursor:
        _require_server(admin_conn, cursor)
        lock_setup(cursor)
        applied, current, complete = _installed(cursor)
        if applied > len(MIGRATIONS):
            raise StoreError(
                f"this database has schema version {applied}, newer than the {len(MIGRATIONS)} that this package knows:"
                " upgrade it"
            )
        if applied < len(MIGRATIONS) or current != digest:
            _apply(cursor, applied, digest)
        elif complete:
            return []
        shortfalls = protect(cursor)
        if not shortfalls:
            cursor.execute("UPDATE store.schema_version SET complete = true WHERE NOT complete")
    return shortfalls


def provision_user(admin_conn: Connection, name: str, password: str, *, reads_all: bool = False) -> None:
    """Create a login for a user of the store, or set an existing one's password.

    The password leaves this process only as a SCRAM verifier, so that no server log can show it.

    Args:
        admin_conn: An administrator's connection.
        name: Any PostgreSQL role name of 1 to 63 bytes of UTF-8.
        password: The user's password, not empty.
        reads_all: Whether the user sees every entity (a bridge, an auditor). Such a user still writes only its own.

    Raises:
        StoreError: The name or the password cannot be used, the name belongs to a role that is not the store's, or the
            user is disabled.
    """
    _check_role_name(name)
    if not password or "\0" in password:
        raise StoreError(f"user {name!r} needs a password that is not empty and holds no NUL character")
    role = sql.Identifier(name)
    with admin_conn, admin_conn.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('store roles'))")
        cursor.execute(
            "SELECT pg_has_role(oid, 'store_user', 'USAGE') AND NOT rolsuper, rolcanlogin,"
            # Only a superuser may so much as mention some of these.
            " concat(CASE WHEN rolcreatedb THEN 'NOCREATEDB ' END, CASE WHEN rolcreaterole THEN 'NOCREATEROLE ' END,"
            " CASE WHEN rolreplication THEN 'NOREPLICATION ' END, CASE WHEN rolbypassrls THEN 'NOBYPASSRLS ' END)"
            " FROM pg_roles WHERE rolname = %s",
            (name,),
        )
        row = cursor.fetchone()
        if row is None:
            cursor.execute("SELECT 1 FROM store.groups WHERE group_name = %s", (name,))
            if cursor.fetchone():
                raise StoreError(f"{name!r} is the name of a group: choose another name for the user")
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT").format(role))
        elif not row[0]:
            raise StoreError(f"the role {name!r} exists and is not a user of the store: choose another name")
        elif not row[1]:
            raise StoreError(f"user {name!r} is disabled: enable_user() lets it log in again")
        cursor.execute(
            sql.SQL("ALTER ROLE {} LOGIN INHERIT {} CONNECTION LIMIT {} PASSWORD {}").format(
                role,
                sql.SQL(row[2] if row else ""),
                sql.Literal(CONNECTIONS_PER_USER),
                sql.Literal(encrypt_password(password, name, admin_conn, "scram-sha-256")),
            )
        )
        cursor.execute(sql.SQL("GRANT store_user TO {}").format(role))
        verb = sql.SQL("GRANT store_reads_all TO {}" if reads_all else "REVOKE store_reads_all FROM {}")
        cursor.execute(verb.format(role))


def disable_user(admin_conn: Connection, name: str) -> None:
    """Refuse a user's login and end its sessions. What the user wrote and shared stays.

    Raises:
        UnknownPrincipal: There is no such user.
    """
    _allow_login(admin_conn, name, False)
    # Only now: a client whose session ends comes back at once.
    with admin_conn, admin_conn.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))


def enable_user(admin_conn: Connection, name: str) -> None:
    """Let a disabled user log in again, with the password it had.

    Raises:
        UnknownPrincipal: There is no such user.
    """
    _allow_login(admin_conn, name, True)


def _allow_login(admin_conn: Connection, name: str, allowed: bool) -> None:
    with admin_conn, admin_conn.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_roles WHERE rolname = %s AND NOT rolsuper AND rolname <> 'store_user'"
            " AND pg_has_role(oid, 'store_user', 'USAGE')",
            (name,),
        )
        if cursor.fetchone() is None:
            raise UnknownPrincipal(f"there is no user named {name!r}", principal=name)
        verb = sql.SQL("ALTER ROLE {} LOGIN" if allowed else "ALTER ROLE {} NOLOGIN")
        cursor.execute(verb.format(sql.Identifier(name)))


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


def _apply(cursor: Any, applied: int, digest: str) -> None:
    """Make the roles and the schema, or bring them up to date from the number of migrations applied."""
    try:
        cursor.execute(script("roles"))
    except psycopg2.errors.InsufficientPrivilege as error:
        raise StoreError(
            "the store's roles exist on this server and belong to another administrator, who can hand them on: GRANT"
            f" store_owner, store_admin, store_user, store_reads_all, store_engine TO {cursor.connection.info.user}"
            f" WITH ADMIN OPTION ({error.diag.message_primary})"
        ) from error
    if applied == 0:
        cursor.execute("SELECT to_regnamespace('store') IS NOT NULL")
        if cursor.fetchone()[0]:
            raise StoreError("this database has a schema named store that is not a store's: choose another database")
        cursor.execute("CREATE SCHEMA store AUTHORIZATION store_owner")
    cursor.execute("SET LOCAL ROLE store_owner")
    cursor.execute(script("version"))
    for name in (*MIGRATIONS[applied:], *DEFINITIONS):
        cursor.execute(script(name))
    cursor.execute("INSERT INTO store.schema_version (version, digest) VALUES (%s, %s)", (len(MIGRATIONS), digest))
    cursor.execute("RESET ROLE")


def _installed(cursor: Any) -> tuple[int, str | None, bool]:
    """Return a database's schema version, the digest of its scripts, and whether all of them could be done."""
    cursor.execute("SELECT to_regclass('store.schema_version')")
    if cursor.fetchone()[0] is None:
        return 0, None, False
    # As an object: earlier versions lack some columns.
    cursor.execute("SELECT to_jsonb(v) FROM store.schema_version v ORDER BY applied_at DESC LIMIT 1")
    found = (cursor.fetchone() or [{}])[0]
    return found.get("version", 0), found.get("digest"), found.get("complete", False)


def _check_role_name(name: str) -> None:
    """Refuse what cannot be a user's name, before any statement is built."""
    if not name or "\0" in name:
        raise StoreError(f"{name!r} cannot be a user's name: it must not be empty or hold a NUL character")
    if len(name.encode()) > MAX_ROLE_NAME_BYTES:
        raise StoreError(f"{name!r} is {len(name.encode())} bytes long; PostgreSQL allows {MAX_ROLE_NAME_BYTES}")
    if name.startswith(("pg_", "store_")) or name in {"public", "none"}:
        raise StoreError(f"{name!r} is reserved: choose a name that does not begin with pg_ or store_")
