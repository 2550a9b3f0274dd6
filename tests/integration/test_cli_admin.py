"""`python -m store` for the owner of a data directory, and for the administrator of a server."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from store.client import StoreClient
from store.errors import ConnectionLost
from store.models import Trade
from store.permissions import share_read
from store.server import ObjectStoreServer
from tests.fix_children import Child, Children
from tests.fix_postgres import StoreDatabase, password_of
from tests.integration.workers.command_line import CommandLine, by_directory, by_url
from tests.integration.workers.telling import start, told


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory to be made; not pytest's own, whose access rights every run of pytest on the machine sets anew."""
    parent = Path(tempfile.mkdtemp(prefix="store-test-"))
    yield parent / "desk"
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def desk() -> Iterator[Path]:
    """A data directory with alice and bob, whose server runs in this process."""
    with (
        tempfile.TemporaryDirectory(prefix="store-test-") as parent,
        ObjectStoreServer(Path(parent) / "desk") as server,
    ):
        for user in ("alice", "bob"):
            server.provision_user(user, password_of(user))
        yield Path(parent) / "desk"


def postmaster(data_dir: Path) -> psutil.Process | None:
    mark = data_dir / "postgres" / "postmaster.pid"
    return psutil.Process(int(mark.read_text().split()[0])) if mark.exists() else None


def test_init_makes_a_store_and_leaves_no_server_behind(data_dir: Path) -> None:
    owner = by_directory(data_dir)
    assert owner.lines("init") == [f"the store in database store in {data_dir} is ready"]
    assert postmaster(data_dir) is None
    assert owner.records("init") == [{"database": "store", "data_dir": str(data_dir), "not_done": []}]
    assert owner.lines("ls") == ["type  entities  events"]
    assert owner.lines("verify") == ["the projection is what the log says: 0 entities, 0 events"]
    assert postmaster(data_dir) is None


def test_init_leaves_a_directory_alone_that_holds_other_things(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "notes.txt").write_text("mine")
    assert f"{data_dir} holds other files, and no store" in by_directory(data_dir).fails("init")
    assert [path.name for path in data_dir.iterdir()] == ["notes.txt"]
    (data_dir / "notes.txt").unlink()
    (data_dir / "postgres.new.killed").mkdir()  # as a start that was killed leaves it
    assert by_directory(data_dir).lines("init") == [f"the store in database store in {data_dir} is ready"]


def test_commands_on_a_directory_without_a_store_make_none(data_dir: Path) -> None:
    for command in (["ls"], ["users"], ["verify"], ["tail", "--once"]):
        line = by_directory(data_dir).fails(*command)
        assert line == f"Error: there is no store in {data_dir}: the command init makes one"
    assert not data_dir.exists()


@pytest.mark.both_servers
def test_init_by_url_brings_a_database_up_to_date(store_db: StoreDatabase) -> None:
    assert by_url(store_db, "postgres").records("init") == [
        {"database": store_db.dbname, "data_dir": None, "not_done": []}
    ]


def test_users_are_added_listed_disabled_and_enabled_again(desk: Path) -> None:
    owner, dora = by_directory(desk), by_directory(desk, "dora")
    assert owner.lines("users", "add", "dora", STORE_NEW_PASSWORD="dora_pw") == ["user dora is ready"]
    assert dora.lines("ls") == ["type  entities  events"]
    head, *lines = owner.lines("users")
    assert head.split() == ["user", "reads_all", "admin", "enabled"]
    assert lines[:3] == [
        "alice  false      false  true",
        "bob    false      false  true",
        "dora   false      false  true",
    ]
    assert owner.lines("users", "disable", "dora") == ["user dora can no longer log in"]
    assert {"user": "dora", "reads_all": False, "admin": False, "enabled": False} in owner.records("users")
    assert 'role "dora" is not permitted to log in' in dora.fails("ls")
    assert "user 'dora' is disabled" in owner.fails("users", "add", "dora", STORE_NEW_PASSWORD="new")
    assert owner.lines("users", "enable", "dora") == ["user dora can log in again"]
    assert dora.lines("ls") == ["type  entities  events"]


def test_users_add_again_sets_the_password_and_what_the_user_reads(desk: Path) -> None:
    owner, bob = by_directory(desk), by_directory(desk, "bob")
    with_all = {"user": "bob", "reads_all": True, "admin": False, "enabled": True}
    assert owner.records("users", "add", "bob", "--reads-all", STORE_NEW_PASSWORD="new") == [with_all]
    assert with_all in owner.records("users")
    assert "password authentication failed" in bob.fails("ls")
    assert bob.lines("ls", STORE_PASSWORD="new")
    owner.lines("users", "add", "bob", STORE_NEW_PASSWORD="bob_pw")
    assert {"user": "bob", "reads_all": False, "admin": False, "enabled": True} in owner.records("users")
    assert bob.lines("ls")


