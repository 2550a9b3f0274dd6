"""A store set up and looked after by a role with CREATEROLE that owns the database, and is no superuser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest

from store import groups, schema, users
from store.errors import ConnectionLost, StoreError
from store.models import Trade
from store.server import ObjectStoreServer
from tests.fix_postgres import USERS, StoreDatabase, fresh_database, password_of
from tests.integration import test_access, test_stable_time
from tests.integration.workers.command_line import CommandLine
from tests.managed_postgres import ADMINISTRATOR, ManagedServer

# What takes a superuser on every release, and what PostgreSQL 15 still lets a role with CREATEROLE do.
NEVER = {
    "containment_uses_the_index",
    "users_are_bounded",
    "locks_are_not_lent",
    "no_large_objects",
    "no_messages_into_the_log",
    "no_programs",
    "clearing_up_is_not_broken_off",
    "nobody_waits_for_what_users_may_not_do",
    "row_security_comes_first",
}
BEFORE_16 = {"sessions_are_seen", "sessions_are_ended"}
FROM_16 = {"administrators_get_in"}


@pytest.fixture(scope="module", params=["embedded", pytest.param("external", marks=pytest.mark.external)])
def managed(request: pytest.FixtureRequest) -> Iterator[ManagedServer]:
    if request.param == "external":
        server = ManagedServer(request.getfixturevalue("external_server"), alone=False)
        yield server
        server.close()
        return
    with ObjectStoreServer() as alone:
        server = ManagedServer(alone, alone=True)
        for user in USERS:
            server.provision_user(user, password_of(user))
        yield server


@pytest.fixture
def managed_db(managed: ManagedServer) -> Iterator[StoreDatabase]:
    with fresh_database(managed, complete=False) as database:
        yield database


def trade(quantity: int = 1) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


def test_setup_tells_what_takes_a_superuser(managed: ManagedServer) -> None:
    with closing(managed.admin_conn()) as conn:
        version = conn.server_version // 10_000
    assert {shortfall.name for shortfall in managed.shortfalls} == NEVER | (
        set() if version < 16 else BEFORE_16 | FROM_16
    )
    for shortfall in managed.shortfalls:
        assert shortfall.reason
        assert shortfall.consequence.startswith("Without it ")


def test_setup_again_changes_nothing_and_tells_the_same(managed: ManagedServer) -> None:
    assert [again.name for again in managed.set_up()] == [shortfall.name for shortfall in managed.shortfalls]
    with closing(managed.admin_conn()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.schema_version")
        assert cursor.fetchone() == (1,)


def test_command_line_of_the_administrator(managed_db: StoreDatabase) -> None:
    where = managed_db.where
    options = "&".join(f"{name}={value}" for name, value in where.items() if name not in ("dbname",))
    dba = CommandLine("--url", f"postgresql://{ADMINISTRATOR}@/{where['dbname']}?{options}", password="dba_pw")
    done = dba.run("init")
    assert done.returncode == 0
    assert done.stdout == f"the store in database {where['dbname']} is ready\n"
    assert "not done: containment_uses_the_index (must be owner of function" in done.stderr
    assert "Without it users may fill the disk with large objects" in done.stderr
    [record] = dba.records("init")
    assert {entry["name"] for entry in record["not_done"]} >= NEVER
    entity_id = managed_db.client("alice").write(trade())
    assert dba.records("get", entity_id)[0]["data"]["symbol"] == "AAPL"
    assert dba.lines("verify") == ["the projection is what the log says: 1 entity, 1 event"]
    assert dba.lines("rebuild") == ["1 entity derived anew from the log"]
    assert dba.lines("users", "add", "erin", STORE_NEW_PASSWORD="erin_pw") == ["user erin is ready"]
    assert {"user": "erin", "reads_all": False, "admin": False, "enabled": True} in dba.records("users")
    assert "is not a user of the store" in dba.fails("users", "add", ADMINISTRATOR, STORE_NEW_PASSWORD="x")
    assert "no user named" in dba.fails("users", "disable", ADMINISTRATOR)


def test_upgrade_leaves_alone_what_another_administrator_set_for_a_user_s_sessions(
    managed: ManagedServer, managed_db: StoreDatabase
) -> None:
    """What only a superuser could set: it is this one's neither to see to, nor to stumble over."""
    dbname = managed_db.dbname
    with closing(managed.admin_conn("postgres")) as superuser, superuser.cursor() as cursor:
        superuser.autocommit = True
        try:
            cursor.execute("CREATE ROLE olden LOGIN; GRANT store_user TO olden")
            cursor.execute("ALTER ROLE olden SET log_min_messages = 'fatal'")
            cursor.execute(f"ALTER ROLE olden IN DATABASE {dbname} SET work_mem = '5MB'")
            with closing(managed_db.admin()) as admin:
                with admin, admin.cursor() as own:
                    own.execute("UPDATE store.schema_version SET digest = 'of another version'")
                schema.bootstrap_schema(admin)
            cursor.execute("SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'olden'::regrole ORDER BY 1")
            assert cursor.fetchall() == [(["log_min_messages=fatal"],), (["work_mem=5MB"],)]
        finally:
            cursor.execute("DROP ROLE olden")


