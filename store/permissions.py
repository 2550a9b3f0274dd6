"""Who may see and change an entity: sharing with users and groups.

Each function takes a psycopg2 connection of the user who shares (`client.conn`). What it does holds at once, for the
entity's whole history, and stands in its audit trail. The owner and those with write access may share; what the owner
granted, only the owner withdraws.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg2.extensions import STATUS_READY, TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Connection

from store.base import require_entity_id
from store.connection import commit, run
from store.errors import StoreError, shown
from store.scalars import ValueRefused, require_text
from store.sql import statements

__all__ = [
    "Grant",
    "list_shared_with",
    "share_read",
    "share_write",
    "unshare",
    "unshare_read",
    "unshare_write",
]


class Grant(NamedTuple):
    """Access of one user or group to an entity.

    Attributes:
        principal: The user or group.
        access: READ or WRITE.
        grantor: Who granted it.
    """

    principal: str
    access: str
    grantor: str


def share_read(conn: Connection, entity_id: str, user_or_group: str) -> None:
    """Let a user or a group read an entity, its history included.

    Raises:
        UnknownPrincipal: There is no such user or group, or the user is disabled.
        EntityNotFound: There is no such entity that the caller may see.
        AccessDenied: The caller may read the entity but not share it.
        StoreError: The name is the owner's.
    """
    _call(conn, "share", entity_id, user_or_group, "READ")


def share_write(conn: Connection, entity_id: str, user_or_group: str) -> None:
    """Let a user or a group read, change and share an entity. Raises as `share_read` does."""
    _call(conn, "share", entity_id, user_or_group, "WRITE")


def unshare(conn: Connection, entity_id: str, user_or_group: str) -> None:
    """Withdraw all access that was granted to a user or a group.

    What is not granted needs no withdrawal: that is no error. A member of a group that has access keeps the group's.

    Raises:
        UnknownPrincipal: There is no such user or group, and nothing was ever granted to one.
        EntityNotFound: There is no such entity that the caller may see.
        AccessDenied: The caller may not share the entity, or did not grant this and is not the owner.
        StoreError: The name is the owner's.
    """
    _call(conn, "unshare", entity_id, user_or_group, ["READ", "WRITE"])


def unshare_read(conn: Connection, entity_id: str, user_or_group: str) -> None:
    """Withdraw a grant made by `share_read`. A grant to write stays, and reading with it. Raises as `unshare` does."""
    _call(conn, "unshare", entity_id, user_or_group, ["READ"])


def unshare_write(conn: Connection, entity_id: str, user_or_group: str) -> None:
    """Withdraw a grant made by `share_write`. A grant to read stays. Raises as `unshare` does."""
    _call(conn, "unshare", entity_id, user_or_group, ["WRITE"])


def list_shared_with(conn: Connection, entity_id: str) -> list[Grant]:
    """Return the grants in force on an entity, by name; none for one that the caller may not see."""
    return [Grant(*row) for row in _call(conn, "grants_of", entity_id)]


def _call(conn: Connection, name: str, entity_id: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run a statement at once: in its own transaction, unless the caller has one open on the connection."""
    if not isinstance(conn, Connection):
        raise StoreError(f"pass a connection first, such as client.conn, not {shown(conn)}")
    alone = conn.status == STATUS_READY and conn.info.transaction_status == TRANSACTION_STATUS_IDLE
    own_transaction = alone and not conn.autocommit
    changing = name != "grants_of" and alone and conn.autocommit  # else its COMMIT decides
    for principal in params[:1]:
        if not isinstance(principal, str):
            raise StoreError(f"pass the name of a user or group, not {shown(principal)}")
        try:
            require_text(principal)
        except ValueRefused as error:
            raise StoreError(f"the name of a user or group: {error}") from None
    text = statements("queries")[name]
    for number in range(1, len(params) + 2):
        text = text.replace(f"${number}", "%s")
    try:
        rows = run(conn, text, [require_entity_id(entity_id), *params], changing=changing)
    except BaseException:
        if own_transaction and not conn.closed:
            conn.rollback()
        raise
    if own_transaction:
        commit(conn)
    return rows
