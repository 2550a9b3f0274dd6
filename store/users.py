"""The users of a store, from provisioning to disabling: PostgreSQL logins, looked after by whoever set the store up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password

from store.connection import run
from store.errors import AccessDenied, StoreError, UnknownPrincipal, shown
from store.sql import statements

__all__ = [
    "User",
    "change_own_password",
    "change_password",
    "changing",
    "check_name",
    "disable_user",
    "enable_user",
    "grant_role",
    "list_users",
    "provision_user",
    "set_for_role",
    "silence",
    "verifier",
]

MAX_NAME_BYTES = 63
MAX_VERIFIER_BYTES = 512  # beyond which PostgreSQL takes none from release 18 on
CONNECTIONS_PER_USER = 64
# Nobody but a superuser can set these: what a user's sorts may take of the disk, and that it cannot fill the log. Not
# by what is FATAL either: a session can make each of its errors that (exit_on_error), with values of any length.
BOUNDS = {"temp_file_limit": "2GB"}
SILENCE = {"log_min_messages": "panic"}
# A session may set these anew: they end what was forgotten, not what is meant.
DEFAULTS = {"statement_timeout": "10min", "idle_in_transaction_session_timeout": "5min"}
# What a change of a login meets that its own user is changing: it waits for that, or finds it changed.
OVERTAKEN = (psycopg2.errors.LockNotAvailable, psycopg2.errors.InternalError_)
LOCK_TIMEOUT = "2s"
ATTEMPTS = 10  # at disabling a user, who may come back to change its login again
ENDING_SECONDS = 10.0  # for the sessions of a disabled user to end


class User(NamedTuple):
    """A user of the store.

    Attributes:
        name: The login.
        reads_all: Whether it sees every entity.
        admin: Whether it is an administrator: it sees and changes every entity, and looks after groups.
        enabled: Whether it may log in.
    """

    name: str
    reads_all: bool
    admin: bool
    enabled: bool


def provision_user(
    admin_conn: Connection, name: str, password: str, *, reads_all: bool = False, admin: bool = False
) -> None:
    """Create a login for a user of the store, or set an existing one's password.

    The password leaves this process only as a SCRAM verifier, so that no server log can show it.

    Args:
        admin_conn: A connection of whoever set the store up.
        name: Any PostgreSQL role name of 1 to 63 bytes of UTF-8 that does not begin with `pg_` or `store_`.
        password: The user's password, not empty.
        reads_all: Whether the user sees every entity (a bridge, an auditor). Such a user still writes only its own.
        admin: Whether the user is an administrator of the store, who sees and changes every entity and looks after
            groups. What it does stands under its own name. It cannot make users: that takes a superuser.

    Raises:
        AccessDenied: The connection's login may not make users.
        StoreError: The name or the password cannot be used, the name belongs to a group or to a role that is not the
            store's, or the user is disabled.
    """
    check_name(name, "a user's name")
    secret = verifier(admin_conn, name, password)
    role = sql.Identifier(name)
    with _changing_roles(admin_conn) as cursor:
        cursor.execute(
            # Who may create roles set the store up, or could have done so: no user, though a member.
            "SELECT pg_has_role(oid, 'store_user', 'USAGE') AND NOT rolsuper AND NOT rolcreaterole, rolcanlogin,"
            # Only a superuser may so much as mention some of these.
            " concat(CASE WHEN rolcreatedb THEN 'NOCREATEDB ' END, CASE WHEN rolreplication THEN 'NOREPLICATION ' END,"
            " CASE WHEN rolbypassrls THEN 'NOBYPASSRLS ' END)"
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
                role, sql.SQL(row[2] if row else ""), sql.Literal(CONNECTIONS_PER_USER), sql.Literal(secret)
            )
        )
        set_for_role(cursor, role, DEFAULTS)
        set_for_role(cursor, role, BOUNDS)
        silence(cursor, role)
        for group, member in (("store_user", True), ("store_reads_all", reads_all), ("store_admin", admin)):
            if member:
                grant_role(cursor, sql.Identifier(group), role)
            else:
                cursor.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(group), role))
        kind = [word for word, given in (("reads all", reads_all), ("administrator", admin)) if given]
        _record(cursor, "USER_ADDED" if row is None else "USER_CHANGED", name, ", ".join(kind) or None)


def change_password(admin_conn: Connection, name: str, password: str) -> None:
    """Set a user's password; what the user may do stays. See `StoreClient.change_password` for one's own.

    Sessions that are open go on: to end them, disable the user and enable it again.

    Raises:
        UnknownPrincipal: There is no such user.
        StoreError: The password cannot be used.
    """
    with _changing_roles(admin_conn) as cursor:
        _require_user(cursor, name)
        secret = verifier(admin_conn, name, password)
        cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(secret)))
        _record(cursor, "USER_CHANGED", name, "password")


def change_own_password(conn: Connection, password: str) -> None:
    """Set the password of a connection's own login. A `StoreClient` does it with `change_password`.

    Raises:
        StoreError: The password cannot be used.
    """
    secret = verifier(conn, str(conn.info.user), password)
    with changing(conn):
        run(conn, "ALTER ROLE CURRENT_USER PASSWORD %s", [secret], changing=True)


def disable_user(admin_conn: Connection, name: str) -> None:
    """Refuse a user's login and end its sessions. What the user wrote and shared stays.

    Raises:
        UnknownPrincipal: There is no such user.
        StoreError: The user can no longer log in, but its sessions are not the administrator's to end, or PostgreSQL
            does not end one: it lets some computations finish, however long they take.
    """
    _allow_login(admin_conn, name, False)
    # Only now: a client whose session ends comes back at once.
    try:
        with changing(admin_conn) as cursor:
            _end_sessions(cursor, name)
    except psycopg2.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"user {name!r} can no longer log in, but its sessions go on: ending them takes the right to act as it"
            f" ({error.diag.message_primary})"
        ) from error
    _clear_base_role(admin_conn)
    if lasting := _lasting_sessions(admin_conn, name):
        raise StoreError(
            f"user {name!r} can no longer log in, but what it computes goes on in process {', '.join(lasting)} of the"
            " server, which PostgreSQL ends only when that is done: until then, what its transaction locked stays"
            " locked, and listeners may wait. Whoever runs the server ends it by `kill -9` of the process: the server"
            " then restarts, and everybody's sessions end"
        )


def enable_user(admin_conn: Connection, name: str) -> None:
    """Let a disabled user log in again, with the password it had.

    Raises:
        UnknownPrincipal: There is no such user.
    """
    _allow_login(admin_conn, name, True)


def list_users(conn: Connection) -> list[User]:
    """Return the users, by name."""
    with changing(conn):
        return [User(*row) for row in run(conn, statements("queries")["users"])]


def check_name(name: str, what: str) -> None:
    """Refuse what cannot be the name of a user or a group, before any statement is built.

    Raises:
        StoreError: The name is none of 1 to 63 bytes of UTF-8, holds a NUL character, or is reserved.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise StoreError(f"{shown(name)} cannot be {what}: it is a text, not empty and without NUL characters")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise StoreError(f"{shown(name)} cannot be {what}: it holds half a surrogate pair") from None
    if size > MAX_NAME_BYTES:
        raise StoreError(f"{shown(name)} is {size} bytes long; {what} has at most {MAX_NAME_BYTES}")
    if name.startswith(("pg_", "store_")) or name in {"public", "none"}:
        raise StoreError(f"{name!r} is reserved: choose a name that does not begin with pg_ or store_")


