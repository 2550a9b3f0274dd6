from __future__ import annotations

import threading
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import pytest

from bridge import BridgeError, CellRefused, TableWriter

# Column type, what is written, and how Java shows it.
VALUES: dict[str, tuple[Any, str]] = {
    "string": ("é", "é"),
    "bool": (False, "False"),
    "byte": (-127, "-127"),
    "short": (-32767, "-32767"),
    "int": (2**31 - 1, "2147483647"),
    "long": (-(2**63) + 1, "-9223372036854775807"),
    "float": (1.5, "1.5"),
    "double": (-2.5e-300, "-2.5e-300"),
    "BigInteger": (10**30, "1" + "0" * 30),
    "BigDecimal": (Decimal("-0.10"), "-0.10"),
    "Instant": (datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=timezone.utc), "1969-07-20T20:17:40.123456Z"),
    "LocalDate": (date(1969, 7, 20), "1969-07-20"),
    "LocalTime": (time(23, 59, 59, 999999), "23:59:59.999999"),
    "bool[]": ([True, None], "[True, None]"),
    "long[]": ([1, None], f"[1, {-(2**63)}]"),
    "double[]": ([1.5, -2.5], "[1.5, -2.5]"),
    "string[]": (["a", None], "['a', None]"),
}


@pytest.mark.parametrize("dh_type", VALUES)
def test_table_writer_value_of_each_type_arrives_as_written(deephaven_context: Any, dh_type: str) -> None:
    from deephaven.filters import is_not_null, is_null

    value, shown = VALUES[dh_type]
    writer = TableWriter("types", {"Cell": dh_type})
    table = writer.append_only()
    writer.write_row(value)
    writer.write_row(None)
    assert writer.wait_visible(timeout=120)
    assert table.where(is_null("Cell")).size == 1
    found = [row["Cell"] for row in table.where(is_not_null("Cell")).iter_dict()]
    assert [str(list(cell) if dh_type.endswith("[]") else cell) for cell in found] == [shown]


@pytest.mark.parametrize("text", ["", "é", "\U0001f600", "a\U0001f600\uffff\U0010ffffz", "\u202e"])
def test_table_writer_text_beyond_the_basic_plane_arrives_whole(deephaven_context: Any, text: str) -> None:
    from deephaven import arrow

    writer = TableWriter("text", {"Text": "string", "Texts": "string[]"})
    table = writer.append_only()
    writer.write_cells([(text, [text, "plain"]), (None, None), ("plain", [])])
    assert writer.wait_visible(timeout=120)
    # By way of Arrow: jpy itself hands such text back as surrogates.
    assert arrow.to_arrow(table).to_pylist() == [
        {"Text": text, "Texts": [text, "plain"]},
        {"Text": None, "Texts": None},
        {"Text": "plain", "Texts": []},
    ]


def test_table_writer_rows_beyond_the_capacity_wait_and_arrive_in_order(deephaven_context: Any) -> None:
    writer = TableWriter("many", {"Number": "long"}, capacity=100)
    table = writer.append_only()
    writer.write_cells([(number,) for number in range(1_000)])
    assert writer.wait_visible(timeout=120)
    assert [row["Number"] for row in table.iter_dict()] == list(range(1_000))


def test_table_writer_rows_of_several_threads_all_arrive(deephaven_context: Any) -> None:
    writer = TableWriter("threads", {"Thread": "long", "Number": "long"}, capacity=50)
    table = writer.append_only()

    def write(thread: int) -> None:
        for number in range(500):
            writer.write_row(thread, number)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.wait_visible(timeout=120)
    found = [(row["Thread"], row["Number"]) for row in table.iter_dict()]
    assert sorted(found) == [(thread, number) for thread in range(4) for number in range(500)]
    assert [number for thread, number in found if thread == 2] == list(range(500))


def test_table_writer_written_from_a_table_listener_does_not_wait_for_itself(deephaven_context: Any) -> None:
    from deephaven.table_listener import listen

    source = TableWriter("source", {"Number": "long"})
    echo = TableWriter("echo", {"Number": "long"}, capacity=3)
    table = echo.append_only()
    done = threading.Event()

    def on_update(update: Any, is_replay: bool) -> None:
        for number in update.added()["Number"]:
            echo.write_row(int(number))
        done.set()

    handle = listen(source.blink, on_update)
    source.write_cells([(number,) for number in range(20)])
    assert done.wait(120)
    assert echo.wait_visible(timeout=120)
    handle.stop()
    assert [row["Number"] for row in table.iter_dict()] == list(range(20))


def test_table_writer_last_by_keeps_the_newest_row_of_a_batch(deephaven_context: Any) -> None:
    writer = TableWriter("keys", {"Symbol": "string", "Price": "double"})
    live = writer.blink.last_by("Symbol")
    writer.write_cells([("A", 1.0), ("B", 2.0), ("A", 3.0)])
    assert writer.wait_visible(timeout=120)
    assert {row["Symbol"]: row["Price"] for row in live.iter_dict()} == {"A": 3.0, "B": 2.0}


def test_table_writer_wrong_number_of_values_names_the_columns(deephaven_context: Any) -> None:
    writer = TableWriter("pair", {"Symbol": "string", "Price": "double"})
    with pytest.raises(BridgeError, match=r"pair has 2 columns \(Symbol, Price\), not 1"):
        writer.write_row("A")


def test_table_writer_value_that_does_not_fit_writes_nothing(deephaven_context: Any) -> None:
    writer = TableWriter("fit", {"Number": "int"})
    table = writer.append_only()
    with pytest.raises(CellRefused):
        writer.write_row(2**31)
    writer.write_row(1)
    assert writer.wait_visible(timeout=120)
    assert table.size == 1


@pytest.mark.parametrize("name", ["long", "class", "i", "a b", "1st"])
def test_table_writer_impossible_column_name_is_refused(deephaven_context: Any, name: str) -> None:
    with pytest.raises(BridgeError, match=f"names.{name}: Deephaven cannot have"):
        TableWriter("names", {name: "long"})


def test_table_writer_closed_takes_no_more_rows(deephaven_context: Any) -> None:
    writer = TableWriter("closed", {"Number": "long"})
    writer.close()
    with pytest.raises(BridgeError, match="closed takes no more rows"):
        writer.write_row(1)


def test_table_writer_waiting_writer_is_released_by_close(deephaven_context: Any) -> None:
    writer = TableWriter("full", {"Number": "long"}, capacity=1)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            while True:
                writer.write_row(1)
        except BridgeError as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    writer.close()
    thread.join(120)
    assert not thread.is_alive()
    assert len(failures) == 1


def test_table_writer_a_batch_that_fails_is_told_to_the_writer(
    deephaven_context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    writer = TableWriter("broken", {"Number": "long"})
    writer.write_cells([("no number",)])
    with pytest.raises(BridgeError, match="broken takes no more rows"):
        writer.wait_visible(timeout=120)
    assert "a batch could not be handed to Deephaven" in caplog.text
