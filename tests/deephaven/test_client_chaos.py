"""The Deephaven server killed under a listener, and a client killed beside it: what it sees ends equal to the store."""

from __future__ import annotations

import json
import queue
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from client.base_client import DeephavenClient
from client.errors import ClientError
from store.client import StoreClient
from store.server import ObjectStoreServer
from tests.deephaven.trade_churn import LIVE, check_live, check_raw, churn, logged
from tests.fix_children import Child, Children
from tests.ports import free_port
from tests.rounds import rounds
from tests.waiting import wait_until

SECONDS = 150.0
COLUMNS = ["EntityId", "Version", "symbol", "price"]
VICTIM = """
import sys
import threading
from client.base_client import DeephavenClient

client = DeephavenClient(port=int(sys.argv[1]), key_file=sys.argv[2])
client.subscribe("trades_raw", lambda update: print("rows", len(update.added("Version")["Version"]), flush=True))
threading.Event().wait()
"""


class Listening:
    """The rows that one subscription to trades_raw has brought, in the order in which they came."""

    def __init__(self, client: DeephavenClient) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.other: list[str] = []
        self.ended: queue.SimpleQueue[Exception] = queue.SimpleQueue()
        client.subscribe(client.open_table("trades_raw").view(COLUMNS), self._on_update, self.ended.put)

    def await_more(self, rows: int = 100) -> None:
        """Wait until so many more rows have come."""
        before = len(self.rows)
        wait_until(lambda: len(self.rows) >= before + rows, SECONDS, lambda: f"{len(self.rows)} rows, {before} before")

    def _on_update(self, update: Any) -> None:
        columns = update.added(COLUMNS)
        self.rows += zip(*(columns[name].to_pylist() for name in COLUMNS), strict=True) if columns else []
        self.other += [kind for kind in ("modified", "removed") if any(map(len, getattr(update, kind)().values()))]


@contextmanager
def writing(login: dict[str, Any]) -> Iterator[None]:
    """Keep writing, at a pace: a JVM takes long to start, and everything written by then is replayed."""
    done = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with StoreClient(**login) as client:
                chance = random.Random(10)
                while not done.wait(0.2):
                    churn(client, chance)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not failed


def listen_again(client: DeephavenClient) -> Listening:
    """Subscribe once the server is back."""

    def subscribed() -> Listening | None:
        try:
            return Listening(client)
        except ClientError:
            return None

    found = wait_until(subscribed, SECONDS)
    assert found is not None
    return found


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_listener_over_a_killed_server_and_beside_a_killed_client_sees_each_event_once(
    children: Children, tmp_path: Path
) -> None:
    with ObjectStoreServer(tmp_path / "data") as store:
        store.provision_user("alice", "alice_pw")
        login = {"user": "alice", "password": "alice_pw"} | store.conn_info()
        key_file = str(tmp_path / "deephaven.key")
        arguments = ("-m", "tests.deephaven.bridge_process", json.dumps(login), key_file)

        def serve(port: str) -> tuple[Child, str]:
            child = children.run(*arguments, port)
            return child, child.wait_for_line("port ", SECONDS).split()[1]

        with ExitStack() as opened:
            with writing(login):
                server, port = serve(str(free_port()))
                client = opened.enter_context(DeephavenClient(port=int(port), key_file=key_file))
                listening = Listening(client)
                for _ in range(rounds(1, 5)):
                    victim = children.script(VICTIM, port, key_file)
                    victim.wait_for_line("rows", SECONDS)
                    victim.kill()
                    listening.await_more()
                    server.kill()
                    listening.ended.get(timeout=SECONDS)
                    server, _ = serve(port)
                    listening = listen_again(client)
                    listening.await_more()
            expected = len(logged(store))
            wait_until(lambda: len(listening.rows) >= expected, SECONDS, lambda: f"{len(listening.rows)} of {expected}")
            with StoreClient(**login) as reader:
                check_raw(listening.rows, store, reader)

                def shown() -> bool:
                    live = client.read(client.open_table("trades_live").view(LIVE))
                    check_live([tuple(row.values()) for row in live.to_pylist()], reader)
                    return True

                wait_until(shown, SECONDS)
            assert listening.other == []
            assert listening.ended.empty()
