"""What PostgreSQL keeps in place of a password is its user's to choose, and before release 18 of any length."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store import backup, users
from store.backup import LOGINS, back_up
from store.models import Trade
from store.restore import open_backup
from tests.fix_postgres import StoreDatabase
from tests.integration.archives import empty_database, restored, saved

pytestmark = pytest.mark.both_servers

OTHERS = "SELECT username FROM store.reap()", "SELECT store.share(%s, 'hoarder', 'READ')"


def verifier_of(size: int) -> str:
    """Return a verifier that PostgreSQL takes for one, with a salt of so many bytes."""
    salt, key = (base64.b64encode(os.urandom(each)).decode() for each in (size, 32))
    return f"SCRAM-SHA-256$4096:{salt}${key}:{key}"


@pytest.fixture
def hoarder(store_db: StoreDatabase) -> Iterator[Connection]:
    """The session of a user of this test's own."""
    store_db.provision("hoarder")
    try:
        with closing(store_db.connect("hoarder")) as conn:
            conn.autocommit = True
            yield conn
    finally:
        with closing(store_db.admin()) as admin, admin, admin.cursor() as cursor:
            cursor.execute("DROP ROLE hoarder")


def lengthen(store_db: StoreDatabase, hoarder: Connection, size: int) -> bool:
    """Give the user's login a long verifier; return whether the user could do it himself."""
    change = "ALTER ROLE hoarder PASSWORD %s"
    if hoarder.server_version < 180_000:
        hoarder.cursor().execute(change, (verifier_of(size),))
        return True
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded):
        hoarder.cursor().execute(change, (verifier_of(size),))
    with closing(store_db.admin()) as admin, admin, admin.cursor() as cursor:  # as a server's upgrade leaves one behind
        cursor.execute("UPDATE pg_authid SET rolpassword = %s WHERE rolname = 'hoarder'", (verifier_of(600),))
    return False


@pytest.mark.parametrize("tool", ["users", "backup"])
def test_password_of_a_user_does_not_fill_an_administrator_s_tools(
    store_db: StoreDatabase, hoarder: Connection, tmp_path: Path, tool: str
) -> None:
    with closing(store_db.admin()) as admin:
        for number, most in enumerate((None, 1_000_000)):
            before = memory_of(admin)
            if tool == "users":
                assert users.User("hoarder", False, False, True) in users.list_users(admin)
            else:
                back_up(admin, tmp_path / f"{number}.backup")
            assert most is None or memory_of(admin) - before < most
            if not number and not lengthen(store_db, hoarder, 4_000_000):
                return  # nothing is to be had on this release


def test_password_of_the_base_role_goes_with_the_user_who_made_it(store_db: StoreDatabase, hoarder: Connection) -> None:
    """Before release 16, who is a member of a role can act as it; all sessions hold what there is of the base role."""
    with hoarder.cursor() as cursor:
        if hoarder.server_version >= 160_000:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("SET ROLE store_user")
            return
        cursor.execute("SET ROLE store_user")
        cursor.execute("ALTER ROLE store_user PASSWORD %s", (verifier_of(600),))
    with closing(store_db.admin()) as admin:
        users.disable_user(admin, "hoarder")
        with admin, admin.cursor() as cursor:
            cursor.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'store_user'")
            assert cursor.fetchone() == (None,)


def memory_of(conn: Connection) -> int:
    with conn.cursor() as cursor:
        cursor.execute("SELECT sum(total_bytes) FROM pg_backend_memory_contexts")
        return int(cursor.fetchone()[0])


def test_password_of_a_user_does_not_grow_the_backup(
    store_db: StoreDatabase, hoarder: Connection, tmp_path: Path
) -> None:
    lengthen(store_db, hoarder, 600)
    with closing(store_db.admin()) as admin:
        back_up(admin, tmp_path / "desk.backup")
    with open_backup(tmp_path / "desk.backup") as archive:
        lengths = {login["name"]: len(login["verifier"] or "") for login in archive.json(LOGINS)}
    assert lengths["hoarder"] == 0
    assert 0 < lengths["alice"] <= users.MAX_VERIFIER_BYTES


def test_password_that_no_server_takes_keeps_nobody_s_store_from_being_restored(
    store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"enabled": True, "connections": 64, "valid_until": None, "roles": ["store_user"], "settings": []}
    login = {"name": "hoarder", **facts, "verifier": verifier_of(600)}
    monkeypatch.setattr(backup, "_logins", lambda cursor: ([login], True))
    path = saved(store_db, tmp_path / "desk.backup")
    try:
        with empty_database(store_db.server) as database:
            assert restored(path, database).without_password == ["hoarder"]
    finally:
        with closing(store_db.admin()) as admin, admin, admin.cursor() as cursor:
            cursor.execute("DROP ROLE IF EXISTS hoarder")


@pytest.mark.parametrize("asked", OTHERS)
def test_password_of_a_user_does_not_fill_the_sessions_of_others(
    store_db: StoreDatabase, hoarder: Connection, asked: str
) -> None:
    entity_id = store_db.client("alice").write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    params = (entity_id,) if "%s" in asked else None
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:  # who alone is told what a session's memory is for
        conn.autocommit = True
        cursor.execute(asked, params)
        before = memory_of(conn)
        if not lengthen(store_db, hoarder, 4_000_000):
            return  # nothing is to be had on this release
        cursor.execute(asked, params)
        assert memory_of(conn) - before < 1_000_000
        cursor.execute("SELECT pg_has_role('hoarder', 'store_user', 'USAGE')")
        assert memory_of(conn) - before > 4_000_000, "such a question shows what the others do without"
