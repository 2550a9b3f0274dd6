"""Sabotage by a legal user: connections taken, transactions held, floods, giants; each bounded, others work on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store import groups, users
from store.backup import LOGINS, back_up
from store.client import StoreClient
from store.models import Trade
from store.restore import open_backup
from store.server import ObjectStoreServer
from tests.fix_postgres import StoreDatabase, password_of
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def trade() -> Trade:
    return Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")


def works(client: StoreClient) -> None:
    """Write, read, change and find something, as others go on doing."""
    entity_id = client.write(trade())
    obj = client.read(Trade, entity_id)
    assert obj is not None
    obj.quantity = 2
    client.update(obj)
    assert client.count(Trade) >= 1


@contextmanager
def all_connections_of(store_db: StoreDatabase, *names: str) -> Iterator[int]:
    """Take every connection that the server gives these users."""
    with ExitStack() as stack:
        taken = 0
        for name in names:
            try:
                while True:
                    stack.enter_context(closing(psycopg2.connect(**store_db.login(name))))
                    taken += 1
            except psycopg2.OperationalError as error:
                assert "too many connections for role" in str(error) or "remaining connection slots" in str(error)
        yield taken


def test_user_who_takes_all_its_connections_keeps_nobody_else_out(store_db: StoreDatabase) -> None:
    with all_connections_of(store_db, "bob") as taken:
        assert taken == users.CONNECTIONS_PER_USER
        works(store_db.client("alice"))
        store_db.admin().close()


def test_administrator_gets_in_when_users_together_take_every_connection(store_db: StoreDatabase) -> None:
    names = ["bob", *(store_db.provision(f"mallory{number}") for number in range(3))]
    with closing(store_db.admin()) as admin:
        users.provision_user(admin, "chief", password_of("chief"), admin=True)
    with all_connections_of(store_db, *names):
        with pytest.raises(psycopg2.OperationalError, match="remaining connection slots"):
            psycopg2.connect(**store_db.login("carol"))
        # Those who were just refused hold a place until their processes are gone.
        with closing(wait_until(lambda: admitted(store_db))) as admin, admin.cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            if int(cursor.fetchone()[0]) >= 160_000 and "reserved" in reserved(admin):
                with closing(psycopg2.connect(**store_db.login("chief"))):
                    pass
            for name in names:
                users.disable_user(admin, name)
        wait_until(lambda: can_connect(store_db, "carol"))
    with closing(store_db.admin()) as admin:
        for name in names:
            users.enable_user(admin, name)
    works(store_db.client("alice"))


def reserved(admin: Connection) -> str:
    with admin.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'reserved_connections'")
        row = cursor.fetchone()
    return "reserved" if row and int(row[0]) else ""


def admitted(store_db: StoreDatabase) -> Any:
    """Return a superuser's connection, or None where there is no place for one."""
    with suppress(psycopg2.OperationalError):
        return store_db.admin()
    return None


def can_connect(store_db: StoreDatabase, name: str) -> bool:
    try:
        psycopg2.connect(**store_db.login(name)).close()
    except psycopg2.OperationalError:
        return False
    return True


def test_disk_for_sorts_is_bounded(store_db: StoreDatabase) -> None:
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        cursor.execute("SHOW temp_file_limit")
        assert cursor.fetchone() == ("2GB",)
        # Not two gigabytes in a test: that the bound holds once it is set, PostgreSQL's own tests show.
        for text in ("SET temp_file_limit = -1", "ALTER ROLE bob SET temp_file_limit = -1"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(text)
            conn.rollback()


LONG = "KRYPTONITE" * 100_000


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT '{LONG}'::integer",
        f"SET exit_on_error = on; SELECT '{LONG}'::integer",
        f"SET debug_print_parse = on; SELECT '{LONG}'",
        f"ALTER ROLE loud IN DATABASE {{dbname}} SET default_text_search_config = '{LONG}'",
        f"ALTER ROLE loud SET default_text_search_config = '{LONG}'",
        "ALTER ROLE loud IN DATABASE {dbname} RESET ALL; ALTER ROLE loud RESET ALL;"
        f" ALTER ROLE loud IN DATABASE {{dbname}} SET default_text_search_config = '{LONG}'",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    ],
    ids=lambda text: text[:40],
)
def test_user_does_not_fill_the_server_s_log(store_db: StoreDatabase, text: str) -> None:
    store_db.provision("loud")
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        data = Path(cursor.fetchone()[0])
    log = data / "log" if store_db.is_embedded else data.parent / "log"
    before = log.stat().st_size
    try:
        for statements in (text.format(dbname=store_db.dbname), "SELECT 1"):
            with closing(store_db.connect("loud")) as conn, conn.cursor() as cursor, suppress(psycopg2.Error):
                cursor.execute(statements)
                conn.commit()
        assert log.stat().st_size - before < 10_000
    finally:
        with closing(store_db.admin()) as admin, admin, admin.cursor() as cursor:
            cursor.execute("DROP ROLE loud")


