"""Figures of clients and listeners, told and exported; and that no log tells a secret."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from store.client import StoreClient
from store.errors import ConnectionLost, VersionConflict
from store.events import EventBus
from store.logs import JsonFormatter
from store.models import Trade
from store.pool import PooledConnection
from store.schema import change_password, disable_user, enable_user, provision_user
from store.subscriptions import SubscriptionListener
from store.telemetry import observe
from tests.fix_postgres import StoreDatabase
from tests.integration.workers.command_line import CommandLine, by_url
from tests.waiting import wait_until
from workflow.dbos_engine import DBOSEngine
from workflow.errors import EngineError


def trade(quantity: int = 1) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=1.0, side="BUY")


def test_client_stats_count_calls_errors_and_connections(store_db: StoreDatabase) -> None:
    client = store_db.client()
    assert repr(client) == "<StoreClient: {user!r} at {host}:{port}/{dbname}>".format(user="alice", **store_db.where)
    assert client.stats().operations == {}
    mine = trade()
    client.write(mine)
    client.write_many([trade(), trade()])
    stale = client.read(Trade, str(mine.entity_id))
    assert stale is not None
    client.update(mine)
    with pytest.raises(VersionConflict):
        client.update(stale)
    client.query(Trade)
    stats = client.stats()
    told = {name: (one.calls, one.errors) for name, one in stats.operations.items()}
    assert told == {"write": (1, 0), "write_many": (1, 0), "read": (1, 0), "update": (2, 1), "query": (1, 0)}
    assert all(0 < one.seconds < 60 for one in stats.operations.values())
    assert stats.retries == 0
    assert stats.pool._replace(opened=0) == (8, 0, 1, 0, 0)
    with client.transaction():
        client.write(trade())
        assert client.stats().pool.in_use == 1


def test_client_stats_count_a_read_that_is_sent_again(store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    client = store_db.client()
    monkeypatch.setattr(PooledConnection, "alive", lambda conn: True)  # as where the way to the server breaks unnoticed
    with closing(store_db.admin()) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'alice'"
            " AND datname = current_database()"
        )
    opened = client.stats().pool.opened
    assert client.count(Trade) == 0
    stats = client.stats()
    assert (stats.retries, stats.pool.opened, stats.operations["count"].errors) == (1, opened + 1, 0)


def exported(reader: InMemoryMetricReader) -> dict[str, Any]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: metric.data.data_points
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_client_and_listener_figures_reach_opentelemetry(store_db: StoreDatabase) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    client = store_db.client()
    observe(client, {"desk": "rates"}, provider=provider)
    seen: list[str] = []
    bus = EventBus()
    bus.on_all(lambda event: seen.append(event.entity_id))
    with SubscriptionListener(bus, **store_db.login("alice"), subscriber_id="risk") as listener:
        observe(listener, provider=provider)
        mine = trade()
        client.write(mine)
        wait_until(lambda: seen and not listener.lag().events)
        with pytest.raises(Exception, match="entity"):
            client.read(Trade, "no id")
        found = exported(reader)
        calls = {
            (point.attributes["operation"], point.attributes.get("error.type")): (point.count, point.attributes["desk"])
            for point in found["store.client.operation.duration"]
        }
        assert calls[("write", None)] == (1, "rates")
        [(failed, _)] = [key for key in calls if key[1] is not None]
        assert failed == "read"
        values = {name: points[0].value for name, points in found.items() if hasattr(points[0], "value")}
        assert values["store.listener.delivered"] == 1
        assert values["store.listener.running"] == 1
        assert values["store.listener.lag.events"] == 0
        assert values["store.client.retries"] == 0
        stats = listener.stats()
        assert (stats.delivered, stats.backfilled, stats.reconnects) == (1, 0, 0)
        wait_until(lambda: listener.stats().checkpoint == listener.stats().position)
    # A listener that has ended has no lag to tell; the other figures go on.
    found = exported(reader)
    assert found["store.listener.running"][0].value == 0
    assert "store.listener.lag.events" not in found
    provider.shutdown()


SECRETS = ("hunter2-first", "hunter2-second", "hunter2-third", "hunter2-wrong")


def test_no_log_and_no_error_tells_a_password(store_db: StoreDatabase, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third, wrong = SECRETS
    told: list[str] = []

    def fails(kind: type[Exception], call: Callable[[], Any]) -> None:
        with pytest.raises(kind) as raised:
            call()
        told.append("".join(traceback.format_exception(raised.value)))

    where = store_db.where
    url = f"postgresql://store_engine:{wrong}@/{store_db.dbname}?host={store_db.host}&port={store_db.port}"
    with caplog.at_level(logging.DEBUG), closing(store_db.admin()) as admin:
        provision_user(admin, "sally", first)
        change_password(admin, "sally", second)
        with StoreClient("sally", second, **where) as client:
            client.change_password(third)
            client.write(trade())
        fails(ConnectionLost, lambda: StoreClient("sally", wrong, **where))
        fails(ConnectionLost, lambda: StoreClient("sally", wrong, "localhost", 1, "store"))
        fails(ConnectionLost, lambda: StoreClient("sally", wrong, "", "no port", "store", sslmode="odd"))
        fails(ConnectionLost, lambda: SubscriptionListener(EventBus(), **where, user="sally", password=wrong).start())
        fails(EngineError, lambda: DBOSEngine(url, "desk").launch())
        fails(EngineError, lambda: DBOSEngine(url.replace("port=", "port=1"), "desk").launch())
        fails(EngineError, lambda: DBOSEngine(f"postgresql://store_engine:{wrong}%zz@[::1/x", "desk").launch())
        disable_user(admin, "sally")
        fails(ConnectionLost, lambda: StoreClient("sally", third, **where))
        enable_user(admin, "sally")
        command = by_url(store_db, "sally")
        command.password = wrong
        told.append(command.fails("ls"))
        for place in (
            f"postgresql://sally:{wrong}@[::1/x",
            f"postgresql://sally:{wrong}@host/x?%",
            f"postgresql://sally:{wrong}%zz@host/x",
            f"postgresql://sally:{wrong}@h:p/x",
            f"postgresql://sally@h/x?password={wrong}",
            f"postgresql://sally:{wrong}@h",
        ):
            told.append(CommandLine("--url", place, password="").fails("ls", status=2))
        with admin.cursor() as cursor:
            cursor.execute("SELECT pg_current_logfile(), current_setting('data_directory')")
            _, data = cursor.fetchone()  # type: ignore[misc]
    logged = [JsonFormatter().format(record) for record in caplog.records]
    assert any('"operation": "write"' in line for line in logged)
    for text in [*told, *logged, (Path(data) / "log").read_text(errors="replace")]:
        assert not [secret for secret in SECRETS if secret in text], text
