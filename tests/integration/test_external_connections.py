"""Connections to a server on the network: who it is, whether anybody can listen, and what becomes of the password."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from store.client import StoreClient
from store.connection import connect, run
from store.conninfo import conninfo
from store.errors import ConnectionLost
from store.models import Trade
from store.subscriptions import EventBus, SubscriptionListener
from tests.external_postgres import ExternalPostgres
from tests.fix_postgres import StoreDatabase, fresh_database

pytestmark = pytest.mark.external


@pytest.fixture(scope="module")
def database(external_server: ExternalPostgres) -> Iterator[StoreDatabase]:
    with fresh_database(external_server) as found:
        yield found


@pytest.fixture
def login(database: StoreDatabase) -> dict[str, Any]:
    return database.login("alice")


def refusal(login: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ConnectionLost) as caught:
        StoreClient(**{**login, **changes})
    return str(caught.value)


def test_connections_are_encrypted_all_of_them(login: dict[str, Any]) -> None:
    with StoreClient(**login) as client:
        client.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
        client.conn.cursor().execute("SELECT 1")
        with client.conn.cursor() as cursor:
            cursor.execute("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'alice'")
            found = cursor.fetchall()
    assert len(found) >= 2
    assert set(found) == {(True,)}


def test_network_that_carries_nothing_any_more_is_noticed_within_half_a_minute(login: dict[str, Any]) -> None:
    with StoreClient(**login) as client, socket.socket(fileno=os.dup(client.conn.fileno())) as ours:

        def option(level: int, number: int) -> int:
            return ours.getsockopt(level, number)

        assert option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000  # of what was sent, in milliseconds
        assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1  # for who only waits
        numbers = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [option(socket.IPPROTO_TCP, number) for number in numbers] == [15, 5, 3]


def test_root_certificate_may_come_from_the_environment(login: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", login.pop("sslrootcert"))
    StoreClient(**login).close()
    monkeypatch.setenv("PGSSLMODE", login.pop("sslmode"))
    StoreClient(**login).close()


def test_root_certificate_may_be_a_path(login: dict[str, Any]) -> None:
    login["sslrootcert"] = Path(login["sslrootcert"])
    StoreClient(**login).close()
    with SubscriptionListener(event_bus=EventBus(), **login) as listener:
        assert listener.lag().events == 0


def test_server_signed_by_another_authority_is_refused(login: dict[str, Any], tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    told = refusal(login, sslrootcert=other)
    assert "certificate verify failed" in told
    assert "sslrootcert must name the authority" in told
    with pytest.raises(ConnectionLost, match="certificate verify failed"):
        SubscriptionListener(event_bus=EventBus(), **{**login, "sslrootcert": other}).start()


def test_server_under_another_name_is_refused(login: dict[str, Any]) -> None:
    told = refusal(login, host="127.0.0.1")
    assert 'certificate for "localhost" does not match host name "127.0.0.1"' in told
    assert "by a name that stands in the server's certificate" in told


def test_connection_without_encryption_is_refused_by_the_server(login: dict[str, Any]) -> None:
    told = refusal(login, sslmode="disable")
    assert "no encryption" in told
    assert "sslmode='verify-full'" in told


def test_missing_root_certificate_is_named(login: dict[str, Any]) -> None:
    assert 'root certificate file "/nowhere/ca.pem" does not exist' in refusal(login, sslrootcert="/nowhere/ca.pem")


def test_login_is_bound_to_the_encrypted_channel(login: dict[str, Any]) -> None:
    connect(conninfo(**login, channel_binding="require")).close()
    told = refusal(login, sslmode="disable")  # the control: without a channel there is nothing to bind to
    assert "no encryption" in told


def test_session_does_not_take_over_the_settings_of_the_server(login: dict[str, Any]) -> None:
    conn = connect(conninfo(**login))
    names = ("TimeZone", "DateStyle", "extra_float_digits", "bytea_output", "transaction_isolation", "jit")
    found = [run(conn, f"SHOW {name}")[0][0] for name in names]
    conn.close()
    assert found == ["UTC", "ISO, DMY", "1", "hex", "read committed", "off"]


class Impostor:
    """A program that poses as the server, and asks for the password in the way that it is told to.

    Args:
        request: The body of its authentication request.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError), self._socket.accept()[0] as peer:
            while (sent := peer.recv(65536)) and struct.unpack("!I", sent[4:8])[0] in (80877103, 80877104):
                peer.sendall(b"N")  # neither TLS nor GSSAPI
            self.heard += sent
            peer.sendall(b"R" + struct.pack("!I", 4 + len(self._request)) + self._request)
            self.heard += peer.recv(65536)

    def close(self) -> None:
        """Wait for nobody any longer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(120)


REQUESTS = {"in clear": struct.pack("!I", 3), "as MD5": struct.pack("!I", 5) + b"salt"}


@pytest.fixture(params=REQUESTS)
def impostor(request: pytest.FixtureRequest) -> Iterator[Impostor]:
    server = Impostor(REQUESTS[request.param])
    yield server
    server.close()


def test_password_is_told_to_nobody_who_poses_as_the_server(impostor: Impostor) -> None:
    told = refusal(
        {"user": "alice", "password": "not for you", "host": "127.0.0.1", "port": impostor.port, "dbname": "store"}
    )
    impostor.close()
    assert b"alice" in impostor.heard, "it was asked"
    assert b"not for you" not in impostor.heard
    assert b"md5" not in impostor.heard
    assert "the server must ask for SCRAM" in told


def test_password_from_a_file_is_told_to_nobody_either(
    impostor: Impostor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "pgpass"
    passwords.touch(mode=0o600)
    passwords.write_text("*:*:*:alice:not for you\n")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    told = refusal({"user": "alice", "password": "", "host": "127.0.0.1", "port": impostor.port, "dbname": "store"})
    impostor.close()
    assert b"alice" in impostor.heard, "it was asked"
    assert b"not for you" not in impostor.heard
    assert b"md5" not in impostor.heard
    assert "the server must ask for SCRAM" in told


def test_administrator_may_take_another_way_to_log_in_by_libpq_s_variable(
    impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGREQUIREAUTH", "password,md5")
    refusal({"user": "alice", "password": "told", "host": "127.0.0.1", "port": impostor.port, "dbname": "store"})
    impostor.close()
    assert b"told" in impostor.heard or b"md5" in impostor.heard
