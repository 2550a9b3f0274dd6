"""One embedded PostgreSQL for the whole run; each test gets a database of its own, copied from a template.

The tests of a module with `pytestmark = pytest.mark.both_servers` run a second time on an external PostgreSQL 15.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from store.client import StoreClient
    from store.server import ObjectStoreServer
    from tests.external_postgres import ExternalPostgres
    from tests.managed_postgres import ManagedServer

    Server: TypeAlias = ObjectStoreServer | ExternalPostgres | ManagedServer

USERS = ("alice", "bob", "carol")
_numbers = itertools.count(1)


def password_of(user: str) -> str:
    """Return the password that the fixtures give a user."""
    return f"{user}_pw"


class StoreDatabase:
    """A store of its own: where to connect, and connections that are closed when the test ends."""

    def __init__(self, server: Server, dbname: str) -> None:
        self._info = server.conn_info() | {"dbname": dbname}
        self.server = server
        self.host: str = self._info["host"]
        self.port: int = self._info["port"]
        self.dbname = dbname
        self._connections: list[Any] = []

    @property
    def where(self) -> dict[str, Any]:
        """Return `host`, `port` and `dbname`, and what TLS needs, as keyword arguments for whatever connects."""
        return dict(self._info)

    @property
    def is_embedded(self) -> bool:
        """Whether the server is an embedded one, reached through a socket and without TLS."""
        return "sslmode" not in self._info

    def login(self, user: str) -> dict[str, Any]:
        """Return `where`, `user` and `password`."""
        return self.where | {"user": user, "password": password_of(user)}

    def client(self, user: str = "alice", **options: Any) -> StoreClient:
        """Return a new client of alice, bob, carol or a user made by `provision`."""
        from store.client import StoreClient

        client = StoreClient(**self.login(user), **options)
        self._connections.append(client)
        return client

    def connect(self, user: str) -> Connection:
        """Return a user's own connection, as a program that does without our client would open it."""
        import psycopg2

        connection = psycopg2.connect(**self.login(user))
        self._connections.append(connection)
        return connection

    def admin(self) -> Connection:
        """Return a new superuser's connection to this database."""
        connection = self.server.admin_conn(self.dbname)
        self._connections.append(connection)
        return connection

    def provision(self, user: str, *, reads_all: bool = False) -> str:
        """Create a user beside alice, bob and carol; roles belong to the whole server, so other tests see the name."""
        from store.schema import provision_user

        with closing(self.server.admin_conn(self.dbname)) as connection:
            provision_user(connection, user, password_of(user), reads_all=reads_all)
        return user

    def close(self) -> None:
        for connection in reversed(self._connections):
            connection.close()


@pytest.hookimpl
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module with the mark `both_servers` on each server."""
    if "store_server" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_servers"):
        servers = ["embedded", pytest.param("external", marks=pytest.mark.external)]
        metafunc.parametrize("store_server", servers, indirect=True, scope="session")


@pytest.fixture(scope="session")
def store_server(request: pytest.FixtureRequest) -> Server:
    """The test's PostgreSQL, with alice, bob and carol; its own database stays empty, as the template of the others."""
    server: Server = request.getfixturevalue(f"{getattr(request, 'param', 'embedded')}_server")
    return server


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[ObjectStoreServer]:
    """The run's embedded PostgreSQL."""
    from store.server import ObjectStoreServer

    with ObjectStoreServer() as server:
        with closing(server.admin_conn()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                # Killing processes loses nothing that reached the system; only a power cut would.
                cursor.execute("ALTER SYSTEM SET fsync = off")
                # A test that waits so long for a lock waits for itself, inside libpq, where no signal ends it.
                cursor.execute("ALTER SYSTEM SET lock_timeout = '60s'")
                # Otherwise a vacuum may come between two looks at plans, sizes or locks that a test compares.
                cursor.execute("ALTER SYSTEM SET autovacuum = off")
                cursor.execute("SELECT pg_reload_conf()")
        for user in USERS:
            server.provision_user(user, password_of(user))
        yield server


@pytest.fixture(scope="session")
def external_server() -> Iterator[ExternalPostgres]:
    """The run's PostgreSQL that is not the embedded one; started by the first test that asks for it."""
    from tests.external_postgres import ExternalPostgres
    from tools.machine import SetupError
    from tools.postgres import find_postgres

    try:
        programs = find_postgres()
    except SetupError as error:
        pytest.skip(str(error))
    server = ExternalPostgres(programs)
    try:
        server.start()
        for user in USERS:
            server.provision_user(user, password_of(user))
        yield server
    finally:
        server.stop()


@contextmanager
def fresh_database(server: Server, *, complete: bool = True) -> Iterator[StoreDatabase]:
    """Make a database like the server's own, and drop it at the end whatever is still connected.

    Args:
        server: The server.
        complete: Whether its administrator can do all that protects a database.
    """
    from store.protection import protect_database

    dbname = f"test_{next(_numbers)}"
    with closing(server.admin_conn("postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            template = server.conn_info()["dbname"]
            cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [template])
            cursor.execute(f'CREATE DATABASE {dbname} OWNER {cursor.fetchone()[0]} TEMPLATE "{template}"')
            with closing(server.admin_conn(dbname)) as inside:
                # A copy has the template's tables but not its rights on the database.
                shortfalls = protect_database(inside)
                assert shortfalls == [] or not complete
            database = StoreDatabase(server, dbname)
            try:
                yield database
            finally:
                database.close()
                cursor.execute(f"DROP DATABASE {dbname} WITH (FORCE)")


@pytest.fixture
def store_db(store_server: Server) -> Iterator[StoreDatabase]:
    """An empty store for this test alone."""
    with fresh_database(store_server) as database:
        yield database


@pytest.fixture(scope="module")
def module_store_db(store_server: Server) -> Iterator[StoreDatabase]:
    """An empty store that the tests of one module share."""
    with fresh_database(store_server) as database:
        yield database


@pytest.fixture(scope="module")
def client(module_store_db: StoreDatabase) -> StoreClient:
    """A client of alice's, in the store that the tests of one module share."""
    return module_store_db.client()


@pytest.fixture(scope="module")
def bob(module_store_db: StoreDatabase) -> StoreClient:
    """A client of bob's, in the same store."""
    return module_store_db.client("bob")
