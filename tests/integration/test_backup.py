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
from store.client import StoreClient
from store.errors import ConnectionLost
from store.events import EventBus
from store.models import Trade
from store.restore import open_backup
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
    restored,
    saved,
)
from tests.integration.workers.command_line import CommandLine, by_url
from tests.integration.workers.steady_writer import EVENTS
from tests.integration.workers.telling import start, told
from tests.managed_postgres import ManagedServer
from tests.waiting import wait_until
from workflow.dbos_engine import DBOSEngine

USERS = ("alice", "bob", "carol")


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
