"""A store made anew from the file of a backup: all of it, or nothing."""

from __future__ import annotations

import graphlib
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from store.archive import Archive, Progress
from store.backup import ENGINE_SCHEMA, LOGINS, SETTINGS, Backup, copying
from store.errors import StoreError
from store.protection import Shortfall, lock_setup
from store.schema import LOCK_TIMEOUT, MIGRATIONS, make_schema
from store.sql import statements
from store.users import BOUNDS, DEFAULTS, MAX_VERIFIER_BYTES, grant_role, set_for_role, silence

__all__ = ["Restored", "open_backup", "restore"]

BLOCK = 1 << 16
ROLES = ("store_user", "store_reads_all", "store_admin", "store_engine")


class Restored(NamedTuple):
    """What a restore did.

    Attributes:
        backup: What the file held.
        kept: Users who were on the server already, and keep their passwords and rights there.
        without_password: Users made without a password, since the file holds none: each needs a new one.
        shortfalls: What could not be done for want of rights.
    """

    backup: Backup
    kept: list[str]
    without_password: list[str]
    shortfalls: list[Shortfall]


def open_backup(path: Path, progress: Progress | None = None) -> Archive:
    """Open a backup, once every byte of it is checked. Close it after use.

    Args:
        path: The file.
        progress: Told how many bytes are checked, of how many.

    Raises:
        StoreError: It is no backup, not whole, altered, or newer than this package.
    """
    archive = Archive(path, progress)
    version = archive.manifest["schema_version"]
    if version > len(MIGRATIONS):
        archive.close()
        raise StoreError(
            f"{path} is of a store with schema version {version}, newer than the {len(MIGRATIONS)} that this package"
            " knows: upgrade it"
        )
    return archive