def verifier(conn: Connection, name: str, password: str) -> str:
    """Return what a server keeps instead of a password (SCRAM-SHA-256, RFC 5802): it cannot be logged in with.

    Raises:
        StoreError: The password is empty, or cannot be sent.
    """
    if not isinstance(password, str) or not password or "\0" in password:
        raise StoreError(f"user {name!r} needs a password that is not empty and holds no NUL character")
    try:
        return str(encrypt_password(password, name, conn, "scram-sha-256"))
    except UnicodeEncodeError:
        raise StoreError(f"the password of user {name!r} holds half a surrogate pair") from None


@contextmanager
def changing(admin_conn: Connection) -> Iterator[Any]:
    """Yield a cursor of a transaction of its own; what is open on the connection is committed before it.

    The connection may be in autocommit mode, or inside a `with` block of the caller's.
    """
    admin_conn.commit()
    autocommit, admin_conn.autocommit = admin_conn.autocommit, False
    try:
        with admin_conn.cursor() as cursor:
            # Behind a lock, a change must see what the one before it did.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            yield cursor
        admin_conn.commit()
    finally:
        if not admin_conn.closed:
            admin_conn.rollback()
            admin_conn.autocommit = autocommit


@contextmanager
def _changing_roles(admin_conn: Connection, *, in_turn: bool = True) -> Iterator[Any]:
    """Yield a cursor of a transaction in which, in turn, no other one changes users or groups.

    PostgreSQL lets each user change its own login: who leaves that open is not waited for without end.
    """
    with changing(admin_conn) as cursor:
        try:
            if in_turn:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtext('store roles'))")
            cursor.execute("SET LOCAL lock_timeout = %s", (LOCK_TIMEOUT,))
            yield cursor
        except psycopg2.errors.InsufficientPrivilege as error:
            raise AccessDenied(
                f"{admin_conn.info.user} may not do that: it takes the login of whoever set the store up"
                f" ({error.diag.message_primary})"
            ) from error
        except OVERTAKEN as error:
            raise StoreError(
                "the user changes its own login at this moment, or keeps such a change open: try again, or disable the"
                f" user, which ends its sessions ({error.diag.message_primary})"
            ) from error


