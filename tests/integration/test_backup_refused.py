"""Backup and restore: what is refused, interrupted or broken off, and leaves nothing half done."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store import backup, groups, restore
from store.archive import MANIFEST, new_archive, put_json
from store.backup import back_up
from store.errors import StoreError
from store.models import Trade
from store.restore import open_backup
from tests.fix_children import Children
from tests.fix_postgres import StoreDatabase
from tests.integration.archives import (
    empty_database,
    restored,
    saved,
)
from tests.integration.workers.command_line import CommandLine, by_url
from tests.waiting import wait_until

USERS = ("alice", "bob", "carol")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's own user may enter, too."""
    parent = Path(tempfile.mkdtemp(prefix="store-test-"))
    yield parent
    shutil.rmtree(parent)


def test_an_altered_byte_and_a_truncation_are_refused(store_db: StoreDatabase, tmp_path: Path) -> None:
    store_db.client().write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    whole = saved(store_db, tmp_path / "desk.backup").read_bytes()
    other = tmp_path / "other.backup"
    for place in [*range(300), *range(300, len(whole) - 300, 17), *range(len(whole) - 300, len(whole))]:
        other.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=r"altered|not a backup"):
            open_backup(other)
    for length in [*range(0, len(whole), 297), len(whole) - 1]:
        other.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"not all of a backup|not a backup|altered"):
            open_backup(other)
    other.write_bytes(whole + b"\n")
    with pytest.raises(StoreError, match="altered"):
        open_backup(other)


def test_restore_of_an_altered_file_makes_nothing(store_db: StoreDatabase, folder: Path) -> None:
    whole = saved(store_db, folder / "desk.backup").read_bytes()
    (folder / "desk.backup").write_bytes(whole[:-200])
    command = CommandLine()
    assert "is not all of a backup" in command.fails("restore", str(folder / "desk.backup"), str(folder / "desk"))
    assert "cannot be read: No such file" in command.fails("restore", str(folder / "none"), str(folder / "desk"))
    assert "cannot be read: Is a directory" in command.fails("restore", str(folder), str(folder / "desk"))
    (folder / "text").write_text("-- PostgreSQL database dump")
    assert "is not a backup of a store" in command.fails("restore", str(folder / "text"), str(folder / "desk"))
    assert not (folder / "desk").exists()


def test_a_backup_of_a_newer_package_is_refused(tmp_path: Path) -> None:
    for name, facts in (("form", {"format": 2}), ("schema", {"format": 1, "schema_version": 99})):
        with new_archive(tmp_path / name) as archive:
            put_json(archive, MANIFEST, facts)
        with pytest.raises(StoreError, match=r"newer than the .* that this package"):
            open_backup(tmp_path / name)


def test_restore_refuses_what_is_not_empty_unless_told(store_db: StoreDatabase, tmp_path: Path) -> None:
    path = saved(store_db, tmp_path / "desk.backup")
    with empty_database(store_db.server) as database:
        restored(path, database)
        database.client().write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
        with pytest.raises(StoreError, match="restore into an empty one, or let this one's content go with --replace"):
            restored(path, database)
        assert database.client("bob").count(Trade) == 0
        with pytest.raises(StoreError, match=r"other sessions are connected .*alice"):
            restored(path, database, replace=True)
        assert database.client().count(Trade) == 1
        database.close()
        wait_until(lambda: sessions_of(database) == 0)  # a session ends a moment after its connection
        restored(path, database, replace=True)
        assert database.client().count(Trade) == 0


def test_restore_does_not_wait_for_who_comes_after_it_has_looked(
    store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(store_db, tmp_path / "desk.backup")
    look = restore._require_empty
    with empty_database(store_db.server) as database:
        restored(path, database)

        def looked(*given: Any) -> None:
            look(*given)
            with database.client().conn.cursor() as cursor:
                cursor.execute("BEGIN; SELECT count(*) FROM store.object_heads")

        monkeypatch.setattr(restore, "_require_empty", looked)
        monkeypatch.setattr(restore, "LOCK_TIMEOUT", "100ms")
        with pytest.raises(StoreError, match=r"somebody reads database .* since just now: end what uses the store"):
            restored(path, database, replace=True)
        assert database.client("bob").count(Trade) == 0


def sessions_of(database: StoreDatabase) -> int:
    with closing(database.server.admin_conn("postgres")) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [database.dbname])
        return int(cursor.fetchone()[0])


