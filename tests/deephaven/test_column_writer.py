from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from server.column_writer import ColumnWriter
from server.errors import WriterClosed
from tests.waiting import wait_until

TYPES = {"Symbol": "string", "Time": "Instant", "Price": "double", "Size": "long"}
SYMBOLS = ["AAPL", "Ünïcode", "\U0001d518", ""]


def writer(**options: Any) -> ColumnWriter:
    return ColumnWriter("ticks", TYPES, {"Symbol": SYMBOLS}, **options)


def rows(table: Any) -> list[dict[str, Any]]:
    from deephaven import arrow

    found: list[dict[str, Any]] = arrow.to_arrow(table).to_pylist()
    return found


def batch(first: int, count: int) -> tuple[np.ndarray, ...]:
    number = np.arange(first, first + count)
    return number % len(SYMBOLS), number * 1000, number / 4, number.astype(float)


def kept(writer: ColumnWriter) -> Any:
    from deephaven.stream import blink_to_append_only

    return blink_to_append_only(writer.blink)


def test_column_writer_values_arrive_as_written_and_nan_as_null(deephaven_context: Any) -> None:
    ticks = writer()
    table = kept(ticks)
    places = np.array([0, 1, 2, 3])
    times = np.array([0, 1, -1, 1_760_000_000_123_456_789])
    ticks.write(places, times, np.array([1.5, np.nan, -0.0, 1e300]), np.array([1.0, np.nan, -3.0, 2.0**53]))
    assert ticks.wait_visible(30)
    found = rows(table)
    assert [row["Symbol"] for row in found] == SYMBOLS
    assert [row["Time"].value for row in found] == times.tolist()
    assert [row["Price"] for row in found] == [1.5, None, 0.0, 1e300]
    assert [row["Size"] for row in found] == [1, None, -3, 2**53]
    assert ticks.rows == 4


def test_column_writer_array_of_another_layout_is_read_right(deephaven_context: Any) -> None:
    ticks = writer()
    table = kept(ticks)
    wide = np.arange(20.0).reshape(5, 4)
    ticks.write(np.zeros(5, dtype=np.int64), np.arange(10)[::2], wide[:, 1], np.arange(5, dtype=np.int32)[::-1])
    assert ticks.wait_visible(30)
    found = rows(table)
    assert [row["Price"] for row in found] == wide[:, 1].tolist()
    assert [row["Size"] for row in found] == [4, 3, 2, 1, 0]


def test_column_writer_beyond_its_capacity_waits_and_loses_nothing(deephaven_context: Any) -> None:
    ticks = writer(capacity=100)
    table = kept(ticks)
    sizes = [1, 99, 1, 250, 3, 100, 546]
    first = 0
    for size in sizes:
        ticks.write(*batch(first, size))
        first += size
    assert ticks.wait_visible(30)
    assert [row["Size"] for row in rows(table)] == list(range(first))


def test_column_writer_last_by_keeps_the_newest_row(deephaven_context: Any) -> None:
    ticks = writer()
    live = ticks.blink.last_by("Symbol")
    ticks.write(*batch(0, 10_000))
    assert ticks.wait_visible(30)
    assert sorted(row["Size"] for row in rows(live)) == [9996, 9997, 9998, 9999]


def test_column_writer_closed_while_it_waits_says_so(deephaven_context: Any) -> None:
    from deephaven.update_graph import shared_lock

    ticks = writer(capacity=10)
    raised: list[BaseException] = []

    def write() -> None:
        try:
            ticks.write(*batch(0, 10))
            ticks.write(*batch(10, 10))
            ticks.write(*batch(20, 10))
        except WriterClosed as error:
            raised.append(error)

    thread = threading.Thread(target=write)
    with shared_lock(ticks.blink):  # no cycle can begin, so nothing is taken
        thread.start()
        wait_until(lambda: ticks.rows >= 10)
        ticks.close()
        thread.join(30)
    assert not thread.is_alive()
    assert "was closed" in str(raised[0])
    with pytest.raises(WriterClosed):
        ticks.write(*batch(0, 1))


def test_column_writer_failed_table_refuses_more_rows(deephaven_context: Any) -> None:
    ticks = writer()
    bad = batch(0, 1)
    ticks.write(np.array([len(SYMBOLS)]), *bad[1:])
    wait_until(lambda: ticks.blink.j_table.isFailed())
    with pytest.raises(WriterClosed, match="ticks has failed"):
        ticks.write(*bad)


@pytest.mark.parametrize("columns", [(), batch(0, 3)[:3], (*batch(0, 3)[:3], np.arange(4))])
def test_column_writer_other_shapes_are_refused(deephaven_context: Any, columns: tuple[np.ndarray, ...]) -> None:
    with pytest.raises(ValueError, match="ticks takes 4 arrays of one length"):
        writer().write(*columns)


def test_column_writer_no_rows_are_no_batch(deephaven_context: Any) -> None:
    ticks = writer()
    ticks.write(*batch(0, 0))
    assert ticks.rows == 0
