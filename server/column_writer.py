"""Columns into Deephaven: whole arrays at once, for streams that come faster than rows of Python values can be made.

A batch crosses into Java as one copy of each array; texts cross as places in a vocabulary, and times as nanoseconds,
both of which the engine turns into what a reader sees. When batches come faster than the engine takes them, the writer
waits: memory is bounded, nothing is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bridge.java_columns import java_value
from server.errors import WriterClosed

if TYPE_CHECKING:
    from deephaven.stream.table_publisher import TablePublisher
    from deephaven.table import Table

__all__ = ["ColumnWriter"]

_NUMPY = {"double": np.float64, "long": np.int64, "int": np.int32}
_CARRIED_AS = {"Instant": "long", "string": "int"}
_NULL_DOUBLE, _NULL_LONG = -np.finfo(np.float64).max, np.iinfo(np.int64).min


class ColumnWriter:
    """A table that one thread of this process writes, many rows at a time.

    Create it in the main thread, or inside Deephaven's execution context.

    Args:
        name: A name for Deephaven's logs.
        types: Column name to `double`, `long`, `Instant` or `string`.
        vocabularies: The texts of each `string` column; its array holds places in them.
        capacity: How many rows may wait for the engine before the writer does.

    Attributes:
        blink: The rows of the current cycle only: the source to aggregate from.
        rows: How many rows have been written.

    Example:
        >>> prices = ColumnWriter("prices", {"Symbol": "string", "Price": "double"}, {"Symbol": ["AAPL", "MSFT"]})
        >>> prices.write(np.array([0, 1, 0]), np.array([228.0, 415.0, 228.1]))
    """

    def __init__(
        self,
        name: str,
        types: Mapping[str, str],
        vocabularies: Mapping[str, Sequence[str | None]] | None = None,
        *,
        capacity: int = 1_000_000,
    ) -> None:
        from deephaven import dtypes
        from deephaven.execution_context import get_exec_ctx
        from deephaven.stream.table_publisher import table_publisher

        self.rows = 0
        self._name = name
        self._types = dict(types)
        self._capacity = capacity
        self._changed = threading.Condition()
        self._waiting = 0
        self._cycles = 0
        self._closed = False
        self._context = get_exec_ctx()
        self._carried = {column: _CARRIED_AS.get(kind, kind) for column, kind in self._types.items()}
        carried_types = {"double": dtypes.double, "long": dtypes.long, "int": dtypes.int32}
        carried, self._publisher = table_publisher(
            name,
            {column: carried_types[kind] for column, kind in self._carried.items()},
            on_flush_callback=self._taken,
            on_shutdown_callback=self.close,
        )
        self._texts = _Texts(self._types, vocabularies or {})
        self.blink: Table = self._texts.shown(carried)

    def extend(self, column: str, texts: Sequence[str | None]) -> None:
        """Give a `string` column a longer vocabulary; in the thread that writes.

        Args:
            column: The column.
            texts: The texts that it has, and those to add behind them.
        """
        self._texts.extend(column, texts)

    def write(self, *columns: NDArray[Any]) -> None:
        """Write rows, given as one array for each column; waits while too many are on their way.

        Args:
            *columns: In the order of the table: nanoseconds since 1970 for an Instant, places in the vocabulary for a
                string. NaN becomes null.

        Raises:
            ValueError: The arrays are not one for each column, or not of one length.
            WriterClosed: The writer, or the engine, has ended.
        """
        lengths = {len(column) for column in columns}
        if len(columns) != len(self._types) or len(lengths) != 1:
            raise ValueError(f"{self._name} takes {len(self._types)} arrays of one length, one for each column")
        rows = lengths.pop()
        if not rows:
            return
        with self._changed:
            # A batch larger than the capacity goes alone.
            while self._waiting and self._waiting + rows > self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                raise WriterClosed(f"{self._name} takes no more rows: it was closed")
            self._waiting += rows
            self.rows += rows
        if self.blink.j_table.isFailed():
            raise WriterClosed(f"{self._name} has failed; Deephaven's log says why")
        with self._context:
            self._publisher.add(_java_table(self._carried, columns))

    def wait_visible(self, timeout: float | None = None) -> bool:
        """Wait until all rows written before the call are in the table and in what derives from it.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Returns:
            Whether they are.
        """
        from deephaven.update_graph import shared_lock

        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            # A cycle that has begun may have taken its rows already; the next one takes all that are there now.
            target = self._cycles + 1
            while self._cycles < target:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
        # A cycle holds this lock exclusively to its end.
        with shared_lock(self.blink):
            return True

    def close(self) -> None:
        """Take no more rows; the tables stay as they are."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _taken(self, publisher: TablePublisher) -> None:
        # Called by the engine at the start of each cycle, which then takes all rows that are there.
        with self._changed:
            self._waiting = 0
            self._cycles += 1
            self._changed.notify_all()


