"""What protects a whole server or database, as far as the administrator may: managed servers keep some rights back."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection

from store.sql import statements

__all__ = ["Shortfall", "lock_setup", "protect", "protect_database"]


class Shortfall(NamedTuple):
    """Something that could not be done for want of rights.

    Attributes:
        name: Its name in `store/sql/database.sql`.
        reason: What PostgreSQL said.
        consequence: What is so without it.
    """

    name: str
    reason: str
    consequence: str


def protect_database(admin_conn: Connection) -> list[Shortfall]:
    """Do what concerns the whole server or database; each statement on its own, as far as the administrator may.

    `bootstrap_schema` does it as well. A copy of a store's database needs it again: copies lose a database's rights.

    Args:
        admin_conn: An administrator's connection to the store's database.

    Returns:
        What could not be done.
    """
    with admin_conn, admin_conn.cursor() as cursor:
        lock_setup(cursor)
        return protect(cursor)


def lock_setup(cursor: Any) -> None:
    """Keep other processes from setting up or changing the same database meanwhile, until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('store bootstrap'))")


def protect(cursor: Any) -> list[Shortfall]:
    """Do the same inside the caller's transaction."""
    # PostgreSQL only warns of a REVOKE that revokes nothing because the rights are not the caller's to revoke.
    cursor.execute("SET LOCAL client_min_messages = warning")
    return [found for name in statements("database") if (found := _try(cursor, name)) is not None]


def _try(cursor: Any, name: str) -> Shortfall | None:
    text = statements("database")[name]
    told = cursor.connection.notices
    del told[:]
    cursor.execute("SAVEPOINT protection")
    try:
        cursor.execute(text)
        reason = told[0] if told else None
    except psycopg2.errors.InsufficientPrivilege as error:
        reason = error.diag.message_primary or str(error)
        cursor.execute("ROLLBACK TO SAVEPOINT protection")
    cursor.execute("RELEASE SAVEPOINT protection")
    if reason is None:
        return None
    comment = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
    return Shortfall(name, reason.partition("  ")[2].strip() or reason, " ".join(comment))
