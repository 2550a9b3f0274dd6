"""Rows into Deephaven: a bounded queue, emptied once per update cycle as one batch.

A row on its own costs Deephaven as much as a thousand together, so rows wait in a queue until the engine begins a cycle
and asks for them. When rows come faster than the engine takes them, writers wait: memory is bounded, nothing is lost.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.cells import Cell, python_cell
from bridge.errors import BridgeError
from bridge.java_columns import check_column_names, dh_dtype, java_table, require_jvm

if TYPE_CHECKING:
    from deephaven.stream.table_publisher import TablePublisher
    from deephaven.table import Table

__all__ = ["TableWriter"]

_log = logging.getLogger(__name__)

_BATCH_ROWS = 50_000  # a cycle that builds more than this holds every other table back


class TableWriter:
    """A table that this process writes, row by row or many at once, from any thread.

    It takes `write_row` as `DynamicTableWriter` does and is meant for higher rates. Create it in the main thread, or
    inside Deephaven's execution context.

    Args:
        name: A name for Deephaven's logs.
        types: Column name to column type, as in `bridge.cells`.
        capacity: How many rows may wait before writers do.

    Attributes:
        blink: The rows of the current cycle only: the source to aggregate from.

    Example:
        >>> risk = TableWriter("risk", {"Symbol": "string", "MarketValue": "double"})
        >>> risk_live = risk.blink.last_by("Symbol")
        >>> risk.write_row("AAPL", 23_000.0)
    """

    def __init__(self, name: str, types: Mapping[str, str], *, capacity: int = 200_000) -> None:
        require_jvm()
        from deephaven.stream.table_publisher import table_publisher

        check_column_names(name, types)
        self._name = name
        self._types = dict(types)
        self._cells = [python_cell(dh_type) for dh_type in self._types.values()]
        self._capacity = capacity
        self._rows: deque[Sequence[Cell]] = deque()
        self._changed = threading.Condition()
        self._written = 0
        self._taken = 0
        self._failure: BaseException | None = None
        self.blink: Table
        try:
            self.blink, self._publisher = table_publisher(
                name,
                {column: dh_dtype(dh_type) for column, dh_type in self._types.items()},
                on_flush_callback=self._flush,
                on_shutdown_callback=self._stopped,
            )
        except RuntimeError as error:
            if "UpdateGraph" not in str(error):
                raise
            raise BridgeError(
                f"{name}: a table that ticks is made in the main thread; in another, inside `with exec_ctx:`, where the"
                " main thread has called exec_ctx = deephaven.execution_context.get_exec_ctx()"
            ) from error

    def append_only(self) -> Table:
        """Return a table that keeps every row written from now on.

        Example:
            >>> risk_calcs = risk.append_only()
        """
        from deephaven.stream import blink_to_append_only

        return blink_to_append_only(self.blink)

    def write_row(self, *values: Any) -> None:
        """Write one row of Python values.

        Args:
            *values: One for each column, in order; a datetime for an Instant, a Decimal for a BigDecimal.

        Raises:
            CellRefused: A value does not fit its column.
            BridgeError: The number of values is wrong, or the table has failed.

        Example:
            >>> risk.write_row("AAPL", 23_000.0)
        """
        if len(values) != len(self._cells):
            raise BridgeError(
                f"{self._name} has {len(self._cells)} columns ({', '.join(self._types)}), not {len(values)}"
            )
        self.write_cells([tuple(cell(value) for cell, value in zip(self._cells, values, strict=True))])

    def write_cells(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Write rows of cells in order; waits while the queue is full.

        Raises:
            BridgeError: The table has failed.

        Example:
            >>> risk.write_cells([("AAPL", 23_000.0), ("MSFT", 41_000.0)])
        """
        written = 0
        with self._changed:
            while True:
                self._check()
                room = self._capacity - len(self._rows)
                if room <= 0 and self._in_update_cycle():
                    room = len(rows)  # the queue empties only after this thread returns to the engine
                part = rows[written : written + max(room, 0)]
                self._rows.extend(part)
                self._written += len(part)
                written += len(part)
                if written == len(rows):
                    return
                self._changed.wait()

    def wait_visible(self, timeout: float | None = None) -> bool:
        """Wait until all rows written before the call are in the table and in what derives from it.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Returns:
            Whether they are.

        Raises:
            BridgeError: The table has failed.

        Example:
            >>> risk.wait_visible(timeout=5)
            True
        """
        from deephaven.update_graph import shared_lock

        with self._changed:
            target = self._written

            def taken() -> bool:
                if self._taken < target:
                    self._check()
                return self._taken >= target

            if not self._changed.wait_for(taken, None if timeout is None else min(timeout, threading.TIMEOUT_MAX)):
                return False
        # A cycle holds this lock exclusively to its end.
        with shared_lock(self.blink):
            return True

    @property
    def waiting(self) -> int:
        """How many rows wait for the engine's next cycle."""
        return len(self._rows)

    def close(self) -> None:
        """Take no more rows; the tables stay as they are.

        Example:
            >>> risk.close()
        """
        self._stopped()

    def _in_update_cycle(self) -> bool:
        graph = self.blink.update_graph.j_update_graph
        return bool(graph.currentThreadProcessesUpdates())

    def _check(self) -> None:
        if self._failure is not None:
            raise BridgeError(f"{self._name} takes no more rows: {self._failure}") from self._failure

    def _stopped(self) -> None:
        with self._changed:
            self._failure = self._failure or BridgeError("it was closed")
            self._changed.notify_all()

    def _flush(self, publisher: TablePublisher) -> None:
        # Called by the engine at the start of each cycle: an error that left here would end the whole engine.
        try:
            with self._changed:
                rows = [self._rows.popleft() for _ in range(min(len(self._rows), _BATCH_ROWS))]
            if rows:
                publisher.add(java_table(self._types, rows))
            with self._changed:
                self._taken += len(rows)
                if rows:
                    self._changed.notify_all()
        except Exception as error:
            _log.exception("%s: a batch could not be handed to Deephaven", self._name)
            with self._changed:
                self._failure = error
                self._changed.notify_all()