def test_users_password_sets_it_and_keeps_what_the_user_reads(desk: Path) -> None:
    owner, ira = by_directory(desk), by_directory(desk, "ira")
    owner.lines("users", "add", "ira", "--reads-all", STORE_NEW_PASSWORD="first")
    assert owner.lines("users", "password", "ira", STORE_NEW_PASSWORD="ira_pw") == ["user ira has a new password"]
    assert {"user": "ira", "reads_all": True, "admin": False, "enabled": True} in owner.records("users")
    assert ira.lines("password", STORE_NEW_PASSWORD="mine") == ["user ira has a new password"]
    assert "password authentication failed" in ira.fails("ls")
    assert ira.lines("ls", STORE_PASSWORD="mine")
    assert "no user named 'gus'" in owner.fails("users", "password", "gus", STORE_NEW_PASSWORD="x")


def test_groups_are_looked_after_by_an_administrator_s_own_login(desk: Path) -> None:
    by_directory(desk).lines("users", "add", "ada", "--admin", STORE_NEW_PASSWORD="ada_pw")
    ada = by_directory(desk, "ada")
    assert ada.lines("groups", "add", "rates", "bob", "alice") == ["group rates is ready"]
    assert ada.lines("groups", "leave", "rates", "bob") == ["bob no longer in group rates"]
    assert ada.lines("groups", "join", "rates", "bob") == ["bob in group rates"]
    assert ada.lines("groups", "add", "empty") == ["group empty is ready"]
    assert ada.lines("groups") == ["group  members", "empty", "rates  alice, bob"]
    assert {"group": "rates", "members": ["alice", "bob"]} in ada.records("groups")
    assert "'nobody'" in ada.fails("groups", "join", "rates", "nobody")
    assert "name of a user" in ada.fails("groups", "add", "bob")
    assert ada.lines("groups", "drop", "empty") == ["group empty is gone; 0 entities were shared with it"]
    dropped = ada.records("trail")[-1]
    assert (dropped["actor"], dropped["action"], dropped["subject"]) == ("ada", "GROUP_DROPPED", "empty")
    assert ada.lines("verify")


def test_users_disable_ends_the_user_s_sessions_for_good(desk: Path) -> None:
    owner = by_directory(desk)
    owner.lines("users", "add", "eve", STORE_NEW_PASSWORD="eve_pw")
    with ObjectStoreServer(desk) as server, StoreClient("eve", "eve_pw", **server.conn_info()) as client:
        assert client.count(Trade) == 0
        owner.lines("users", "disable", "eve")
        with pytest.raises(ConnectionLost, match="not permitted to log in"):
            client.count(Trade)
    owner.lines("users", "enable", "eve")


def test_users_that_cannot_be_are_refused(desk: Path) -> None:
    owner = by_directory(desk)
    assert "reserved" in owner.fails("users", "add", "pg_root", STORE_NEW_PASSWORD="x")
    assert "not a user of the store" in owner.fails("users", "add", "postgres", STORE_NEW_PASSWORD="x")
    assert "needs a password" in owner.fails("users", "add", "gus", STORE_NEW_PASSWORD="")
    assert "no user named 'gus'" in owner.fails("users", "disable", "gus")
    assert "no user named 'postgres'" in owner.fails("users", "disable", "postgres")


def test_users_add_without_a_password_to_be_had_is_a_wrong_call(desk: Path) -> None:
    assert "set STORE_NEW_PASSWORD" in by_directory(desk).fails("users", "add", "gus", status=2)


def test_users_add_on_a_terminal_asks_twice_and_shows_nothing(desk: Path) -> None:
    status, screen = by_directory(desk).on_a_terminal(
        "users", "add", "fay", answers=[("New password of fay: ", "fay_pw"), ("Repeat for confirmation: ", "fay_pw")]
    )
    assert status == 0
    assert "user fay is ready" in screen
    assert "fay_pw" not in screen
    assert by_directory(desk, "fay").lines("ls") == ["type  entities  events"]


def test_login_on_a_terminal_asks_for_the_password(desk: Path) -> None:
    alice = CommandLine("--data-dir", str(desk), "--user", "alice")
    status, screen = alice.on_a_terminal("ls", answers=[("Password of alice: ", "alice_pw")])
    assert status == 0
    assert "type  entities  events" in screen
    assert "alice_pw" not in screen


ADMINISTRATION = [
    ["users"],
    ["users", "disable", "bob"],
    ["groups"],
    ["groups", "add", "mine"],
    ["groups", "join", "rates", "alice"],
    ["trail"],
    ["verify"],
    ["rebuild"],
    ["init"],
]


