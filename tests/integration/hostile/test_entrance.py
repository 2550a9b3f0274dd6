"""The way in: logins, start-up options, other databases, secrets on disk, in processes, logs and views."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import struct
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg2
import pytest

from store import users
from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until


def directory_of(server: Any) -> Path:
    """Return the cluster's directory of an embedded server."""
    with closing(server.admin_conn()) as admin, admin.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        return Path(cursor.fetchone()[0])


def refused(where: dict[str, Any], **login: Any) -> str:
    with pytest.raises(psycopg2.OperationalError) as caught:
        psycopg2.connect(**{**where, **login})
    return str(caught.value)


@pytest.mark.both_servers
@pytest.mark.parametrize("name", ["bob", "postgres", "alice"])
@pytest.mark.parametrize("password", [None, "", "wrong", "alice", "postgres"])
def test_nobody_is_let_in_without_the_password(module_store_db: StoreDatabase, name: str, password: str | None) -> None:
    if name == "postgres" and isinstance(module_store_db.server, ObjectStoreServer):
        name = "carol"  # the directory's owner, who runs this, is the administrator
    told = refused(module_store_db.where, user=name, password=password, passfile="/dev/null")
    assert "password" in told


@pytest.mark.both_servers
@pytest.mark.parametrize("role", ["store_owner", "store_user", "store_admin", "store_reads_all", "store_engine"])
def test_roles_of_the_store_cannot_log_in(module_store_db: StoreDatabase, role: str) -> None:
    assert refused(module_store_db.where, user=role, password="")


@pytest.mark.both_servers
@pytest.mark.parametrize(
    "options",
    [
        "-c session_authorization=alice",
        "-c role=store_owner",
        "-c role=alice",
        "-c session_replication_role=replica",
        "-c temp_file_limit=-1",
        "-c log_min_messages=debug5",
        "-c session_preload_libraries=auto_explain",
        "-c local_preload_libraries=auto_explain",
        "-c ignore_system_indexes=on",
        "-c allow_system_table_mods=on",
        "-O",
        "-P",
    ],
)
def test_start_up_options_lend_no_rights(module_store_db: StoreDatabase, options: str) -> None:
    try:
        conn = psycopg2.connect(**module_store_db.login("bob"), options=options)
    except psycopg2.OperationalError:
        return
    with closing(conn), conn.cursor() as cursor:
        cursor.execute(
            "SELECT session_user, current_user, current_setting('temp_file_limit'),"
            " current_setting('session_replication_role'), current_setting('log_min_messages')"
        )
        assert cursor.fetchone() == ("bob", "bob", "2GB", "origin", "panic")


@pytest.mark.both_servers
@pytest.mark.parametrize("replication", ["database", "true"])
def test_replication_is_no_way_in(module_store_db: StoreDatabase, replication: str) -> None:
    assert refused(module_store_db.login("bob"), replication=replication)


@pytest.mark.parametrize("dbname", ["postgres", "template1", "template0"])
def test_other_databases_of_the_embedded_server_are_closed_to_users(store_db: StoreDatabase, dbname: str) -> None:
    assert isinstance(store_db.server, ObjectStoreServer)
    assert "denied" in (told := refused(store_db.login("bob"), dbname=dbname)) or "not currently accepting" in told


def is_rejected(login: dict[str, Any]) -> bool:
    try:
        psycopg2.connect(**login).close()
    except psycopg2.OperationalError as error:
        return "rejects" in str(error)
    return False


@pytest.mark.both_servers
def test_other_databases_of_a_server_of_one_s_own_are_closed_by_the_lines_that_the_docs_give(
    store_db: StoreDatabase,
) -> None:
    if store_db.is_embedded:
        pytest.skip("the embedded server closes its other databases itself")
    page = (Path(__file__).parents[3] / "docs" / "external-postgresql.md").read_text(encoding="utf-8")
    lines = "".join(line + "\n" for line in page.splitlines() if line.startswith("hostssl "))
    with closing(store_db.server.admin_conn("postgres")) as admin, admin.cursor() as cursor:
        cursor.execute("SHOW hba_file")
        rules = Path(cursor.fetchone()[0])
        before = rules.read_text(encoding="utf-8")
        try:
            told = lines.replace("desk", store_db.dbname).replace("10.0.0.0/8", "127.0.0.1/32")
            rules.write_text(told + before, encoding="utf-8")
            cursor.execute("SELECT pg_reload_conf()")
            wait_until(lambda: is_rejected(store_db.login("bob") | {"dbname": "postgres"}))
            store_db.connect("bob")
            store_db.server.admin_conn("postgres").close()
        finally:
            rules.write_text(before, encoding="utf-8")
            cursor.execute("SELECT pg_reload_conf()")


@pytest.mark.both_servers
def test_user_whose_rights_end_is_out_at_once(store_db: StoreDatabase) -> None:
    store_db.provision("olga")
    conn = store_db.connect("olga")
    with closing(store_db.admin()) as admin:
        users.disable_user(admin, "olga")

    def is_out() -> bool:
        try:
            conn.cursor().execute("SELECT 1")
        except psycopg2.Error:
            return True
        return False

    wait_until(is_out)
    assert "not permitted to log in" in refused(store_db.login("olga"))


