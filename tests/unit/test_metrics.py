"""Counting calls, and log records as JSON."""

from __future__ import annotations

import doctest
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from bridge.metrics import FeedStats
from store import metrics
from store.errors import StoreError
from store.logs import JsonFormatter
from store.metrics import BOUNDS, Meter, measured
from store.subscriptions import Lag
from store.telemetry import observe


@measured("work")
class Worker:
    def __init__(self) -> None:
        self.meter = Meter()

    def work(self, value: int, *, fail: bool = False) -> int:
        """Return the value."""
        if fail:
            raise KeyError(value)
        return value


def test_measured_methods_are_counted_and_stay_what_they_are() -> None:
    worker = Worker()
    assert worker.work(3) == 3
    with pytest.raises(KeyError):
        worker.work(4, fail=True)
    found = worker.meter.operations()["work"]
    assert (found.calls, found.errors, sum(found.counts)) == (2, 1, 2)
    assert 0 < found.slowest <= found.seconds
    assert found.mean == found.seconds / 2
    assert (Worker.work.__doc__, Worker.work.__name__) == ("Return the value.", "work")


def test_meter_loses_no_call_of_many_threads() -> None:
    meter = Meter()
    threads = [threading.Thread(target=lambda: [meter.count("read", 0.001) for _ in range(5_000)]) for _ in range(4)]
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switching)
    assert meter.operations()["read"].calls == 20_000


def test_operation_tells_what_share_of_calls_took_how_long() -> None:
    meter = Meter()
    for seconds in [0.0004] * 90 + [0.02] * 9 + [70.0]:
        meter.count("query", seconds)
    found = meter.operations()["query"]
    assert [found.within(share) for share in (0.5, 0.9, 0.95, 0.99, 1.0)] == [0.0005, 0.0005, 0.025, 0.025, 70.0]
    assert len(found.counts) == len(BOUNDS) + 1
    assert doctest.testmod(metrics).failed == 0


def test_calls_are_logged_at_debug_with_their_facts(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker()
    with caplog.at_level(logging.DEBUG, "store"), pytest.raises(KeyError):
        worker.work(4, fail=True)
    [record] = [each for each in caplog.records if getattr(each, "operation", None) == "work"]
    assert (record.operation, record.error, record.levelname) == ("work", "KeyError", "DEBUG")  # type: ignore[attr-defined]


def test_json_formatter_writes_one_object_with_facts_and_traceback() -> None:
    try:
        raise ValueError("bad\nline")
    except ValueError:
        told = sys.exc_info()
    record = logging.LogRecord("store.x", logging.ERROR, __file__, 1, "%s failed ☃", ("it",), told)
    record.entity_id = "e1"
    record.odd = {1, 2}.__class__
    line = JsonFormatter().format(record)
    assert "\n" not in line
    facts = json.loads(line)
    assert facts["message"] == "it failed ☃"
    assert (facts["level"], facts["logger"], facts["entity_id"]) == ("ERROR", "store.x", "e1")
    assert facts["time"].endswith("+00:00")
    assert "ValueError: bad\nline" in facts["exception"]
    assert not {"args", "msg", "levelno", "pathname"} & set(facts)


class Bridge:
    """Has the figures of a bridge without a JVM."""

    def stats(self) -> dict[str, FeedStats]:
        return {"Order": FeedStats(12, 1.5, 0.002, 3, 4)}

    def lag(self) -> Lag:
        raise StoreError("the server is away")


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    yield reader
    reader.shutdown()


def test_bridge_figures_are_exported_by_type_whatever_else_fails(reader: InMemoryMetricReader) -> None:
    observe(Bridge(), {"desk": "rates"}, provider=MeterProvider([reader]))
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: (point.value, dict(point.attributes or {}))  # type: ignore[union-attr]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    assert found["bridge.events"] == (12, {"desk": "rates", "type": "Order"})
    assert {name: value for name, (value, _) in found.items()} == {
        "bridge.events": 12,
        "bridge.events_per_second": 1.5,
        "bridge.delay_seconds": 0.002,
        "bridge.waiting": 3,
        "bridge.scheduled": 4,
    }


def test_observe_refuses_what_has_no_figures_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match=r"takes a StoreClient, .* not 'client'"):
        observe("client")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(StoreError, match="pip install opentelemetry-sdk"):
        observe(Bridge())
