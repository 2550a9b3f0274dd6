"""Backup and restore: what comes back is what was there, at one moment, or the file is refused."""

from __future__ import annotations

import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from store import groups
from store.archive import MANIFEST, new_archive, put_json
from store.backup import back_up
from store.client import StoreClient
from store.errors import ConnectionLost, StoreError
from store.events import EventBus
from store.models import Trade
from store.restore import Restored, open_backup, restore
from store.server import ObjectStoreServer
from store.subscriptions import SubscriptionListener
from tests.external_postgres import ExternalPostgres
from tests.fix_children import Children
from tests.fix_postgres import StoreDatabase, fresh_database
from tests.integration.archives import (
    Parcel,
    answers_of,
    content_of,
    dumped_schema,
    empty_database,
    fill_with_everything,
    saved,
)
from tests.integration.workers.command_line import CommandLine, by_url
from tests.integration.workers.steady_writer import EVENTS
from tests.integration.workers.telling import start, told
from tests.managed_postgres import ManagedServer
from tests.waiting import wait_until
from workflow.dbos_engine import DBOSEngine

USERS = ("alice", "bob", "carol")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's own user may enter, too."""
    parent = Path(tempfile.mkdtemp(prefix="store-test-"))
    yield parent
    shutil.rmtree(parent)


def restored(path: Path, database: StoreDatabase, **options: Any) -> Restored:
    with open_backup(path) as archive, closing(database.admin()) as conn:
        return restore(conn, archive, **options)


@pytest.mark.both_servers
def test_a_restored_database_holds_and_answers_the_same(store_db: StoreDatabase, tmp_path: Path) -> None:
    fill_with_everything(store_db)
    before = {user: answers_of(store_db.client(user)) for user in USERS}
    assert all(len(answers) > 10 for answers in before.values())
    path = saved(store_db, tmp_path / "desk.backup")
    with empty_database(store_db.server) as database:
        done = restored(path, database)
        assert done.shortfalls == []
        assert set(USERS) <= set(done.kept)
        with closing(database.admin()) as new, closing(store_db.admin()) as old:
            assert content_of(new) == content_of(old)
        assert {user: answers_of(database.client(user)) for user in USERS} == before
        assert by_url(database, "postgres").lines("verify")[0].startswith("the projection is what the log says")
        [line] = [line for line in by_url(database, "postgres").records("trail") if line["action"] == "RESTORED"]
        assert (line["actor"], line["subject"]) == ("postgres", database.dbname)
        # It goes on where the other one was.
        bob = database.client("bob")
        [parcel] = bob.query(Parcel)
        parcel.quantity = 6
        bob.update(parcel)
        bob.write(Parcel(quantity=1))
        with closing(database.admin()) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT count(*), count(DISTINCT seq) FROM store.object_events")
            events, places = cursor.fetchone()
        assert events == places


class Moved(NamedTuple):
    """A store that was backed up in one directory and restored to another, whose server runs."""

    schema: str
    content: dict[str, Any]
    server: ObjectStoreServer
    printed: list[list[str]]


@pytest.fixture(scope="module")
def moved() -> Iterator[Moved]:
    folder = Path(tempfile.mkdtemp(prefix="store-test-"))
    path = str(folder / "desk.backup")
    with ObjectStoreServer(folder / "desk") as server:
        server.provision_user("alice", "alice_pw")
        server.provision_user("Übel; DROP", "it's", reads_all=True)
        server.provision_user("ada", "ada_pw", admin=True)
        server.provision_user("gone", "gone_pw")
        server.create_group("rates", ["alice", "gone"])
        server.disable_user("gone")
        with DBOSEngine(server.dbos_url(), "desk") as engine:
            assert engine.run(len, "abc") == 3
        database = StoreDatabase(server, server.conn_info()["dbname"])
        with closing(database.admin()) as conn:
            before = dumped_schema(database), content_of(conn)
        printed = [CommandLine().lines("backup", str(folder / "desk"), path)]
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    shutil.rmtree(folder / "desk")
    printed.append(CommandLine().lines("restore", path, str(folder / "other")))
    printed = [[line.replace(str(folder), "") for line in lines] for lines in printed]
    with ObjectStoreServer(folder / "other") as server:
        yield Moved(*before, server, printed)
    shutil.rmtree(folder)


