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


def test_column_writer_values_arrive_as_written_and_nan_as_null(deephaven_context: Any) -> None:
    ticks = writer()
    table = ticks.kept()
    places = np.array([0, 1, 2, 3])
    times = np.array([0, 1, -1, 1_760_000_000_123_456_789])
    ticks.write(places, times, np.array([1.5, np.nan, -0.0, 1e300]), np.array([1.0, np.nan, -3.0, 2.0**53]))
    assert ticks.wait_visible(120)
    found = rows(table)
    assert [row["Symbol"] for row in found] == SYMBOLS
    assert [row["Time"].value for row in found] == times.tolist()
    assert [row["Price"] for row in found] == [1.5, None, 0.0, 1e300]
    assert [row["Size"] for row in found] == [1, None, -3, 2**53]
    assert ticks.rows == 4


def test_column_writer_array_of_another_layout_is_read_right(deephaven_context: Any) -> None:
    ticks = writer()
    table = ticks.kept()
    wide = np.arange(20.0).reshape(5, 4)
    ticks.write(np.zeros(5, dtype=np.int64), np.arange(10)[::2], wide[:, 1], np.arange(5, dtype=np.int32)[::-1])
    assert ticks.wait_visible(120)
    found = rows(table)
    assert [row["Price"] for row in found] == wide[:, 1].tolist()
    assert [row["Size"] for row in found] == [4, 3, 2, 1, 0]


def test_column_writer_beyond_its_capacity_waits_and_loses_nothing(deephaven_context: Any) -> None:
    ticks = writer(capacity=100)
    table = ticks.kept()
    sizes = [1, 99, 1, 250, 3, 100, 546]
    first = 0
    for size in sizes:
        ticks.write(*batch(first, size))
        first += size
    assert ticks.wait_visible(120)
    assert [row["Size"] for row in rows(table)] == list(range(first))


def test_column_writer_last_by_keeps_the_newest_row(deephaven_context: Any) -> None:
    ticks = writer()
    live, derived, newest = ticks.last_by("Symbol"), ticks.blink.last_by("Symbol"), ticks.kept(2)
    ticks.write(*batch(0, 10_000))
    assert ticks.wait_visible(120)
    expected = [{"Symbol": SYMBOLS[number % 4], "Size": number} for number in range(9996, 10_000)]
    for table in (live, derived):
        assert rows(table.view(["Symbol", "Size"]).sort("Size").snapshot()) == expected
    assert rows(newest.view(["Symbol", "Size"]).snapshot()) == expected[2:]


def test_column_writer_text_that_stands_twice_in_the_vocabulary_is_one_group(deephaven_context: Any) -> None:
    ticks = ColumnWriter("ticks", {"Symbol": "string", "Size": "long"}, {"Symbol": ["A", "B", "A"]})
    live = ticks.last_by("Symbol")
    ticks.write(np.array([0, 1, 2]), np.arange(3))
    assert ticks.wait_visible(120)
    assert rows(live) == [{"Symbol": "A", "Size": 2}, {"Symbol": "B", "Size": 1}]
    ticks.extend("Symbol", ["A", "B", "A", "B", "C"])
    ticks.write(np.array([3, 4]), np.arange(3, 5))
    assert ticks.wait_visible(120)
    assert rows(live) == [{"Symbol": "A", "Size": 2}, {"Symbol": "B", "Size": 3}, {"Symbol": "C", "Size": 4}]


def test_column_writer_vocabulary_that_grows_again_and_again_leaves_the_older_rows_as_they_were(
    deephaven_context: Any,
) -> None:
    ticks = ColumnWriter("ticks", {"Symbol": "string", "Size": "long"}, {"Symbol": [None]})
    kept, live = ticks.kept(), ticks.last_by("Symbol")
    texts: list[str | None] = [None]
    for number in range(1, 40):
        texts.append(f"S{number}")
        ticks.extend("Symbol", texts)
        ticks.write(np.array([0, number]), np.array([number, number]))
    assert ticks.wait_visible(120)
    assert [row["Symbol"] for row in rows(kept)][1::2] == texts[1:]
    assert rows(live)[:2] == [{"Symbol": None, "Size": 39}, {"Symbol": "S1", "Size": 1}]


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
        thread.join(120)
    assert not thread.is_alive()
    assert "was closed" in str(raised[0])
    with pytest.raises(WriterClosed):
        ticks.write(*batch(0, 1))


@pytest.mark.parametrize("place", [-1, len(SYMBOLS), 2**32])
def test_column_writer_place_outside_the_vocabulary_is_refused_and_the_table_goes_on(
    deephaven_context: Any, place: int
) -> None:
    ticks = writer()
    table = ticks.kept()
    wrong = (np.array([0, place]), *batch(0, 2)[1:])
    with pytest.raises(ValueError, match=rf"ticks.Symbol: there is no text {place} in a vocabulary of 4"):
        ticks.write(*wrong)
    ticks.write(*batch(0, 3))
    assert ticks.wait_visible(120)
    assert [row["Size"] for row in rows(table)] == [0, 1, 2]


def test_column_writer_array_changed_after_the_call_leaves_the_table_as_written(deephaven_context: Any) -> None:
    from deephaven.update_graph import shared_lock

    ticks = writer()
    table = ticks.kept()
    numbers = batch(0, 5000)
    with shared_lock(ticks.blink):  # no cycle can begin, so that all batches wait
        for count in (5000, 1, 4000):
            ticks.write(*(column[:count] for column in numbers))
            for column in numbers[1:]:
                column += 10_000
    assert ticks.wait_visible(120)
    assert [row["Size"] for row in rows(table)] == [*range(5000), 10_000, *range(20_000, 24_000)]
    assert [row["Symbol"] for row in rows(table)][4999:5002] == [SYMBOLS[3], SYMBOLS[0], SYMBOLS[0]]


def test_column_writer_threads_at_once_keep_their_rows_whole(deephaven_context: Any) -> None:
    ticks = writer()
    table = ticks.kept()

    def write(first: int) -> None:
        for begin in range(first, first + 10_000, 100):
            ticks.write(*batch(begin, 100))

    threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 40_000, 10_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ticks.wait_visible(120)
    found = rows(table)
    assert sorted(row["Size"] for row in found) == list(range(40_000))
    assert all(row["Price"] == row["Size"] / 4 and row["Time"].value == row["Size"] * 1000 for row in found)


def test_column_writer_failed_table_refuses_more_rows(deephaven_context: Any) -> None:
    import jpy

    ticks = writer()
    assert ticks.wait_visible(120)  # a table fails in a later cycle than it is made in
    # As the engine does with a table whose update went wrong.
    error = jpy.get_type("java.lang.IllegalStateException")("out of sorts")
    jpy.cast(ticks.blink.j_table, jpy.get_type("io.deephaven.engine.table.impl.BaseTable")).notifyListenersOnError(
        error, None
    )
    assert ticks.blink.j_table.isFailed()
    with pytest.raises(WriterClosed, match="ticks has failed"):
        ticks.write(*batch(0, 1))


@pytest.mark.parametrize("columns", [(), batch(0, 3)[:3], (*batch(0, 3)[:3], np.arange(4))])
def test_column_writer_other_shapes_are_refused(deephaven_context: Any, columns: tuple[np.ndarray, ...]) -> None:
    with pytest.raises(ValueError, match="ticks takes 4 arrays of one length"):
        writer().write(*columns)


def test_column_writer_no_rows_are_no_batch(deephaven_context: Any) -> None:
    ticks = writer()
    ticks.write(*batch(0, 0))
    assert ticks.rows == 0
