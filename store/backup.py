"""Everything a store holds, as it was at one moment, in one file: data, history, users, groups, grants, workflows.

The file holds rows, not programs: a restore makes the schema by this package's own scripts. It goes over any connection
that the store takes, TLS and releases of PostgreSQL included, which `pg_dump` of the embedded server does not.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import get_wait_callback, set_wait_callback

from store.archive import FORMAT, MANIFEST, Progress, new_archive, put_json
from store.errors import StoreError
from store.schema import MIGRATIONS
from store.sql import statements
from store.users import BOUNDS, DEFAULTS, MAX_VERIFIER_BYTES

__all__ = ["Backup", "back_up", "copying"]

ENGINE_SCHEMA = "workflow.json"
LOGINS = "logins.json"
BLOCK = 1 << 20
# The text in which rows are written must not depend on the session.
SETTINGS = {"intervalstyle": "postgres", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}


class Backup(NamedTuple):
    """What a backup holds.

    Attributes:
        made_at: The moment of which it is, by the server's clock.
        entities: How many there are, those gone included.
        events: How many there are.
        users: How many there are, disabled ones included.
        groups: How many there are.
        passwords: Whether it holds the users' password verifiers: only a superuser may read them.
    """

    made_at: datetime
    entities: int
    events: int
    users: int
    groups: int
    passwords: bool


class _Table(NamedTuple):
    schema: str
    name: str
    columns: list[str]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def back_up(admin_conn: Connection, path: Path, *, progress: Progress | None = None) -> Backup:
    """Write all that a store holds, as of one moment, to a file that only its owner reads; others go on writing.

    Args:
        admin_conn: A connection of whoever set the store up. With a superuser's the file holds the users' passwords as
            the server keeps them, so that they still hold after a restore.
        path: The file, which is not there yet.
        progress: Told how many rows are written, of how many.

    Returns:
        What the file holds.

    Raises:
        StoreError: There is no store, it is newer than this package, the login may not read all of it, or the file
            cannot be written. No part of a file is left.
    """
    with new_archive(path) as archive, admin_conn, admin_conn.cursor() as cursor:
        return _fill(archive, cursor, progress)


def _fill(archive: zipfile.ZipFile, cursor: Any, progress: Progress | None) -> Backup:
    tables = _lock_all(cursor)
    version = _version(cursor)
    cursor.execute("SELECT transaction_timestamp(), current_database(), current_setting('server_version_num')::int")
    made_at, dbname, server_version = cursor.fetchone()
    cursor.execute(statements("archive")["figures"])
    entities, events, groups = cursor.fetchone()
    total = 0
    for table in tables:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(table.identifier))
        total += cursor.fetchone()[0]
    written = 0
    described = []
    for table in tables:
        rows = _write(archive, cursor, table, written, total, progress)
        described.append({**table._asdict(), "rows": rows})
        written += rows
    # Behind the rows: a sequence may be further than what the snapshot shows, never behind it.
    sequences = _sequences(cursor)
    logins, passwords = _logins(cursor)
    put_json(archive, LOGINS, logins)
    put_json(archive, ENGINE_SCHEMA, _engine_schema(cursor))
    users = sum("store_user" in login["roles"] for login in logins)
    made = Backup(made_at, entities, events, users, groups, passwords)
    manifest = {
        "format": FORMAT,
        **made._asdict(),
        "made_at": made_at.isoformat(),
        "database": dbname,
        "server_version": server_version,
        "schema_version": version,
        "tables": described,
        "sequences": sequences,
    }
    put_json(archive, MANIFEST, manifest)
    return made


def _write(
    archive: zipfile.ZipFile, cursor: Any, table: _Table, before: int, total: int, progress: Progress | None
) -> int:
    """Write a table's rows, and return how many they are."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    text = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(columns, table.identifier)
    with archive.open(f"{table.schema}/{table.name}", "w", force_zip64=True) as member, copying():
        rows = _Rows(member, before, total, progress)
        cursor.copy_expert(text, rows)
        rows.flush()
    return rows.count


@contextmanager
def copying() -> Iterator[None]:
    """Let psycopg2 copy rows, which it does only where nobody else does its waiting. Each row is a place for Ctrl-C."""
    before = get_wait_callback()
    set_wait_callback(None)
    try:
        yield
    finally:
        set_wait_callback(before)