def test_commands_say_what_they_did(moved: Moved) -> None:
    assert moved.printed == [
        ["0 entities, 0 events, 4 users, 1 group in /desk.backup"],
        ["0 entities, 0 events, 4 users, 1 group restored to database store in /other"],
    ]


def test_a_restored_schema_is_the_same_as_pg_dump_sees_it(moved: Moved) -> None:
    """Tables, functions, policies and grants, and all that the workflow engine made for itself."""
    database = StoreDatabase(moved.server, moved.server.conn_info()["dbname"])
    with closing(database.admin()) as conn:
        assert (dumped_schema(database), content_of(conn)) == (moved.schema, moved.content)
    assert "workflow_status" in moved.schema


def test_an_engine_goes_on_with_restored_workflows(moved: Moved) -> None:
    with DBOSEngine(moved.server.dbos_url(), "desk") as engine:
        [ended] = engine.list()
        assert engine.handle(ended.workflow_id).get_result() == 3
        assert engine.run(len, "abcd") == 4


def test_users_keep_their_passwords_rights_and_bans(moved: Moved) -> None:
    server = moved.server
    assert server.list_users() == [
        ("ada", False, True, True),
        ("alice", False, False, True),
        ("gone", False, False, False),
        ("Übel; DROP", True, False, True),
    ]
    with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
        assert groups.list_groups(conn) == [("rates", ["alice", "gone"])]
        cursor.execute("SELECT rolconfig, rolconnlimit FROM pg_roles WHERE rolname = 'alice'")
        settings, connections = cursor.fetchone()
        assert "temp_file_limit=2GB" in settings
        assert connections == 64
    where = server.conn_info()
    for name, password in (("alice", "alice_pw"), ("Übel; DROP", "it's"), ("ada", "ada_pw")):
        StoreClient(name, password, **where).close()
        with pytest.raises(ConnectionLost, match="password authentication failed"):
            StoreClient(name, "no", **where)
    with pytest.raises(ConnectionLost, match="not permitted to log in"):
        StoreClient("gone", "gone_pw", **where)
    server.enable_user("gone")
    StoreClient("gone", "gone_pw", **where).close()


@pytest.mark.external
def test_a_store_moves_between_an_embedded_server_and_another_one(
    store_db: StoreDatabase, external_server: ExternalPostgres, tmp_path: Path
) -> None:
    fill_with_everything(store_db)
    before = answers_of(store_db.client("alice"))
    there = tmp_path / "there.backup"
    saved(store_db, there)
    with empty_database(external_server) as outside:
        assert restored(there, outside).shortfalls == []
        assert answers_of(outside.client("alice")) == before
        back = saved(outside, tmp_path / "back.backup")
        with empty_database(store_db.server) as again:
            restored(back, again)
            assert answers_of(again.client("alice")) == before


@pytest.mark.external
def test_an_administrator_who_is_no_superuser_backs_up_all_but_passwords(
    external_server: ExternalPostgres, tmp_path: Path
) -> None:
    managed = ManagedServer(external_server, alone=False)
    try:
        for user in USERS:
            managed.provision_user(user, f"{user}_pw")
        with fresh_database(managed, complete=False) as source, fresh_database(managed, complete=False) as target:
            fill_with_everything(source)
            before = answers_of(source.client("alice"))
            options = "&".join(f"{name}={value}" for name, value in source.where.items() if name != "dbname")
            command = CommandLine(password="dba_pw")
            place = "postgresql://dba@/{}?" + options
            path = str(tmp_path / "desk.backup")
            done = command.run("backup", place.format(source.dbname), path)
            assert done.returncode == 0, done.stderr
            assert "holds no passwords, which only a superuser may read" in done.stderr
            with open_backup(Path(path)) as archive:
                assert {login["verifier"] for login in archive.json("logins.json")} == {None}
            with closing(target.admin()) as conn, conn, conn.cursor() as cursor:
                cursor.execute("DROP SCHEMA store CASCADE; DROP SCHEMA workflow CASCADE")
            done = command.run("restore", path, place.format(target.dbname))
            assert done.returncode == 0, done.stderr
            assert "not done: containment_uses_the_index" in done.stderr
            assert answers_of(target.client("alice")) == before
            again = command.run("restore", path, place.format(target.dbname))
            assert (again.returncode, "restore into an empty one" in again.stderr) == (1, True)
    finally:
        managed.close()