def test_restore_leaves_a_directory_alone_that_is_not_a_store_s(store_db: StoreDatabase, folder: Path) -> None:
    saved(store_db, folder / "desk.backup")
    place = (str(folder / "desk.backup"), str(folder))
    assert f"{folder} holds other files, and no store" in CommandLine().fails("restore", *place)
    assert [path.name for path in folder.iterdir()] == ["desk.backup"]
    (folder / "desk").mkdir()
    (folder / "desk" / ".lock").touch(mode=0o600)  # as a start that was interrupted leaves it
    assert "restored to database" in CommandLine().lines("restore", place[0], str(folder / "desk"))[0]


def test_restore_leaves_a_schema_alone_that_is_not_a_store_s(store_db: StoreDatabase, tmp_path: Path) -> None:
    path = saved(store_db, tmp_path / "desk.backup")
    for name in ("store", "workflow"):
        with empty_database(store_db.server) as database:
            with database.admin() as conn, conn.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {name}; CREATE TABLE {name}.precious AS SELECT 1")
            with pytest.raises(StoreError, match=f"the schema {name} .* is not a store's"):
                restored(path, database, replace=True)
            with database.admin() as conn, conn.cursor() as cursor:
                cursor.execute(f"SELECT * FROM {name}.precious")


def test_names_that_are_somebody_else_s_on_the_server_are_refused(store_db: StoreDatabase, tmp_path: Path) -> None:
    store_db.provision("victor")
    path = saved(store_db, tmp_path / "desk.backup")
    with closing(store_db.admin()) as conn:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute("REVOKE store_user FROM victor")
            try:
                with empty_database(store_db.server) as database:
                    with pytest.raises(StoreError, match="the role 'victor' exists on this server and is no user"):
                        restored(path, database)
                    with closing(database.admin()) as inside, inside.cursor() as looking:
                        looking.execute("SELECT to_regnamespace('store')")
                        assert looking.fetchone() == (None,)
            finally:
                cursor.execute("DROP OWNED BY victor; DROP ROLE victor")