class _Texts:
    """The vocabularies of a writer's columns as the engine looks them up: Java arrays with room for more texts."""

    def __init__(self, types: Mapping[str, str], vocabularies: Mapping[str, Sequence[str | None]]) -> None:
        import jpy

        self._types = dict(types)
        self._places = {
            column: place for place, column in enumerate(name for name, kind in types.items() if kind == "string")
        }
        self._lengths = dict.fromkeys(self._places, 0)
        self._room = dict.fromkeys(self._places, 0)
        self._java = jpy.array("[Ljava.lang.String;", len(self._places))
        for column in self._places:
            self._java[self._places[column]] = jpy.array("java.lang.String", 0)
            self.extend(column, vocabularies[column])

    def extend(self, column: str, texts: Sequence[str | None]) -> None:
        """Add the texts behind those that are there."""
        import jpy

        known, place = self._lengths[column], self._places[column]
        if len(texts) > self._room[column]:
            self._room[column] = len(texts) if not known else 2 * len(texts)
            room: list[Any] = [None] * (self._room[column] - len(texts))
            # The formulas see another array at their next row, and no row has a place of it yet.
            self._java[place] = jpy.array("java.lang.String", [*(java_value("string", text) for text in texts), *room])
        else:
            for number in range(known, len(texts)):
                self._java[place][number] = java_value("string", texts[number])
        self._lengths[column] = len(texts)

    def shown(self, carried: Table) -> Table:
        """Return the table as readers see it: texts for places, times for nanoseconds."""
        formulas = [
            f"{column} = epochNanosToInstant({column})" for column, kind in self._types.items() if kind == "Instant"
        ]
        formulas += [f"{column} = texts[{place}][{column}]" for column, place in self._places.items()]
        texts = self._java  # noqa: F841 - the formulas name it
        return carried.update(formulas) if formulas else carried


def _java_table(types: Mapping[str, str], columns: Sequence[NDArray[Any]]) -> Table:
    import jpy
    from deephaven.table import Table

    make = jpy.get_type("io.deephaven.qst.column.Column").ofUnsafe
    arrays = [
        make(name, _java_array(kind, column)) for (name, kind), column in zip(types.items(), columns, strict=True)
    ]
    return Table(jpy.get_type("io.deephaven.engine.table.TableFactory").newTable(*arrays))


def _java_array(kind: str, column: NDArray[Any]) -> Any:
    import jpy

    if kind == "double":
        missing = np.isnan(column)
        column = np.where(missing, _NULL_DOUBLE, column) if missing.any() else column
    elif kind == "long" and column.dtype.kind == "f":
        column = np.where(np.isnan(column), _NULL_LONG, np.rint(column)).astype(np.int64)
    source = np.ascontiguousarray(column, _NUMPY[kind])
    array = jpy.array(kind, len(source))
    # One copy of memory; jpy itself would convert value by value.
    buffer = jpy.byte_buffer(source).order(jpy.get_type("java.nio.ByteOrder").nativeOrder())
    getattr(buffer, f"as{kind.title()}Buffer")().get(array)
    return array