def test_files_of_the_server_are_its_owner_s_alone(store_db: StoreDatabase) -> None:
    cluster = directory_of(store_db.server)
    assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
    secret = cluster.parent / "admin.password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_text()) >= 32
    for name in ("pg_hba.conf", "pg_ident.conf", "postgresql.conf", "log"):
        assert stat.S_IMODE((cluster / name).stat().st_mode) & 0o077 == 0, name


def test_access_rules_trust_nobody_and_listen_to_no_network(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT auth_method, user_name, error FROM pg_hba_file_rules")
        rules = cursor.fetchall()
        assert {method for method, _, _ in rules} == {"peer", "scram-sha-256"}
        assert [names for method, names, _ in rules if method == "peer"] == [["postgres"]]
        cursor.execute(
            "SELECT current_setting('listen_addresses'), current_setting('password_encryption'),"
            " current_setting('max_prepared_transactions'), current_setting('log_min_error_statement')"
        )
        assert cursor.fetchone() == ("", "scram-sha-256", "0", "panic")
        cursor.execute("SELECT rolname FROM pg_authid WHERE rolcanlogin AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'")
        assert cursor.fetchall() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user of the machine")
def test_another_user_of_the_machine_is_no_administrator(store_db: StoreDatabase) -> None:
    program = (
        "import os, sys, psycopg2\n"
        f"os.setgid({pwd.getpwnam('nobody').pw_gid}); os.setuid({pwd.getpwnam('nobody').pw_uid})\n"
        "try:\n    psycopg2.connect(host=sys.argv[1], port=sys.argv[2], dbname='postgres', user='postgres')\n"
        "except psycopg2.OperationalError as error:\n    print(error)\n"
    )
    cluster = directory_of(store_db.server)

    def try_it() -> str:
        call = [sys.executable, "-c", program, store_db.host, str(store_db.port)]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout

    assert "Permission denied" in try_it(), "the socket lies in the owner's own directory"
    cluster.chmod(0o711)
    try:
        assert "Peer authentication failed" in try_it(), "and even with a way to it"
    finally:
        cluster.chmod(0o700)


def test_passwords_are_in_no_process_log_or_view(store_db: StoreDatabase) -> None:
    # Of this test alone: a test beside it may hand the password of one of its users to a process of its own.
    secret = f"Tr0ub4dor-and-{uuid4()}"
    cluster = directory_of(store_db.server)
    with closing(store_db.admin()) as admin, closing(store_db.admin()) as watching:
        with admin, admin.cursor() as cursor:
            cursor.execute("SET log_statement = 'all'")
        users.provision_user(admin, "pia", secret)
        log = (cluster / "log").read_text(errors="replace")
        assert 'ALTER ROLE "pia" LOGIN' in log, "everything that this connection sends is logged"
        assert secret not in log
        with admin, admin.cursor() as cursor:
            cursor.execute("RESET log_statement")
        watching.autocommit = True
        with watching.cursor() as cursor:
            cursor.execute("SELECT query FROM pg_stat_activity")
            assert secret not in str(cursor.fetchall())
        users.change_password(admin, "pia", secret)
        with pytest.raises(psycopg2.Error), admin, admin.cursor() as cursor:
            cursor.execute(f"ALTER ROLE pia PASSWORD '{secret}' NO SUCH OPTION")
    client = StoreClient("pia", secret, **store_db.where)
    assert client.count(Trade) == 0
    refused(store_db.where, user="pia", password=f"{secret}!")
    processes = [part for process in psutil.process_iter(["cmdline"]) for part in process.info["cmdline"] or []]
    for hidden in (secret, (cluster.parent / "admin.password").read_text()):
        assert not any(hidden in part for part in processes if "pytest" not in part)
        assert hidden not in (cluster / "log").read_text(errors="replace")
        assert hidden not in repr(client) + str(vars(client._database).keys())
    client.close()


def half_open(path: str) -> socket.socket:
    """Open a connection and go no further than saying whose it is."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    body = struct.pack("!i", 196608) + b"user\0bob\0database\0store\0\0"
    connection.sendall(struct.pack("!i", len(body) + 4) + body)
    return connection


def test_connections_that_never_say_their_password_lock_others_out_for_seconds_only(store_db: StoreDatabase) -> None:
    path = f"{store_db.host}/.s.PGSQL.{store_db.port}"
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("SHOW authentication_timeout")
        assert cursor.fetchone() == ("10s",), "PostgreSQL's own bound is a minute"
    with ExitStack() as stack:
        for _ in range(450):
            try:
                stack.enter_context(closing(half_open(path)))
            except (BlockingIOError, ConnectionError):
                break
        wait_until(lambda: can_connect(store_db), timeout=120.0)


def can_connect(store_db: StoreDatabase) -> bool:
    try:
        store_db.admin().close()
    except psycopg2.OperationalError:
        return False
    return True