def test_a_login_that_a_forged_backup_would_make_more_than_a_user_is_refused(
    store_db: StoreDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = {
        "name": "trudy",
        "enabled": True,
        "connections": 64,
        "valid_until": None,
        "roles": ["store_user", "pg_execute_server_program"],
        "settings": [],
        "verifier": None,
    }
    monkeypatch.setattr(backup, "_logins", lambda cursor: ([forged], False))
    path = saved(store_db, tmp_path / "desk.backup")
    with empty_database(store_db.server) as database:
        with pytest.raises(StoreError, match="'trudy' a member of 'pg_execute_server_program', which is no role of"):
            restored(path, database)
        with closing(database.admin()) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT to_regnamespace('store'), EXISTS (SELECT FROM pg_roles WHERE rolname = 'trudy')")
            assert cursor.fetchone() == (None, False)


def test_a_group_with_the_name_of_a_role_is_refused(store_db: StoreDatabase, tmp_path: Path) -> None:
    with closing(store_db.admin()) as conn:
        groups.create_group(conn, "walter", [])
        path = saved(store_db, tmp_path / "desk.backup")
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute("CREATE ROLE walter")
            try:
                with (
                    empty_database(store_db.server) as database,
                    pytest.raises(StoreError, match="groups walter have the names of roles"),
                ):
                    restored(path, database)
            finally:
                cursor.execute("DROP ROLE walter")


def test_backup_overwrites_nothing_and_needs_a_store_and_rights(store_db: StoreDatabase, tmp_path: Path) -> None:
    path = tmp_path / "desk.backup"
    path.write_text("precious")
    postgres = by_url(store_db, "postgres")
    assert "is there already" in postgres.fails("backup", str(path))
    assert path.read_text() == "precious"
    assert "No such file or directory" in postgres.fails("backup", str(tmp_path / "none" / "x"))
    assert "takes the login of whoever set it up" in by_url(store_db, "alice").fails("backup", str(tmp_path / "x"))
    with empty_database(store_db.server) as database:
        message = by_url(database, "postgres").fails("backup", str(tmp_path / "x"))
        assert message == f"Error: there is no store in database {database.dbname}: the command init makes one"
    assert "there is no store in" in CommandLine().fails("backup", str(tmp_path / "nothing"), str(tmp_path / "x"))
    assert "named twice" in postgres.fails("backup", str(tmp_path), str(tmp_path / "x"), status=2)
    assert "too many arguments" in CommandLine().fails("backup", "a", "b", "c", status=2)
    assert [file.name for file in tmp_path.iterdir()] == ["desk.backup"]


def test_an_interrupt_leaves_no_file_and_no_half_of_a_store(store_db: StoreDatabase, tmp_path: Path) -> None:
    store_db.client().write_many([Trade(symbol="AAPL", quantity=n, price=1.0, side="BUY") for n in range(1, 51)])

    def interrupt(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with closing(store_db.admin()) as conn, pytest.raises(KeyboardInterrupt):
        back_up(conn, tmp_path / "desk.backup", progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    path = saved(store_db, tmp_path / "desk.backup")
    with empty_database(store_db.server) as database:
        with pytest.raises(KeyboardInterrupt):
            restored(path, database, progress=interrupt)
        with closing(database.admin()) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT to_regnamespace('store')")
            assert cursor.fetchone() == (None,)
        restored(path, database)
        assert database.client().count(Trade) == 50


def test_ctrl_c_and_sigterm_end_a_backup_that_waits(
    store_db: StoreDatabase, children: Children, tmp_path: Path
) -> None:
    blocking = store_db.admin()
    with blocking.cursor() as cursor:
        cursor.execute("LOCK TABLE store.object_events IN ACCESS EXCLUSIVE MODE")
    command = by_url(store_db, "postgres")
    for end, status in (("interrupt", 130), ("terminate", 143)):
        child = children.run("-m", "store", *command.options, "backup", str(tmp_path / "x"), env=command.environment())
        with closing(store_db.admin()) as conn, conn.cursor() as cursor:
            conn.autocommit = True

            def waits(cursor: Any = cursor) -> bool:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE%' AND wait_event_type"
                    " = 'Lock' AND datname = current_database()"
                )
                return bool(cursor.fetchone()[0])

            wait_until(waits)
            assert [file.suffix for file in tmp_path.iterdir()] == [".partial"]
            if end == "interrupt":
                child.interrupt()
            else:
                child.send(15)
            assert child.wait() == status, child.output
            assert list(tmp_path.iterdir()) == []
            wait_until(lambda: not waits())


FULL_DISK = """
import resource, sys
from store.cli import main
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
status = main(sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, before)  # what measures this program may write again
sys.exit(status)
"""


def test_a_full_disk_leaves_no_file(store_db: StoreDatabase, children: Children, tmp_path: Path) -> None:
    path = tmp_path / "desk.backup"
    command = by_url(store_db, "postgres")
    child = children.run("-c", FULL_DISK, *command.options, "backup", str(path), env=command.environment())
    assert child.wait() == 1
    assert child.lines == [f"Error: the backup cannot be written to {path}: File too large"]
    assert list(tmp_path.iterdir()) == []


def test_progress_is_shown_on_a_terminal_only(store_db: StoreDatabase, tmp_path: Path) -> None:
    command = by_url(store_db, "postgres")
    status, screen = command.on_a_terminal("backup", str(tmp_path / "one"), STORE_PASSWORD="")
    assert (status, "100%" in screen) == (0, True), screen
    assert command.lines("backup", str(tmp_path / "two"))  # which looks for an empty error stream
    [facts] = command.records("backup", str(tmp_path / "three"))
    assert (facts["events"], facts["passwords"], facts["file"]) == (0, True, str(tmp_path / "three"))


def test_a_lost_connection_is_told_and_leaves_no_file(store_db: StoreDatabase, tmp_path: Path) -> None:
    with closing(store_db.admin()) as conn:
        pid = conn.info.backend_pid

        def cut(done: int, total: int) -> None:
            with closing(store_db.admin()) as other, other.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

        with pytest.raises(Exception, match=r"terminat|closed|connection"):
            back_up(conn, tmp_path / "desk.backup", progress=cut)
    assert list(tmp_path.iterdir()) == []
