"""PostgreSQL or the bridge killed under load: the tables end equal to the store, row for row, each event once."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge import StoreBridge
from server.embedded import AUTH_TYPE
from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.deephaven.trade_churn import LIVE, check_live, check_raw, churn, logged
from tests.fix_bridge import rows
from tests.fix_children import Child, Children
from tests.integration.server_ends import kill_postgres
from tests.integration.workers.telling import start, told
from tests.rounds import rounds as rounds_of
from tests.waiting import wait_until

ROUNDS = rounds_of(2, 10)
SECONDS = 120.0
ALICE = {"user": "alice", "password": "alice_pw"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ObjectStoreServer]:
    with ObjectStoreServer(tmp_path / "data") as server:
        server.provision_user("alice", "alice_pw")
        yield server


def await_more(writers: Sequence[Child], calls: int = 20) -> None:
    """Wait until every writer has had some more calls acknowledged."""
    before = [len(told(writer, "acked")) for writer in writers]

    def moved() -> bool:
        return all(len(told(writer, "acked")) >= n + calls for writer, n in zip(writers, before, strict=True))

    wait_until(moved, SECONDS, lambda: "\n".join(writer.output[-1000:] for writer in writers))


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_bridge_tables_equal_the_store_after_postgresql_was_killed(
    deephaven_context: Any, server: ObjectStoreServer, children: Children, tmp_path: Path
) -> None:
    login = ALICE | server.conn_info()
    chance = random.Random(8)
    bridge = StoreBridge(**login, poll_seconds=0.2)
    bridge.register(Trade)
    with bridge:
        writers = [start(children, "steady_writer", login=login, name=f"w{n}", seed=n) for n in range(2)]
        for _ in range(ROUNDS):
            await_more(writers)
            with StoreClient(**login) as client:
                churn(client, chance)
            kill_postgres(tmp_path / "data")
            server.stop()
            server.start()
        await_more(writers)
        for writer in writers:
            writer.send(signal.SIGTERM)
        assert [writer.wait() for writer in writers] == [0, 0]
        with StoreClient(**login) as client:

            def shown() -> bool:
                # What falls due meanwhile may lie between two readings.
                assert bridge.wait_current(SECONDS)
                check_live(rows(bridge.live(Trade), *LIVE), client)
                return True

            wait_until(shown, SECONDS)
            check_raw(rows(bridge.table(Trade), "EntityId", "Version", "symbol", "price"), server, client)


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_bridge_killed_and_started_again_shows_the_whole_log_once(
    server: ObjectStoreServer, children: Children, tmp_path: Path
) -> None:
    from client.session import ClientSession

    login = ALICE | server.conn_info()
    key_file = tmp_path / "deephaven.key"
    arguments = ("-m", "tests.deephaven.bridge_process", json.dumps(login), str(key_file))
    done = threading.Event()

    def keep_writing() -> None:
        # At a pace: a JVM takes long to start, and everything written by then is replayed.
        with StoreClient(**login) as client:
            chance = random.Random(9)
            while not done.wait(0.2):
                churn(client, chance)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for _ in range(rounds_of(1, 5)):
            killed = children.run(*arguments)
            killed.wait_for_line("port ", SECONDS)
            killed.kill()
        again = children.run(*arguments)
        port = int(again.wait_for_line("port ", SECONDS).split()[1])
    finally:
        done.set()
        writer.join()
    session = ClientSession(port=port, auth_type=AUTH_TYPE, auth_token=key_file.read_text().strip())
    with closing(session), StoreClient(**login) as client:
        raw, live = session.open_table("trades_raw"), session.open_table("trades_live")
        expected = len(logged(server))
        wait_until(
            lambda: raw.to_arrow().num_rows >= expected,
            SECONDS,
            lambda: f"{expected} rows, not {raw.to_arrow().num_rows}:\n{again.output}",
        )
        columns = ["EntityId", "Version", "symbol", "price"]
        check_raw([tuple(row.values()) for row in raw.view(columns).to_arrow().to_pylist()], server, client)

        def shown() -> bool:
            check_live([tuple(row.values()) for row in live.view(LIVE).to_arrow().to_pylist()], client)
            return True

        wait_until(shown, SECONDS)
