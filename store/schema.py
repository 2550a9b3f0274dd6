"""The database side of the store: tables, functions, row security, and the roles that reach them."""

from __future__ import annotations

import hashlib
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password

from store.errors import StoreError, UnknownPrincipal
from store.sql import script

__all__ = ["bootstrap_schema", "disable_user", "enable_user", "provision_user"]

# Applied once each, in this order; never edited after a release.
MIGRATIONS = ("tables", "outbox", "limits")
# Applied whenever their text changes.
DEFINITIONS = (
    "access",
    "fold",
    "mutate",
    "create",
    "append",
    "workflows",
    "log",
    "replay",
    "share",
    "reap",
    "rebuild",
    "triggers",
    "grants",
)

MAX_ROLE_NAME_BYTES = 63
CONNECTIONS_PER_USER = 64


def bootstrap_schema(admin_conn: Connection) -> None:
    """Create the store's schema in the connected database, or bring it up to date.

    Safe to call at every start, also from several processes at once; it changes nothing when all is current.

    Args:
        admin_conn: A superuser's connection to the database that shall hold the store.

    Raises:
        StoreError: The database was set up by a newer version of this package.
    """
    digest = hashlib.sha256("".join(map(script, ("roles", *MIGRATIONS, *DEFINITIONS))).encode()).hexdigest()
    with admin_conn, admin_conn.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('store bootstrap'))")
        applied, current = _installed(cursor)
        if applied > len(MIGRATIONS):
            raise StoreError(
                f"this database has schema version {applied}, newer than the {len(MIGRATIONS)} that this package knows:"
                " upgrade it"
            )
        if applied == len(MIGRATIONS) and current == digest:
            return
        cursor.execute(script("roles"))
        if applied == 0:
            cursor.execute("CREATE SCHEMA store AUTHORIZATION store_owner")
            cursor.execute(
                "CREATE TABLE store.schema_version (version integer NOT NULL, digest text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
            )
            cursor.execute("ALTER TABLE store.schema_version OWNER TO store_owner")
        cursor.execute("SET LOCAL ROLE store_owner")
        for name in (*MIGRATIONS[applied:], *DEFINITIONS):
            cursor.execute(script(name))
        cursor.execute("INSERT INTO store.schema_version VALUES (%s, %s)", (len(MIGRATIONS), digest))
        cursor.execute("RESET ROLE")
        cursor.execute(script("database"))


def provision_user(admin_conn: Connection, name: str, password: str, *, reads_all: bool = False) -> None:
    """Create a login for a user of the store, or set an existing one's password.

    The password leaves this process only as a SCRAM verifier, so that no server log can show it.

    Args:
        admin_conn: A superuser's connection.
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
            "SELECT pg_has_role(oid, 'store_user', 'MEMBER') AND NOT rolsuper, rolcanlogin"
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
            sql.SQL(
                "ALTER ROLE {} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
                " CONNECTION LIMIT {} PASSWORD {}"
            ).format(
                role,
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
            " AND pg_has_role(oid, 'store_user', 'MEMBER')",
            (name,),
        )
        if cursor.fetchone() is None:
            raise UnknownPrincipal(f"there is no user named {name!r}", principal=name)
        verb = sql.SQL("ALTER ROLE {} LOGIN" if allowed else "ALTER ROLE {} NOLOGIN")
        cursor.execute(verb.format(sql.Identifier(name)))


def _installed(cursor: Any) -> tuple[int, str | None]:
    """Return the schema version and the digest of the scripts that a database has, (0, None) for an empty one."""
    cursor.execute("SELECT to_regclass('store.schema_version')")
    if cursor.fetchone()[0] is None:
        return 0, None
    cursor.execute("SELECT version, digest FROM store.schema_version ORDER BY applied_at DESC LIMIT 1")
    row = cursor.fetchone()
    return (row[0], row[1]) if row else (0, None)


def _check_role_name(name: str) -> None:
    """Refuse what cannot be a user's name, before any statement is built."""
    if not name or "\0" in name:
        raise StoreError(f"{name!r} cannot be a user's name: it must not be empty or hold a NUL character")
    if len(name.encode()) > MAX_ROLE_NAME_BYTES:
        raise StoreError(f"{name!r} is {len(name.encode())} bytes long; PostgreSQL allows {MAX_ROLE_NAME_BYTES}")
    if name.startswith(("pg_", "store_")) or name in {"public", "none"}:
        raise StoreError(f"{name!r} is reserved: choose a name that does not begin with pg_ or store_")
