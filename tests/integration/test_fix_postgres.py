"""The databases that the tests get."""

from __future__ import annotations

import psycopg2
import pytest

from store.server import ObjectStoreServer
from tests.fix_postgres import USERS, StoreDatabase, fresh_database


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