@pytest.mark.both_servers
@pytest.mark.parametrize("command", ADMINISTRATION)
def test_what_only_an_administrator_may_do_is_refused_to_users(store_db: StoreDatabase, command: list[str]) -> None:
    if command == ["users"]:
        # Everybody may list roles in PostgreSQL; there is nothing to refuse.
        assert by_url(store_db, "alice").lines(*command)
        return
    line = by_url(store_db, "alice").fails(*command)
    assert line.startswith("Error: alice may not ")
    takes = "the login of whoever set the store up" if command[0] == "users" else "an administrator's login"
    assert f"it takes {takes}" in line or "it takes a superuser" in line


CORRUPTIONS = {
    "data": "UPDATE store.object_heads SET data = data || '{\"quantity\": 999}' WHERE entity_id = %s",
    "version": "UPDATE store.object_heads SET version = 7 WHERE entity_id = %s",
    "owner": "UPDATE store.object_heads SET owner = 'bob' WHERE entity_id = %s",
    "readers": "UPDATE store.object_heads SET readers = '{carol}' WHERE entity_id = %s",
    "present": "UPDATE store.object_heads SET present = false WHERE entity_id = %s",
    "has events but no head": "DELETE FROM store.object_heads WHERE entity_id = %s",
}


@pytest.mark.parametrize("problem", CORRUPTIONS)
def test_verify_finds_a_head_that_is_not_what_the_log_says_and_rebuild_mends_it(
    store_db: StoreDatabase, problem: str
) -> None:
    client, administrator = store_db.client(), by_url(store_db, "postgres")
    trades = [Trade(symbol="AAPL", quantity=n, price=1.0, side="BUY") for n in (1, 2, 3)]
    broken = client.write_many(trades)[1]
    share_read(client.conn, broken, "bob")
    assert administrator.lines("verify") == ["the projection is what the log says: 3 entities, 3 events"]
    assert administrator.records("verify") == [{"entities": 3, "events": 3, "differing": 0}]

    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute(CORRUPTIONS[problem], [broken])
        assert cursor.rowcount == 1
    done = administrator.run("--json", "verify")
    assert done.returncode == 1
    assert done.stdout == f'{{"entity_id": "{broken}", "type": "Trade", "problem": "{problem}"}}\n'
    assert done.stderr == "Error: 1 entity differs from the log: the command rebuild derives the projection anew\n"

    assert administrator.lines("rebuild") == ["3 entities derived anew from the log"]
    assert administrator.lines("verify") == ["the projection is what the log says: 3 entities, 3 events"]
    trade = client.read(Trade, broken)
    assert trade is not None
    assert (trade.quantity, trade.version, trade.owner) == (2, 1, "alice")
    assert by_url(store_db, "bob").records("get", broken)[0]["data"]["quantity"] == 2


def test_commands_join_the_server_that_another_process_runs(desk: Path) -> None:
    running = postmaster(desk)
    where = ObjectStoreServer(desk)
    with where as server, StoreClient("alice", "alice_pw", **server.conn_info()) as client:
        entity_id = client.write(Trade(symbol="AAPL", quantity=7, price=1.0, side="BUY"))
        assert by_directory(desk, "alice").records("get", entity_id)[0]["data"]["quantity"] == 7
        assert by_directory(desk).fails("get", "nonsense", status=2)
        assert by_directory(desk).lines("verify")
        assert postmaster(desk) == running
        trade = client.read(Trade, entity_id)
        assert trade is not None
        trade.quantity = 8
        client.update(trade)


def open_elsewhere(children: Children, data_dir: Path) -> Child:
    opener = start(children, "opener", data_dir=str(data_dir), name="alice", times=1, hold=True)
    opener.wait_for_line('"wrote"')
    return opener


def test_commands_leave_a_server_running_whose_owner_was_killed(children: Children, data_dir: Path) -> None:
    opener = open_elsewhere(children, data_dir)
    running = postmaster(data_dir)
    opener.kill()
    with StoreClient("alice", "alice_pw", **told(opener, "opened")[0]["opened"]) as client:
        assert by_directory(data_dir).lines("verify") == ["the projection is what the log says: 1 entity, 1 event"]
        assert postmaster(data_dir) == running
        assert client.count(Trade) == 1
    with ObjectStoreServer(data_dir):
        assert postmaster(data_dir) == running
    assert postmaster(data_dir) is None


def test_command_that_outlives_the_server_s_owner_ends_the_server(children: Children, data_dir: Path) -> None:
    opener = open_elsewhere(children, data_dir)
    owner = by_directory(data_dir)
    tail = children.run("-m", "store", *owner.options, "tail", "--from-beginning", env=owner.environment())
    tail.wait_for_line("CREATED")
    opener.send(signal.SIGTERM)
    assert opener.wait() == 0
    assert postmaster(data_dir) is not None, "the command still uses it"
    tail.interrupt()
    assert tail.wait() == 0, tail.output
    assert postmaster(data_dir) is None
