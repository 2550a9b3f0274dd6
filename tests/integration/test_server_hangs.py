"""A server that hangs: its processes are stopped, its sockets stay open. Nobody who wants to end waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store import pool
from store.client import StoreClient
from store.errors import ConnectionLost
from store.events import ChangeEvent, EventBus
from store.models import Trade
from store.server import ObjectStoreServer
from store.subscriptions import SubscriptionListener
from tests.integration.server_ends import hanging
from tests.waiting import returns, wait_until

ALICE = {"user": "alice", "password": "alice_pw"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hanging") / "data"


@pytest.fixture(scope="module")
def login(data_dir: Path) -> Iterator[dict[str, Any]]:
    with ObjectStoreServer(data_dir) as server:
        server.provision_user("alice", "alice_pw")
        yield ALICE | server.conn_info()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "ANSWER_SECONDS", 0.5)


def trade() -> Trade:
    return Trade(symbol="AAPL", quantity=100, price=229.5, side="BUY")


def waits_for_an_answer(listener: SubscriptionListener) -> bool:
    reader = listener._reader
    return reader is not None and reader._conn is not None and reader._conn._asked is not None


@pytest.mark.parametrize("subscriber_id", ["risk", None])
def test_listener_stops_while_the_server_hangs(
    data_dir: Path, login: dict[str, Any], subscriber_id: str | None
) -> None:
    seen: list[ChangeEvent] = []
    bus = EventBus()
    listener = SubscriptionListener(bus, **login, subscriber_id=subscriber_id, poll_seconds=0.05)
    bus.on_all(seen.append)
    listener.start()
    with StoreClient(**login) as client:
        first = client.write(trade())
        wait_until(lambda: len(seen) == 1)
        with hanging(data_dir):
            wait_until(lambda: waits_for_an_answer(listener))
            returns(listener.stop)
            assert not listener.running
        second = client.write(trade())
        if subscriber_id is None:
            return
        with listener:
            wait_until(lambda: second in [event.entity_id for event in seen])
        assert seen[0].entity_id == first


def test_lag_of_a_listener_does_not_wait_for_a_server_that_hangs(data_dir: Path, login: dict[str, Any]) -> None:
    with SubscriptionListener(EventBus(), **login, poll_seconds=0.05) as listener:
        with hanging(data_dir):
            wait_until(lambda: waits_for_an_answer(listener))
            told: list[str] = []

            def ask() -> None:
                with pytest.raises(ConnectionLost) as caught:
                    listener.lag()
                told.append(str(caught.value))

            returns(ask)
            assert told == ["the server has not answered for 0.5 s"]
        wait_until(lambda: listener.lag() == (0, 0.0))


def test_listener_stops_while_its_callback_holds_events_of_a_server_that_hangs(
    data_dir: Path, login: dict[str, Any]
) -> None:
    bus, called, may_return = EventBus(), threading.Event(), threading.Event()
    bus.on_all(lambda event: [called.set(), may_return.wait()])
    listener = SubscriptionListener(bus, **login, subscriber_id="slow", poll_seconds=0.05).start()
    with StoreClient(**login) as client:
        client.write(trade())
    assert called.wait(60)
    with hanging(data_dir):
        may_return.set()  # the checkpoint cannot be moved
        returns(listener.stop)
        assert not listener.running


def test_client_closes_while_the_server_hangs(data_dir: Path, login: dict[str, Any]) -> None:
    client = StoreClient(**login)
    client.write(trade())
    with hanging(data_dir):
        returns(client.close)


def test_server_that_hangs_is_told_of_to_who_would_connect(
    data_dir: Path, login: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.conninfo.CONNECT_SECONDS", 2)
    with hanging(data_dir), pytest.raises(ConnectionLost, match=r"cannot connect as 'alice'.*timeout expired"):
        StoreClient(**login)