@pytest.mark.stress
def test_backup_under_load_is_one_moment(store_db: StoreDatabase, children: Children, tmp_path: Path) -> None:
    login = store_db.login("alice")
    writers = [start(children, "steady_writer", login=login, name=f"w{n}", seed=n) for n in range(3)]
    paths, before = [], []
    for number in range(3):
        wait_until(lambda least=20 * (number + 1): all(len(told(w, "acked")) >= least for w in writers), timeout=120)
        before.append({fact["acked"] for writer in writers for fact in told(writer, "acked")})
        paths.append(saved(store_db, tmp_path / f"{number}.backup"))
    for writer in writers:
        writer.send(15)
        writer.wait()
        assert not told(writer, "wrong")
    for path, acknowledged in zip(paths, before, strict=True):
        with empty_database(store_db.server) as database:
            restored(path, database)
            with closing(database.admin()) as conn, conn.cursor() as cursor:
                cursor.execute("SELECT * FROM store.differences()")
                assert cursor.fetchall() == []
                cursor.execute(
                    "SELECT changes->>'strategy', count(*) FROM store.object_events"
                    " WHERE changes->>'strategy' NOT LIKE '%first' GROUP BY 1"
                )
                found = dict(cursor.fetchall())
                cursor.execute("SELECT max(seq), (SELECT last_value FROM store.event_seq) FROM store.object_events")
                newest, handed_out = cursor.fetchone()
            assert all(count == EVENTS[key.split()[-1]] for key, count in found.items())
            assert acknowledged <= found.keys()
            assert newest <= handed_out
            database.client("alice").write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))


def test_backup_waits_for_a_rebuild_and_misses_nothing(store_db: StoreDatabase, tmp_path: Path) -> None:
    """A snapshot from before a TRUNCATE would show an empty table."""
    alice = store_db.client("alice")
    alice.write_many([Trade(symbol="AAPL", quantity=n, price=1.0, side="BUY") for n in range(1, 6)])
    rebuilding = store_db.admin()
    with rebuilding.cursor() as cursor:
        cursor.execute("SELECT store.rebuild()")
    thread = threading.Thread(target=saved, args=(store_db, tmp_path / "desk.backup"))
    thread.start()
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:
        conn.autocommit = True

        def waits() -> bool:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE%' AND wait_event_type"
                " = 'Lock' AND datname = current_database())"
            )
            return bool(cursor.fetchone()[0])

        wait_until(waits)
    rebuilding.commit()
    thread.join()
    with open_backup(tmp_path / "desk.backup") as archive:
        counts = {table["name"]: table["rows"] for table in archive.manifest["tables"]}
    assert (counts["object_heads"], counts["object_events"]) == (5, 5)


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
        restored(path, database, replace=True)
        assert database.client().count(Trade) == 0


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
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
sys.exit(main(sys.argv[1:]))
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


def test_a_listener_goes_on_from_its_checkpoint_in_the_restored_store(store_db: StoreDatabase, tmp_path: Path) -> None:
    fill_with_everything(store_db)
    bob = store_db.client("bob")
    missed = bob.write(Parcel(quantity=2))
    path = saved(store_db, tmp_path / "desk.backup")
    with empty_database(store_db.server) as database:
        restored(path, database)
        seen: list[str] = []
        bus = EventBus()
        bus.on_all(lambda event: seen.append(event.entity_id))
        with SubscriptionListener(bus, **database.login("bob"), subscriber_id="risk"):
            written = database.client("bob").write(Parcel(quantity=3))
            wait_until(lambda: written in seen)
        assert seen == [missed, written]


def test_a_lost_connection_is_told_and_leaves_no_file(store_db: StoreDatabase, tmp_path: Path) -> None:
    with closing(store_db.admin()) as conn:
        pid = conn.info.backend_pid

        def cut(done: int, total: int) -> None:
            with closing(store_db.admin()) as other, other.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

        with pytest.raises(Exception, match=r"terminat|closed|connection"):
            back_up(conn, tmp_path / "desk.backup", progress=cut)
    assert list(tmp_path.iterdir()) == []