def test_what_a_user_sets_for_himself_does_not_grow_the_backup(store_db: StoreDatabase, tmp_path: Path) -> None:
    # A few hundred times as much, and PostgreSQL could not hand it out: there would be no backup any more.
    store_db.provision("hoarder")
    try:
        with store_db.connect("hoarder") as conn, conn.cursor() as cursor:
            cursor.execute(f"ALTER ROLE hoarder SET default_text_search_config = '{LONG}'")
        with closing(store_db.admin()) as admin:
            back_up(admin, tmp_path / "desk.backup")
        with open_backup(tmp_path / "desk.backup") as archive:
            [login] = [login for login in archive.json(LOGINS) if login["name"] == "hoarder"]
        names = {setting.partition("=")[0] for setting in login["settings"]}
        assert names == {"statement_timeout", "idle_in_transaction_session_timeout", "temp_file_limit"}
    finally:
        with closing(store_db.admin()) as admin, admin, admin.cursor() as cursor:
            cursor.execute("DROP ROLE hoarder")


def test_statement_and_idle_time_are_bounded_by_default(store_db: StoreDatabase) -> None:
    # A user of this test's own: bob may have set other defaults for himself.
    with store_db.connect(store_db.provision("unhurried")) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
        )
        assert cursor.fetchone() == ("10min", "5min")


def test_locks_that_a_user_holds_delay_only_those_who_share_with_it(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    shared = store_db.client("alice", writers=["bob"]).write(trade())
    own = alice.write(trade())
    conn = store_db.connect("bob")
    with conn.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        cursor.execute("LOCK TABLE store.object_heads, store.object_events IN ACCESS SHARE MODE")
        item = {"entity_id": shared, "type_name": "Trade", "version": 1, "event_type": "UPDATED", "changes": {}}
        cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (json.dumps([item]),))
        for foreign in (own, "01890000-0000-7000-8000-000000000000"):
            cursor.execute("SAVEPOINT s")
            with pytest.raises(psycopg2.Error, match="no Trade"):
                again = json.dumps([item | {"entity_id": foreign}])
                cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (again,))
            cursor.execute("ROLLBACK TO SAVEPOINT s")
        works(alice)
        obj, waiting = alice.read(Trade, own), alice.read(Trade, shared)
        assert obj is not None and waiting is not None
        obj.quantity = 9
        alice.update(obj)
        # What is shared waits, until the session is ended by whoever is kept waiting.
        with store_db.admin() as admin, admin.cursor() as bounds:
            bounds.execute("UPDATE store.limits SET idle_transaction = '1 ms'")
        waiting.quantity = 9
        update = threading.Thread(target=alice.update, args=(waiting,))
        update.start()
        with closing(store_db.connect("carol")) as carol, carol, carol.cursor() as reaper:
            wait_until(lambda: reaped(reaper) or not update.is_alive())
        update.join(120)
        assert waiting.version == 2