class _Rows:
    """Takes the rows of a COPY, and hands them on in blocks."""

    def __init__(self, file: IO[bytes], before: int, total: int, progress: Progress | None) -> None:
        self.count = 0
        self._file, self._before, self._total, self._progress = file, before, total, progress
        self._block = bytearray()

    def write(self, rows: bytes) -> int:
        self._block += rows
        if len(self._block) >= BLOCK:
            self.flush()
        return len(rows)

    def flush(self) -> None:
        self._file.write(self._block)
        self.count += self._block.count(b"\n")  # inside a row it is written as an escape
        self._block.clear()
        if self._progress is not None:
            self._progress(self._before + self.count, self._total)


def _lock_all(cursor: Any) -> list[_Table]:
    """Begin to read at one snapshot, in which no table is being truncated, and return all tables."""
    cursor.execute(statements("archive")["may_read_all"])
    (able,) = cursor.fetchone()
    if able is None:
        raise _no_store(cursor)
    if not able:
        raise StoreError(
            f"{cursor.connection.info.user} may not read all of the store: it takes the login of whoever set it up"
        )
    for _ in range(3):
        before = _tables(cursor)
        cursor.execute("COMMIT")
        # A snapshot from before the locks might be older than a TRUNCATE, and show an empty table.
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for name, value in SETTINGS.items():
            cursor.execute(f"SET LOCAL {name} = '{value}'")
        if before:
            names = sql.SQL(", ").join(table.identifier for table in before)
            cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
        if (tables := _tables(cursor)) == before:
            return tables
    raise StoreError("the store is being brought up to date: back it up when that is done")


def _tables(cursor: Any) -> list[_Table]:
    cursor.execute(statements("archive")["tables"])
    return [_Table(*row) for row in cursor.fetchall()]


def _version(cursor: Any) -> int:
    cursor.execute("SELECT to_regclass('store.schema_version')")
    if cursor.fetchone()[0] is None:
        raise _no_store(cursor)
    cursor.execute(statements("archive")["version"])
    version: int = cursor.fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(
            f"this database has schema version {version}, newer than the {len(MIGRATIONS)} that this package knows:"
            " upgrade it"
        )
    return version


def _no_store(cursor: Any) -> StoreError:
    return StoreError(f"there is no store in database {cursor.connection.info.dbname}: the command init makes one")


def _sequences(cursor: Any) -> list[dict[str, Any]]:
    cursor.execute(statements("archive")["sequences"])
    found = []
    for schema, name in cursor.fetchall():
        cursor.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name)))
        last_value, is_called = cursor.fetchone()
        found.append({"schema": schema, "name": name, "last_value": last_value, "is_called": is_called})
    return found


def _logins(cursor: Any) -> tuple[list[dict[str, Any]], bool]:
    """Return the users and engines' logins, and whether their password verifiers could be read."""
    texts = statements("archive")
    cursor.execute(texts["logins"], ([*DEFAULTS, *BOUNDS],))
    names = ("name", "enabled", "connections", "valid_until", "roles", "settings")
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    cursor.execute(texts["may_read_verifiers"])
    (able,) = cursor.fetchone()
    verifiers = {}
    if able:
        cursor.execute(texts["verifiers"], (MAX_VERIFIER_BYTES,))
        verifiers = dict(cursor.fetchall())
    return [{**login, "verifier": verifiers.get(login["name"])} for login in found], able


def _engine_schema(cursor: Any) -> dict[str, list[str]]:
    """Return the statements that make the workflow engine's tables anew, before and after their rows."""
    cursor.execute("SELECT to_regnamespace('workflow') IS NOT NULL")
    if not cursor.fetchone()[0]:
        return {"before": [], "after": []}
    cursor.execute("SET LOCAL search_path = pg_catalog")  # so that all else is named in full
    cursor.execute(statements("archive")["engine_unknown"])
    unknown = [name for (name,) in cursor.fetchall()]
    if unknown:
        raise StoreError(
            f"the schema workflow holds {', '.join(unknown)}, which is no table and no function of a workflow engine,"
            " and which a backup cannot hold: use pg_dump"
        )
    cursor.execute(statements("archive")["engine_objects"])
    found = cursor.fetchall()
    return {
        "before": [statement for after, statement in found if not after],
        "after": [statement for after, statement in found if after],
    }