def test_user_who_is_disabled_is_out_at_once(managed_db: StoreDatabase) -> None:
    managed_db.provision("frank")
    client = managed_db.client("frank")
    assert client.count(Trade) == 0
    with closing(managed_db.admin()) as admin:
        users.disable_user(admin, "frank")
        with pytest.raises(ConnectionLost, match="not permitted to log in"):
            client.count(Trade)
        users.enable_user(admin, "frank")
        users.change_password(admin, "frank", password_of("frank"))
    assert managed_db.client("frank").count(Trade) == 0


def test_administrator_publishes_and_looks_after_groups(managed_db: StoreDatabase) -> None:
    with closing(managed_db.admin()) as admin:
        schema.publish(admin, Trade)
        groups.create_group(admin, "rates", ["bob"])
    entity_id = managed_db.client("alice", readers=["rates"]).write(trade())
    assert managed_db.client("bob").read(Trade, entity_id) == trade()


def test_filter_finds_the_same_without_the_index(managed_db: StoreDatabase) -> None:
    client = managed_db.client("alice")
    client.write_many([trade(n) for n in range(1, 301)])
    assert [found.quantity for found in client.query(Trade, {"quantity": 217})] == [217]
    assert client.count(Trade, {"symbol": "AAPL"}) == 300


def test_role_without_the_right_to_create_roles_is_told_what_it_takes(managed: ManagedServer) -> None:
    login = managed.conn_info() | {"user": "alice", "password": password_of("alice")}
    told = r"alice may not set up a store .* \(CREATEROLE\)"
    with closing(psycopg2.connect(**login)) as conn, pytest.raises(StoreError, match=told):
        schema.bootstrap_schema(conn)


CONTRACT = [
    *(test for name, test in vars(test_stable_time).items() if name.startswith("test_")),
    test_access.test_entity_of_another_user_is_absent_in_every_way_of_reading,
    test_access.test_reader_reads_the_whole_history_but_changes_nothing,
    test_access.test_unshare_takes_access_away_at_once_and_stands_in_the_trail,
    test_access.test_user_who_reads_all_sees_everything_and_changes_only_its_own,
    test_access.test_every_table_is_listed_here,
]


@pytest.mark.parametrize("test", CONTRACT, ids=lambda test: test.__name__.removeprefix("test_"))
def test_contract_holds(managed_db: StoreDatabase, test: Callable[[StoreDatabase], None]) -> None:
    test(managed_db)


def test_superuser_who_sets_up_later_does_what_was_left(managed: ManagedServer) -> None:
    with (
        fresh_database(managed, complete=False) as database,
        closing(managed.server.admin_conn(database.dbname)) as superuser,
        superuser.cursor() as cursor,
    ):
        assert schema.bootstrap_schema(superuser) == []
        assert schema.bootstrap_schema(superuser) == []
        cursor.execute("SELECT proleakproof FROM pg_proc WHERE oid = 'jsonb_contains'::regproc")
        assert cursor.fetchone() == (True,)


def test_server_older_than_15_is_refused(store_db: StoreDatabase) -> None:
    class Older:
        """A connection to a release that is not here to be connected to."""

        server_version = 140_011

        def __init__(self, conn: psycopg2.extensions.connection) -> None:
            self._conn = conn

        def __getattr__(self, name: str) -> object:
            return getattr(self._conn, name)

        def __enter__(self) -> object:
            return self._conn.__enter__()

        def __exit__(self, *error: object) -> object:
            return self._conn.__exit__(*error)  # type: ignore[arg-type]

    with pytest.raises(StoreError, match=r"this is PostgreSQL 14\.11; the store needs 15 or newer"):
        schema.bootstrap_schema(Older(store_db.admin()))  # type: ignore[arg-type]


@pytest.mark.both_servers
@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc", "encoded in LATIN1; the store needs UTF8"),
        ("IS_TEMPLATE true", "is a template of others"),
    ],
)
def test_database_that_cannot_hold_a_store_is_refused(store_db: StoreDatabase, made: str, told: str) -> None:
    server = store_db.server
    with closing(server.admin_conn("postgres")) as conn:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE unfit TEMPLATE template0 {made}")
            try:
                with closing(server.admin_conn("unfit")) as unfit, pytest.raises(StoreError, match=told):
                    schema.bootstrap_schema(unfit)
            finally:
                cursor.execute("ALTER DATABASE unfit IS_TEMPLATE false")
                cursor.execute("DROP DATABASE unfit")


def test_schema_of_somebody_else_is_left_alone(store_db: StoreDatabase) -> None:
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("DROP SCHEMA store CASCADE; CREATE SCHEMA store; CREATE TABLE store.shelf (goods text)")
    with pytest.raises(StoreError, match="a schema named store that is not a store's"):
        schema.bootstrap_schema(conn)
    with conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.shelf")
        assert cursor.fetchone() == (0,)