def restore(
    admin_conn: Connection,
    archive: Archive,
    *,
    replace: bool = False,
    own_engine: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Make a database hold the store of a backup, brought up to date; in one transaction.

    Args:
        admin_conn: A connection of whoever may set a store up in the database.
        archive: The backup.
        replace: Whether what the database's store holds is to go. Nobody else may be connected to it then.
        own_engine: Whether the server has an engine's login of its own, as embedded ones do.
        progress: Told how many rows are loaded, of how many.

    Returns:
        What was done.

    Raises:
        StoreError: The database holds something already, a name in the backup is another role's on the server, or the
            login may not do this. Nothing is changed.
    """
    with admin_conn, admin_conn.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        for name, value in SETTINGS.items():
            cursor.execute(f"SET LOCAL {name} = '{value}'")
        lock_setup(cursor)
        _require_empty(cursor, replace)
        cursor.execute("SET LOCAL client_min_messages = warning")  # what goes with a schema is a long list
        _drop_content(cursor)
        loader = _Loader(cursor, archive, progress)
        shortfalls = make_schema(cursor, archive.manifest["schema_version"], loader.load_store)
        loader.load_engine()
        kept, without = _make_logins(cursor, archive, own_engine)
        _require_names(cursor)
        backup = _backup(archive)
        told = f"the backup of {backup.made_at.isoformat()}"
        cursor.execute("SELECT store.record_administration('RESTORED', current_database(), %s)", [told])
        cursor.execute("ANALYZE store.object_heads, store.object_events, store.share_events")
    return Restored(backup, kept, without, shortfalls)


def _backup(archive: Archive) -> Backup:
    facts = {name: archive.manifest[name] for name in Backup._fields}
    return Backup(**{**facts, "made_at": datetime.fromisoformat(facts["made_at"])})


def _require_empty(cursor: Any, replace: bool) -> None:
    """Refuse a database in which somebody may lose something."""
    dbname = cursor.connection.info.dbname
    texts = statements("archive")
    cursor.execute(texts["foreign_schemas"])
    foreign = [name for (name,) in cursor.fetchall()]
    if foreign:
        raise StoreError(f"the schema {foreign[0]} in database {dbname} is not a store's: choose another database")
    if replace:
        cursor.execute(texts["others_connected"])
        sessions, who = cursor.fetchone()
        if sessions:
            raise StoreError(
                f"{sessions} other sessions are connected to database {dbname} ({who}): end what uses the store before"
                " its content is replaced"
            )
        return
    filled = False
    cursor.execute(texts["has_store"])
    for table, there in zip(("object_events", "admin_events", "publications"), cursor.fetchone(), strict=True):
        if there and not filled:
            cursor.execute(f"SELECT EXISTS (SELECT FROM store.{table})")
            (filled,) = cursor.fetchone()
    cursor.execute(texts["engine_tables"])
    if filled or cursor.fetchone()[0]:
        raise StoreError(
            f"database {dbname} holds a store with users or data of its own: restore into an empty one, or let this"
            " one's content go with --replace"
        )


def _drop_content(cursor: Any) -> None:
    cursor.execute("SET LOCAL lock_timeout = %s", (LOCK_TIMEOUT,))
    try:
        cursor.execute("DROP SCHEMA IF EXISTS store CASCADE")
        cursor.execute("DROP SCHEMA IF EXISTS workflow CASCADE")
    except psycopg2.errors.LockNotAvailable as error:
        raise StoreError(
            f"somebody reads database {cursor.connection.info.dbname} since just now: end what uses the store before"
            " its content is replaced"
        ) from error
    cursor.execute("SET LOCAL lock_timeout = 0")


class _Loader:
    """Fills tables from an archive."""

    def __init__(self, cursor: Any, archive: Archive, progress: Progress | None) -> None:
        self._cursor, self._archive, self._progress = cursor, archive, progress
        self._tables = archive.manifest["tables"]
        self._total = sum(table["rows"] for table in self._tables)
        self._loaded = 0

    def load_store(self) -> None:
        """Fill the store's tables; those that others refer to come first."""
        there = {name: columns for schema, name, columns in self._rows("tables") if schema == "store"}
        tables = {table["name"]: table for table in self._tables if table["schema"] == "store"}
        version = self._archive.manifest["schema_version"]
        for name, table in tables.items():
            if sorted(there.get(name, [])) != sorted(table["columns"]):
                raise StoreError(
                    f"the backup's table store.{name} is not that of schema version {version}: it was made by a version"
                    " of this package that was never released"
                )
        needed = defaultdict(set)
        for name, other in self._rows("references"):
            needed[name].add(other)
        order = [n for n in graphlib.TopologicalSorter({n: needed[n] for n in tables}).static_order() if n in tables]
        for name in reversed(order):
            self._cursor.execute(
                sql.SQL("DELETE FROM {}").format(sql.Identifier("store", name))
            )  # what a script put in
        for name in order:
            self._copy(tables[name])
        self._set_sequences("store")

    def load_engine(self) -> None:
        """Make the workflow engine's tables, fill them, and put their indexes and constraints on."""
        schema = self._archive.json(ENGINE_SCHEMA)
        if not schema["before"] and not schema["after"]:
            return
        self._cursor.execute("SET LOCAL ROLE store_engine")
        self._cursor.execute("SET LOCAL check_function_bodies = off")
        for statement in schema["before"]:
            self._cursor.execute(statement)
        for table in self._tables:
            if table["schema"] == "workflow":
                self._copy(table)
        self._set_sequences("workflow")
        for statement in schema["after"]:
            self._cursor.execute(statement)
        self._cursor.execute("RESET ROLE")

    def _copy(self, table: dict[str, Any]) -> None:
        text = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table["schema"], table["name"]), sql.SQL(", ").join(map(sql.Identifier, table["columns"]))
        )
        with self._archive.open(f"{table['schema']}/{table['name']}") as member, copying():
            rows = _Rows(member, self._loaded, self._total, self._progress)
            try:
                self._cursor.copy_expert(text, rows, BLOCK)
            except psycopg2.Error:
                # Of what ends the reading, Ctrl-C or a broken disk, psycopg2 tells the server only.
                if rows.failure is not None:
                    raise rows.failure from None
                raise
        if self._cursor.rowcount != table["rows"]:
            raise StoreError(
                f"the backup names {table['rows']} rows of {table['schema']}.{table['name']} and holds"
                f" {self._cursor.rowcount}"
            )
        self._loaded += table["rows"]

    def _set_sequences(self, schema: str) -> None:
        for sequence in self._archive.manifest["sequences"]:
            if sequence["schema"] == schema:
                name = sql.Identifier(schema, sequence["name"]).as_string(self._cursor)
                self._cursor.execute("SELECT setval(%s, %s, %s)", (name, sequence["last_value"], sequence["is_called"]))

    def _rows(self, statement: str) -> list[Any]:
        self._cursor.execute(statements("archive")[statement])
        found: list[Any] = self._cursor.fetchall()
        return found


