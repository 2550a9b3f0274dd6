"""Columns into Deephaven: whole arrays at once, for streams that come faster than rows of Python values can be made.

A batch crosses into Java as one copy of each array, into arrays that stay; texts cross as places in a vocabulary, and
become texts where they are read. When batches come faster than the engine takes them, the writer waits: memory is
bounded, nothing is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from server.errors import WriterClosed
from server.vocabulary import Vocabulary

if TYPE_CHECKING:
    from deephaven.stream.table_publisher import TablePublisher
    from deephaven.table import Table

__all__ = ["ColumnWriter"]

_NUMPY = {"double": np.float64, "long": np.int64, "int": np.int32}
_CARRIED_AS = {"Instant": "long", "string": "int"}
_FIRST_ROWS = 1024  # of the Java arrays; they grow with the largest batch
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
        import jpy
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
        self._vocabularies = {
            column: Vocabulary(f"{name}.{column}", (vocabularies or {})[column])
            for column, kind in self._types.items()
            if kind == "string"
        }
        self._texts = jpy.array("[Ljava.lang.String;", [found.java for found in self._vocabularies.values()])
        self._adding = threading.Lock()
        self._batch = _JavaBatch(self._types)
        carried_types = {
            "double": dtypes.double,
            "long": dtypes.long,
            "Instant": dtypes.Instant,
            "string": dtypes.int32,
        }
        self._carried, self._publisher = table_publisher(
            name,
            {column: carried_types[kind] for column, kind in self._types.items()},
            on_flush_callback=self._taken,
            on_shutdown_callback=self.close,
        )
        self.blink: Table = self._with_texts(self._carried)

    def extend(self, column: str, texts: Sequence[str | None]) -> None:
        """Give a `string` column a longer vocabulary; in the thread that writes.

        Args:
            column: The column.
            texts: The texts that it has, and those to add behind them.
        """
        vocabulary = self._vocabularies[column]
        vocabulary.extend(texts)
        # The formulas see another array at their next row, and no row has a place of it yet.
        self._texts[list(self._vocabularies).index(column)] = vocabulary.java

    def last_by(self, *columns: str) -> Table:
        """Return the newest row of each group, ticking; `blink.last_by` would look at each text of each row.

        Args:
            *columns: What rows of a group have in common.

        Example:
            >>> prices_live = prices.last_by("Symbol")
        """
        return self._with_texts(self._carried.last_by(columns))

    def kept(self, rows: int | None = None) -> Table:
        """Return the newest rows written from now on, ticking.

        Args:
            rows: How many; None keeps all, for as long as the heap lasts.

        Example:
            >>> prices_raw = prices.kept(1_000_000)
        """
        from deephaven.stream import blink_to_append_only
        from deephaven.table_factory import ring_table

        carried = blink_to_append_only(self._carried) if rows is None else ring_table(self._carried, rows)
        return self._with_texts(carried)

    def write(self, *columns: NDArray[Any]) -> None:
        """Write rows, given as one array for each column; waits while too many are on their way.

        Args:
            *columns: In the order of the table: nanoseconds since 1970 for an Instant, places in the vocabulary for a
                string. NaN becomes null.

        Raises:
            ValueError: The arrays are not one for each column, not of one length, or name a place that the vocabulary
                does not have.
            WriterClosed: The writer, or the engine, has ended.
        """
        lengths = {len(column) for column in columns}
        if len(columns) != len(self._types) or len(lengths) != 1:
            raise ValueError(f"{self._name} takes {len(self._types)} arrays of one length, one for each column")
        rows = lengths.pop()
        if not rows:
            return
        known = [
            self._vocabularies[name].known(column) if name in self._vocabularies else column
            for name, column in zip(self._types, columns, strict=True)
        ]
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
        # What is added is copied before the call returns.
        with self._adding, self._context:
            self._publisher.add(self._batch.table(known))

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

    def _with_texts(self, carried: Table) -> Table:
        """Return a table as readers see it. A view: a place costs less to keep, and to look up, than a text."""
        texts = self._texts  # noqa: F841 - the formulas name it
        formulas = [f"{column} = texts[{place}][{column}]" for place, column in enumerate(self._vocabularies)]
        return carried.update_view(formulas) if formulas else carried


class _JavaBatch:
    """Java arrays that carry one batch after the other.

    New arrays for each batch would have Java clear and collect as many bytes as are copied.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        import jpy

        self._types = dict(types)
        self._order = jpy.get_type("java.nio.ByteOrder").nativeOrder()
        self._make_room(_FIRST_ROWS)

    def table(self, columns: Sequence[NDArray[Any]]) -> Table:
        """Return a table of a batch; it holds until the next call."""
        import jpy
        from deephaven.table import Table

        rows = len(columns[0])
        if rows > self._room:
            self._make_room(1 << (rows - 1).bit_length())
        for (kind, array), column in zip(self._arrays, columns, strict=True):
            source = _carried(kind, column)
            # One copy of memory; jpy itself would convert value by value.
            buffer = jpy.byte_buffer(source).order(self._order)
            getattr(buffer, f"as{kind.title()}Buffer")().get(array, 0, rows)
        row_set = jpy.get_type("io.deephaven.engine.rowset.RowSetFactory").flat(rows).toTracking()
        return Table(jpy.get_type("io.deephaven.engine.table.impl.QueryTable")(row_set, self._sources))

    def _make_room(self, rows: int) -> None:
        import jpy

        sources = "io.deephaven.engine.table.impl.sources"
        instants = jpy.get_type(f"{sources}.immutable.ImmutableInstantArraySource")
        numbers = jpy.get_type(f"{sources}.InMemoryColumnSource").getImmutableMemoryColumnSource
        self._room = rows
        self._arrays = []
        self._sources = jpy.get_type("java.util.LinkedHashMap")()
        for name, kind in self._types.items():
            carried = _CARRIED_AS.get(kind, kind)
            array = jpy.array(carried, rows)
            self._arrays.append((carried, array))
            self._sources.put(name, instants(array) if kind == "Instant" else numbers(array))


def _carried(kind: str, column: NDArray[Any]) -> NDArray[Any]:
    """Return a column in the layout of a Java array, with Deephaven's null for NaN."""
    if kind == "double":
        missing = np.isnan(column)
        column = np.where(missing, _NULL_DOUBLE, column) if missing.any() else column
    elif kind == "long" and column.dtype.kind == "f":
        missing = np.isnan(column)
        whole = np.rint(column)
        column = np.where(missing, _NULL_LONG, whole) if missing.any() else whole
    return np.ascontiguousarray(column, _NUMPY[kind])