def test_administration_that_a_user_holds_up_goes_on_when_its_session_is_ended(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin:
        groups.create_group(admin, "lent desk", ["alice"])
    own = store_db.client("bob").write(trade())
    conn = store_db.connect("bob")
    with conn.cursor() as cursor:
        cursor.execute("SELECT store.share(%s, 'lent desk', 'READ')", (own,))
    done = threading.Thread(target=drop, args=(store_db, "lent desk"))
    done.start()
    works(store_db.client("alice"))
    with store_db.admin() as admin, admin.cursor() as bounds:
        bounds.execute("UPDATE store.limits SET idle_transaction = '1 ms'")
    with closing(store_db.connect("carol")) as carol, carol, carol.cursor() as reaper:
        wait_until(lambda: reaped(reaper))
    done.join(120)
    assert not done.is_alive()
    with closing(store_db.admin()) as admin:
        assert groups.list_groups(admin) == []


def drop(store_db: StoreDatabase, group: str) -> None:
    with closing(store_db.admin()) as admin:
        groups.drop_group(admin, group)


def reaped(cursor: psycopg2.extensions.cursor) -> bool:
    cursor.execute("SELECT username FROM store.reap()")
    return cursor.fetchall() == [("bob",)]


def test_flood_of_notifications_delays_no_write_and_is_bounded(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    with store_db.connect("bob") as listening, store_db.connect("bob") as flooding, listening.cursor() as held:
        held.execute("LISTEN store_events")
        listening.commit()
        held.execute("SELECT 1")  # an open transaction keeps the queue from being emptied
        with flooding.cursor() as cursor:
            for _ in range(20):
                cursor.execute(
                    "SELECT count(pg_notify('store_events', repeat('x', 7000) || n)) FROM generate_series(1, 100) n"
                )
                flooding.commit()
        works(alice)
    if isinstance(store_db.server, ObjectStoreServer):
        with closing(store_db.admin()) as admin, admin.cursor() as cursor:
            cursor.execute("SHOW max_notify_queue_pages")
            assert cursor.fetchone() == ("16384",), "128 MB"


def test_many_savepoints_in_one_transaction_end_with_it(store_db: StoreDatabase) -> None:
    alice = store_db.client("alice")
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        for number in range(300):
            cursor.execute("SAVEPOINT s")
            cursor.execute("SELECT store.save_checkpoint('many', %s)", (number,))
        works(alice)
        conn.rollback()
    works(alice)


def test_sizes_of_one_call_are_bounded_and_others_work_on(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.connect("bob")
    giant = json.dumps([{"type_name": "Trade", "data": {"x": "y" * (5 << 20)}}])
    with bob, bob.cursor() as cursor, pytest.raises(psycopg2.errors.CheckViolation):
        cursor.execute("SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)", (giant,))
    with bob, bob.cursor() as cursor, pytest.raises(psycopg2.Error):
        text = "jsonb_build_array(repeat('x', 300000000))"
        cursor.execute(f"SELECT FROM store.create_objects({text}, '{{}}', '{{}}', false, NULL)")
    works(alice)


def test_names_repeated_in_a_grant_are_kept_once(store_db: StoreDatabase) -> None:
    create = (
        "SELECT entity_id FROM store.create_objects(%s, array_fill('carol'::text, ARRAY[20000]),"
        " array_fill('alice'::text, ARRAY[20000]), false, NULL)"
    )
    bob = store_db.connect("bob")
    with bob, bob.cursor() as cursor:
        cursor.execute(create, ('[{"type_name": "Trade", "data": {}}]',))
        cursor.execute("SELECT readers, writers FROM store.object_heads WHERE entity_id = %s", cursor.fetchone())
        assert cursor.fetchone() == (["carol"], ["alice"])


@pytest.mark.parametrize(("count", "size"), [(1001, 0), (1, 200_000), (900, 200)], ids=["many", "long", "both"])
def test_objects_of_very_many_fields_delay_nobody_s_filters(store_db: StoreDatabase, count: int, size: int) -> None:
    bob = store_db.connect("bob")
    with bob, bob.cursor() as cursor:
        for number in range(2):
            names = [f"{number} {field} ".ljust(size, "x") for field in range(count)]
            item = json.dumps([{"type_name": "Trade", "data": dict.fromkeys(names, 0)}])
            cursor.execute("SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)", (item,))
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT fields FROM store.type_shapes")
        assert cursor.fetchall() == [([],)]


def test_many_changes_of_one_moment_are_folded_in_time_that_hardly_grows(store_db: StoreDatabase) -> None:
    bob = store_db.connect("bob")
    bob.autocommit = True
    fields = {f"f{number}": 0 for number in range(20_000)}
    taken: list[float] = []
    with bob.cursor() as cursor:
        for count in (150, 1200):
            create = "SELECT entity_id::text FROM store.create_objects(%s, '{}', '{}', false, NULL)"
            cursor.execute(create, (json.dumps([{"type_name": "Trade", "data": fields}]),))
            (entity_id,) = cursor.fetchone()
            change = {"entity_id": entity_id, "type_name": "Trade", "event_type": "UPDATED"}
            for version in range(1, count + 1):
                item = change | {"version": version, "changes": {"f7": version}, "valid_from": "2999-01-01T00:00:00Z"}
                cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (json.dumps([item]),))
            began = worked(bob)
            for _ in range(8):
                cursor.execute("SELECT data->'f7' FROM store.object_as_of(%s, NULL, '2999-01-02')", (entity_id,))
                assert cursor.fetchone() == (count,)
            taken.append(worked(bob) - began)
    assert taken[1] < 4 * taken[0]


def test_snapshot_that_is_kept_hardly_delays_the_transactions_of_others(store_db: StoreDatabase) -> None:
    """What each leaves behind for a moment cannot be cleared away meanwhile, and stands in the way of none after it."""
    bob, alice = store_db.connect("bob"), store_db.connect("alice")
    with bob.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    item = json.dumps([{"type_name": "Trade", "data": {}}])

    def looked_at(count: int) -> int:
        """Return how many pages of the clocks of transactions so many more of them look at."""
        for _ in range(count):
            with alice, alice.cursor() as cursor:
                cursor.execute("SELECT store.create_object(%s, true)", (item,))
        with alice, alice.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
        with closing(store_db.admin()) as admin, admin.cursor() as cursor:
            cursor.execute(
                "SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read"
                " FROM pg_statio_all_tables WHERE relid = 'store.transaction_clocks'::regclass"
            )
            return int(cursor.fetchone()[0])

    first = looked_at(1000)
    before = looked_at(3000)
    assert looked_at(1000) - before < 3 * first


def worked(conn: Connection) -> float:
    """Return the seconds of processor time that the server has spent on a connection."""
    times = psutil.Process(conn.info.backend_pid).cpu_times()
    return float(times.user + times.system)