def grant_role(cursor: Any, group: sql.Identifier, role: sql.Identifier) -> None:
    """Give a login the rights of one of the store's roles, but not its place.

    Whoever can act as a role can change the role's settings. They hold for nobody, and are nobody's to change.
    """
    alone = sql.SQL(" WITH SET FALSE" if cursor.connection.server_version >= 160_000 else "")
    cursor.execute(sql.SQL("GRANT {} TO {}{}").format(group, role, alone))


def silence(cursor: Any, role: sql.Identifier) -> None:
    """Keep a login from filling the server's log, as far as the administrator may.

    What a login has set for itself in one database comes first when it logs in, and PostgreSQL tells its log of values
    that are no good, in full: so this is set there too, before all else.
    """
    if not set_for_role(cursor, role, SILENCE):
        return
    cursor.execute("SELECT quote_ident(current_database())")
    here = f" IN DATABASE {cursor.fetchone()[0]}"
    cursor.execute(sql.SQL("ALTER ROLE {} {} RESET ALL").format(role, sql.SQL(here)))
    set_for_role(cursor, role, SILENCE, here)


def set_for_role(cursor: Any, role: sql.Identifier, settings: dict[str, str], where: str = "") -> bool:
    """Set what holds for a role's sessions, as far as the administrator may; return whether that is all of it."""
    able = True
    for setting, value in settings.items():
        cursor.execute("SAVEPOINT setting")
        try:
            cursor.execute(
                sql.SQL("ALTER ROLE {} {} SET {} = {}").format(
                    role, sql.SQL(where), sql.Identifier(setting), sql.Literal(value)
                )
            )
        except psycopg2.errors.InsufficientPrivilege:
            cursor.execute("ROLLBACK TO SAVEPOINT setting")
            able = False
        cursor.execute("RELEASE SAVEPOINT setting")
    return able


