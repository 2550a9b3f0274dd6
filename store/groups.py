"""Groups: names that stand for several users wherever a user may stand, looked after by an administrator.

What is shared with a group is shared with whoever is its member at the time of reading: a change holds at once, for the
whole history of every entity.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from store.connection import run
from store.errors import StoreError
from store.sql import statements
from store.users import changing, check_name

__all__ = [
    "AdminEvent",
    "Group",
    "add_members",
    "administration",
    "create_group",
    "drop_group",
    "list_groups",
    "remove_members",
]


class Group(NamedTuple):
    """A group and its members, by name."""

    name: str
    members: list[str]


class AdminEvent(NamedTuple):
    """One act of an administrator.

    Attributes:
        at: When.
        actor: The login that did it.
        action: USER_ADDED, USER_CHANGED, USER_DISABLED, USER_ENABLED, GROUP_CREATED, GROUP_DROPPED, MEMBER_ADDED or
            MEMBER_REMOVED.
        subject: The user or the group.
        detail: The member; for a user, what it was made or that its password was set.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str | None


def create_group(admin_conn: Connection, name: str, members: Iterable[str] = ()) -> None:
    """Create a group.

    Args:
        admin_conn: An administrator's connection.
        name: Any name that a user could have, and that no user or group has.
        members: Users; groups have no groups as members.

    Raises:
        AccessDenied: The login is no administrator's.
        UnknownPrincipal: A member is no user of the store.
        StoreError: The name is taken, or cannot be used.
    """
    check_name(name, "a group's name")
    _call(admin_conn, "create_group", name, _names(members))


def drop_group(admin_conn: Connection, name: str) -> int:
    """Drop a group, and withdraw all that was granted to it: a later group of that name inherits nothing.

    Returns:
        How many entities were shared with it; the trail of each shows the withdrawal.

    Raises:
        AccessDenied: The login is no administrator's.
        UnknownPrincipal: There is no such group.
    """
    return int(_call(admin_conn, "drop_group", name)[0][0])


def add_members(admin_conn: Connection, name: str, members: Iterable[str]) -> None:
    """Add users to a group; those who are members already stay.

    Raises:
        AccessDenied: The login is no administrator's.
        UnknownPrincipal: There is no such group, or no such user.
    """
    _call(admin_conn, "add_members", name, _names(members))


def remove_members(admin_conn: Connection, name: str, members: Iterable[str]) -> None:
    """Take users out of a group; those who are no members are no error. Raises as `add_members` does."""
    _call(admin_conn, "remove_members", name, _names(members))


def list_groups(admin_conn: Connection) -> list[Group]:
    """Return the groups with their members, by name.

    Raises:
        AccessDenied: The login is no administrator's.
    """
    return [Group(*row) for row in _call(admin_conn, "list_groups")]


def administration(conn: Connection) -> list[AdminEvent]:
    """Return who administered users and groups, oldest first.

    Args:
        conn: A connection of an administrator, or of a user who reads all.

    Raises:
        AccessDenied: The login is neither.
    """
    return [AdminEvent(*row) for row in _call(conn, "administration")]


def _names(members: Iterable[str]) -> list[str]:
    if isinstance(members, str):
        raise StoreError(f"members takes a list of names: write [{members!r}]")
    names = list(members)
    for name in names:
        check_name(name, "a user's name")
    return names


def _call(conn: Connection, name: str, *params: Any) -> list[tuple[Any, ...]]:
    text = statements("queries")[name]
    for number in range(1, len(params) + 1):
        text = text.replace(f"${number}", "%s")
    with changing(conn):
        return run(conn, text, params, changing=name not in ("list_groups", "administration"))