class _Rows:
    """Hands out the rows of a member, and counts them."""

    def __init__(self, file: IO[bytes], before: int, total: int, progress: Progress | None) -> None:
        self._file, self._done, self._total, self._progress = file, before, total, progress
        self.failure: BaseException | None = None

    def read(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
            self._done += block.count(b"\n")
            if self._progress is not None:
                self._progress(self._done, self._total)
        except BaseException as error:
            self.failure = error
            raise
        return block


def _make_logins(cursor: Any, archive: Archive, own_engine: bool) -> tuple[list[str], list[str]]:
    """Make the users and engines' logins that the server lacks; return those it has, and those without a password.

    Roles belong to the whole server. One that is there keeps what it has, which may be newer than the backup: a
    password changed, a user disabled.
    """
    cursor.execute(statements("archive")["known_roles"])
    known = {name: (ours, can_login) for name, ours, can_login in cursor.fetchall()}
    kept, without = [], []
    for login in archive.json(LOGINS):
        name, role, secret = login["name"], sql.Identifier(login["name"]), login["verifier"]
        if secret is not None and len(secret.encode()) > MAX_VERIFIER_BYTES:
            secret = None  # of an older server's user, who keeps nobody else's store from being restored
        if name == "store_engine":
            if not own_engine and not known[name][1] and secret:
                cursor.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(secret)))
            continue
        if name in known:
            if not known[name][0]:
                raise StoreError(
                    f"the role {name!r} exists on this server and is no user of a store, and in the backup it is one:"
                    " it would come to what that user owns. Rename one of the two"
                )
            kept.append(name)
            continue
        until = sql.SQL(" VALID UNTIL {}").format(sql.Literal(login["valid_until"]))
        cursor.execute(
            sql.SQL("CREATE ROLE {} {} INHERIT CONNECTION LIMIT {} PASSWORD {}{}").format(
                role,
                sql.SQL("LOGIN" if login["enabled"] else "NOLOGIN"),
                sql.Literal(login["connections"]),
                sql.Literal(secret),
                until if login["valid_until"] else sql.SQL(""),
            )
        )
        own = dict(setting.split("=", 1) for setting in login["settings"])
        set_for_role(cursor, role, {n: own[n] for n in (*DEFAULTS, *BOUNDS) if n in own})
        silence(cursor, role)
        for group in login["roles"]:
            if group not in ROLES:
                raise StoreError(f"the backup makes {name!r} a member of {group!r}, which is no role of the store")
            grant_role(cursor, sql.Identifier(group), role)
        if secret is None:
            without.append(name)
    return kept, without


def _require_names(cursor: Any) -> None:
    """Refuse a server on which a group's name is a role's: who logs in under it would get no access."""
    cursor.execute(statements("archive")["groups_named_as_roles"])
    names = [name for (name,) in cursor.fetchall()]
    if names:
        raise StoreError(
            f"the backup's groups {', '.join(names)} have the names of roles of this server: rename one of the two"
        )