def _end_sessions(cursor: Any, name: str) -> None:
    """End a user's sessions, also those that are logging in just now.

    Whose these are is shown nowhere, and a user who says so can stay among them for half an hour (post_auth_delay). So
    it is done as the user, who may end its own sessions and nobody else's.
    """
    role = sql.Identifier(name)
    # In this order: who logs in meanwhile leaves the second list, and is in the third.
    cursor.execute("SELECT DISTINCT pid FROM pg_locks WHERE pid <> pg_backend_pid()")
    busy = {pid for (pid,) in cursor.fetchall()}
    cursor.execute("SELECT pg_stat_clear_snapshot()")
    cursor.execute("SELECT pid, usename, backend_type FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    known = {pid: (user, kind) for pid, user, kind in cursor.fetchall()}
    named = [pid for pid, (user, _) in known.items() if user == name]
    coming = [pid for pid in busy if known.get(pid, (None, "client backend")) == (None, "client backend")]
    cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    (able,) = cursor.fetchone()
    if not able:
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))  # which whoever made the role may do
    for pid in named + coming:
        cursor.execute("SAVEPOINT ending")
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
        try:
            cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
        except psycopg2.errors.InsufficientPrivilege:
            if pid in named:
                raise
        cursor.execute("ROLLBACK TO SAVEPOINT ending")
    if not able:
        cursor.execute(sql.SQL("REVOKE {} FROM CURRENT_USER").format(role))


def _clear_base_role(admin_conn: Connection) -> None:
    """Take back what a user may have made the password of the base role, before release 16, as long as it likes.

    Every session of a user holds it. Another user may be at it at this moment: disabling this one does not wait.
    """
    if admin_conn.server_version < 160_000:
        with suppress(*OVERTAKEN), changing(admin_conn) as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", (LOCK_TIMEOUT,))
            cursor.execute("ALTER ROLE store_user PASSWORD NULL")


def _lasting_sessions(admin_conn: Connection, name: str) -> list[str]:
    """Wait for a user's sessions to end, and return the processes of those that do not."""
    deadline = time.monotonic() + ENDING_SECONDS
    while True:
        with changing(admin_conn) as cursor:
            cursor.execute("SELECT pid::text FROM pg_stat_activity WHERE usename = %s ORDER BY pid", (name,))
            lasting = [pid for (pid,) in cursor.fetchall()]
        if not lasting or time.monotonic() > deadline:
            return lasting
        time.sleep(0.02)


def _require_user(cursor: Any, name: str) -> None:
    check_name(name, "a user's name")
    cursor.execute(
        "SELECT FROM pg_roles WHERE rolname = %s AND NOT rolsuper AND NOT rolcreaterole"
        " AND NOT starts_with(rolname, 'store_')"
        " AND pg_has_role(oid, 'store_user', 'USAGE')",
        (name,),
    )
    if cursor.fetchone() is None:
        raise UnknownPrincipal(f"there is no user named {name!r}", principal=name)


def _allow_login(admin_conn: Connection, name: str, allowed: bool) -> None:
    # No name comes or goes: it need not wait for those who change others, and who may wait for this very user.
    with _changing_roles(admin_conn, in_turn=False) as cursor:
        _require_user(cursor, name)
        verb = sql.SQL("ALTER ROLE {} LOGIN" if allowed else "ALTER ROLE {} NOLOGIN")
        for attempts_left in reversed(range(1 if allowed else ATTEMPTS)):
            cursor.execute("SAVEPOINT login")
            try:
                cursor.execute(verb.format(sql.Identifier(name)))
                break
            except OVERTAKEN:
                if not attempts_left:
                    raise
            cursor.execute("ROLLBACK TO SAVEPOINT login")
            _end_sessions(cursor, name)
        _record(cursor, "USER_ENABLED" if allowed else "USER_DISABLED", name, None)


def _record(cursor: Any, action: str, subject: str, detail: str | None) -> None:
    cursor.execute("SELECT store.record_administration(%s, %s, %s)", (action, subject, detail))
