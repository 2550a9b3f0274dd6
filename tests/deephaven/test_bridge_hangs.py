"""A bridge that is to stop while PostgreSQL hangs: it answers nothing, and closes no socket."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from bridge import StoreBridge
from store import pool
from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.fix_bridge import rows, trade
from tests.integration.server_ends import hanging
from tests.waiting import returns, wait_until


def test_bridge_and_replay_stop_while_the_server_hangs_and_go_on_with_nothing_lost(
    deephaven_context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "ANSWER_SECONDS", 0.5)
    with ObjectStoreServer(tmp_path / "data") as server:
        server.provision_user("alice", "alice_pw")
        login = {"user": "alice", "password": "alice_pw"} | server.conn_info()
        bridge = StoreBridge(**login, subscriber_id="desk", poll_seconds=0.05)
        bridge.register(Trade)
        with StoreClient(**login) as client:
            first = client.write(trade())
            bridge.start()
            start = datetime.now(timezone.utc) - timedelta(hours=1)
            replay = bridge.replay(Trade, start, speed=0.001)
            assert bridge.wait_current(timeout=60)
            with hanging(tmp_path / "data"):
                # Asked for something by now: the reader for the log, the other one for the user's rights.
                wait_until(lambda: bridge.silence() > 2)
                returns(bridge.stop)
                returns(replay.stop)
            second = client.write(trade("MSFT"))
            bridge.start()
            assert bridge.wait_current(timeout=60)
            assert sorted(rows(bridge.table(Trade), "EntityId")) == sorted([first, second])
            bridge.stop()
