"""The databases that the tests get."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from store.server import ObjectStoreServer
from tests.external_postgres import ExternalPostgres
from tests.fix_children import Children
from tests.fix_postgres import USERS, StoreDatabase, fresh_database
from tests.integration.server_ends import has_ended
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def tables_of(database: StoreDatabase, user: str) -> list[str]:
    with database.connect(user).cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'store' ORDER BY 1")
        return [name for (name,) in cursor]


def test_fresh_databases_have_the_schema_and_nothing_of_each_other(store_server: ObjectStoreServer) -> None:
    with fresh_database(store_server) as one, fresh_database(store_server) as other:
        with one.admin() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE store.mark ()")
            cursor.execute("GRANT SELECT ON store.mark TO PUBLIC")
        assert set(tables_of(one, "alice")) - set(tables_of(other, "alice")) == {"mark"}
        assert "object_events" in tables_of(other, "alice")


def test_fresh_database_is_gone_at_the_end_whoever_is_connected(store_server: ObjectStoreServer) -> None:
    with fresh_database(store_server) as database:
        login = database.login("alice")
        left_open = psycopg2.connect(**login)
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(**login)
    left_open.close()


@pytest.mark.parametrize("user", USERS)
def test_store_db_users_log_in_with_their_password_only(store_db: StoreDatabase, user: str) -> None:
    with store_db.connect(user).cursor() as cursor:
        cursor.execute("SELECT session_user")
        assert cursor.fetchone() == (user,)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(**store_db.where, user=user, password="wrong")


def test_fresh_database_has_the_template_s_rights(store_server: ObjectStoreServer, store_db: StoreDatabase) -> None:
    with store_db.admin().cursor() as cursor:
        cursor.execute(
            "SELECT datname, array(SELECT unnest(datacl)::text ORDER BY 1) FROM pg_database WHERE datname IN (%s, %s)",
            (store_db.dbname, store_server.conn_info()["dbname"]),
        )
        rights = dict(cursor.fetchall())
    assert len(rights) == 2
    assert len({str(value) for value in rights.values()}) == 1


def test_provision_makes_a_user_beside_the_three(store_db: StoreDatabase) -> None:
    with store_db.connect(store_db.provision("dora")).cursor() as cursor:
        cursor.execute("SELECT session_user")
        assert cursor.fetchone() == ("dora",)


def test_external_server_is_older_and_set_up_otherwise(external_server: ExternalPostgres) -> None:
    with closing(external_server.admin_conn()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int, lower('I'), '_' < 'A', now()::text")
        version, lower, before, now = cursor.fetchone()
    assert version >= 150000
    assert (lower, before) == ("\u0131", True), "letters go by the database's locale"
    assert now.endswith("+05:30")


def test_external_server_ends_with_its_process_even_when_that_is_killed(
    children: Children, external_server: ExternalPostgres
) -> None:
    child = children.script(
        "import sys, time\n"
        "from tests.external_postgres import ExternalPostgres\n"
        "from tools.postgres import find_postgres\n"
        "server = ExternalPostgres(find_postgres()).start()\n"
        "print('folder', server.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    folder = Path(child.wait_for_line("folder").split()[1])
    process = psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))
    assert process.is_running()
    child.kill()
    wait_until(lambda: has_ended(process), message="the server's end")
    shutil.rmtree(folder)
