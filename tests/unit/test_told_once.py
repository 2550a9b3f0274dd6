"""What waits for a PostgreSQL that is away says so once, and says when it goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge.schedule import ScheduleWatcher
from server.positions import PositionBook
from server.trade_log import TradeWriter
from store.conninfo import conninfo
from store.errors import ConnectionLost
from store.log_reader import LogReader
from tests.ports import free_port
from tests.waiting import wait_until


def messages(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == name]


def test_log_reader_tells_each_failure_once(caplog: pytest.LogCaptureFixture) -> None:
    reader = LogReader(conninfo("alice", "alice_pw", "127.0.0.1", free_port(), "store"))
    thread = threading.Thread(target=lambda: list(reader.follow()))
    thread.start()
    wait_until(lambda: reader.reconnects >= 3)
    reader.stop()
    thread.join()
    reader.close()
    (told,) = messages(caplog, "store.log_reader")
    assert "reading the log stops at position 0: cannot connect as 'alice'" in told


class Attempts(ScheduleWatcher):
    """A watcher whose look at the rights ends as it is told."""

    ends: list[Exception | None]

    def look_at_rights(self, conn: Any) -> None:
        end = self.ends.pop(0)
        if end is not None:
            raise end

    def _connection(self) -> Any:
        return None

    def looks(self) -> None:
        while self.ends:
            self._next_look = 0.0
            self._attempt(self._look_if_time)
            self._attempt(self._show_due)  # which has nothing to do, and so cannot fail


def test_schedule_tells_each_failure_once_and_when_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    watcher = Attempts({}, [], lambda reads_all: None)
    watcher.ends = [ConnectionLost("away"), ConnectionLost("away"), OSError("odd"), OSError("odd"), None, None]
    watcher.looks()
    told = [message.split(":")[0] for message in messages(caplog, "bridge.schedule")]
    assert told == [
        "changes without an event wait for the server",
        "changes without an event cannot be shown; trying again",
        "changes without an event are shown again",
    ]


class Away:
    """A client whose connection is lost three times."""

    calls = 0

    def write_many(self, trades: list[Any], *, idempotency_key: str) -> list[str]:
        self.calls += 1
        if self.calls <= 3:
            raise ConnectionLost("away")
        return []


def test_trades_that_wait_are_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.trade_log._FIRST_RETRY", 0.001)
    TradeWriter(Away(), PositionBook())._write_surely([])  # type: ignore[arg-type]
    assert messages(caplog, "server.trade_log") == [
        "trades of the desk wait for the store: away",
        "the store takes the desk's trades again",
    ]
