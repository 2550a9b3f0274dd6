"""One registered type: its tables, and how events of the log become their rows."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from bridge.cells import Cell, instant_cell
from bridge.computed_columns import ComputedColumn, computed_columns
from bridge.errors import BridgeError, CellRefused, WriterFailed
from bridge.filters import EntityFilter
from bridge.java_columns import java_value
from bridge.metrics import FeedStats, Meter
from bridge.schedule import DueChanges
from bridge.type_mapping import FieldColumn, column_types, field_columns
from bridge.view import View
from store.base import record_schema
from store.log_rows import BEGINNING

if TYPE_CHECKING:
    from deephaven.table import Table

    from bridge.publisher import TableWriter
    from reactive.expr import Expr
    from store.base import FieldSpec, Storable
    from store.log_rows import LogRow

__all__ = ["Feed", "RowWriter"]

_log = logging.getLogger(__name__)

# So many values of a column are reported one by one, then each that makes them twice as many: whoever may write objects
# of the type would else fill the log.
TOLD_ONE_BY_ONE = 20


class RowWriter(Protocol):
    """What `writer=` takes: `DynamicTableWriter`, `TableWriter`, or a class of one's own."""

    def write_row(self, *values: Any) -> None:
        """Write one row, a value for each column."""


class Feed:
    """The way of one type's events into Deephaven.

    Args:
        cls: The type.
        filter: Which entities are shown, by their fields; None shows all.
        columns: Which fields and named expressions of the class are shown; None shows all fields.
        writer: Where rows go instead of a raw table of the bridge's own.

    Attributes:
        position: The place in the log of the last event delivered.
        due_changes: What will change without an event.
        view: What was delivered to the user, and may be withdrawn.
        lock: Held while events or due changes are handed to the tables, so that the newest comes last.
    """

    def __init__(
        self,
        cls: type[Storable],
        *,
        filter: Expr | None = None,
        columns: Iterable[str] | None = None,
        writer: RowWriter | None = None,
    ) -> None:
        self.position = BEGINNING
        self.due_changes = DueChanges()
        self.view = View()
        self.lock = threading.Lock()
        self._meter = Meter()
        self.type_name = record_schema(cls).type_name
        names = _names(columns)
        shown, self._computed = field_columns(cls, names), computed_columns(cls, names)
        self._sources = [_Source(column) for column in shown]
        self._plain = [(column.name, column.cell) for column in shown]
        self._types = column_types(cls, names)
        self._filter = None if filter is None else EntityFilter(cls, filter)
        self._shown: set[str] = set()  # the entities in the live table, where there is a filter
        if writer is not None:
            _check_writer(self.type_name, writer, list(self._types))
        self._writer = writer
        self._failure: str | None = None  # why the writer takes nothing
        self._left_out: Counter[str] = Counter()  # how many values each column could not hold
        self._publisher: TableWriter
        self.raw: Table | None = getattr(writer, "table", None)
        self.live: Table

    @property
    def has_writer(self) -> bool:
        """Whether rows go to a writer that is not the bridge's own."""
        return self._writer is not None

    def open(self) -> None:
        """Make the tables; in the main thread, or inside Deephaven's execution context.

        Raises:
            BridgeError: No JVM runs, or a field's name cannot be a column's.
        """
        from deephaven.stream import blink_to_append_only

        from bridge.publisher import TableWriter

        columns = list(self._types)
        # These steer a row into the raw table, the live table or both, and are no part of either.
        in_raw, in_live = (_free_name(name, columns) for name in ("InRaw", "InLive"))
        self._publisher = TableWriter(self.type_name, {**self._types, in_raw: "bool", in_live: "bool"})
        blink = self._publisher.blink
        if self._writer is None:
            self.raw = blink_to_append_only(blink.where(in_raw).view(columns))
        self.live = blink.last_by("EntityId").where(in_live).view(columns)

    def deliver(self, rows: Sequence[LogRow]) -> bool:
        """Hand events to the tables, each once however often it is given.

        Returns:
            Whether the first of the changes ahead is a new one.

        Raises:
            BridgeError: The tables take no more rows.
            WriterFailed: The writer does not take a row; it and what follows it are to be given again.
        """
        published = []
        sooner = False
        delivered = settled = 0
        # They come in the order of their positions; what was delivered before an error may come once more.
        new = list(itertools.dropwhile(lambda row: row.position <= self.position, rows))
        for row in new:
            # What is withdrawn and granted anew brings its whole history once more: all of it is in the raw table.
            again = self.view.knows(row)
            delivered += not again
            if again and not self.view.brings_back(row):
                continue
            sooner = self.due_changes.note(row.metadata.entity_id, row.due) or sooner
            found = self._steer(row)
            if found is not None:
                in_raw, in_live = found
                cells = self._cells(row)
                published.append((*cells, in_raw and not again, in_live))
                if self._writer is not None:
                    # It may raise: what comes before this row is delivered, what comes from it on is not.
                    if in_raw and not again:
                        try:
                            self._write(self._writer, cells)
                        except WriterFailed:
                            self._meter.count(settled, _age(row))
                            raise
                    self._publisher.write_cells(published)
                    published = []
                    self.position, settled = row.position, delivered
                self._remember(row, in_live)
            self.view.note(row)
        if published:
            self._publisher.write_cells(published)
        if new:
            self.position = new[-1].position
            self._meter.count(delivered, _age(new[-1]))
        return sooner

    def deliver_due(self, rows: Sequence[LogRow]) -> None:
        """Show in the live table what entities have become without an event."""
        published = []
        for row in rows:
            found = self._steer(row)
            if found is not None:
                published.append((*self._cells(row), False, found[1]))
                self._remember(row, found[1])
        if published:
            self._publisher.write_cells(published)

    def begin_again(self) -> None:
        """Expect the log once more from its beginning: the user now sees what it did not see then."""
        self.view.begin_again(self.position.seq)
        self.position = BEGINNING

    def withdraw(self, entities: Iterable[str]) -> None:
        """Show entities that the user may no longer read in the live table no more; the raw table keeps their rows."""
        published = []
        nulls = dict.fromkeys(self._types)
        for entity in entities:
            self.view.withdraw(entity)
            self._shown.discard(entity)
            self.due_changes.note(entity, None)
            published.append((*(nulls | {"EntityId": entity}).values(), False, False))
        if published:
            self._publisher.write_cells(published)

    def wait_visible(self, timeout: float | None = None) -> bool:
        """Wait until what was delivered is in the tables; see `TableWriter.wait_visible`."""
        return self._publisher.wait_visible(timeout)

    def stats(self) -> FeedStats:
        """Return the type's figures."""
        meter = self._meter
        return FeedStats(
            meter.events,
            meter.per_second(),
            meter.delay_seconds,
            self._publisher.waiting,
            len(self.due_changes),
            self._failure,
        )

    def _write(self, writer: RowWriter, cells: Sequence[Cell]) -> None:
        try:
            writer.write_row(*map(java_value, self._types.values(), cells))
        except BaseException as error:  # an exit or a cancellation too, which would end the bridge without a word
            failed = WriterFailed(self.type_name, error)
            self._failure = str(failed)
            raise failed from error
        self._failure = None

    def _steer(self, row: LogRow) -> tuple[bool, bool] | None:
        """Return whether an event belongs in the raw and in the live table, None when in neither."""
        present = row.data is not None
        if self._filter is None or (present and self._matches(self._filter, row)):
            return True, present
        # A deletion is an event of the entity; one that merely no longer matches leaves the live table in silence.
        return (not present, False) if row.metadata.entity_id in self._shown else None

    def _remember(self, row: LogRow, in_live: bool) -> None:
        """Keep what a filter needs to know of an entity: whether it is shown."""
        if self._filter is not None:
            (self._shown.add if in_live else self._shown.discard)(row.metadata.entity_id)

    def _matches(self, filter: EntityFilter, row: LogRow) -> bool:
        try:
            return filter.matches(row.data or {}, row.metadata)
        except Exception as error:  # whatever was stored, the others go on
            where = f"{self.type_name} {row.metadata.entity_id} version {row.metadata.version}"
            _log.error("%s does not pass the filter, which fails on it: %s", where, error)
            return False

    def _cells(self, row: LogRow) -> tuple[Cell, ...]:
        data, metadata = row.data, row.metadata
        if data is None:
            fields: list[Cell] = [None] * (len(self._sources) + len(self._computed))
        else:
            try:
                fields = [cell(data[name]) for name, cell in self._plain]
            except Exception:
                fields = [self._cell_or_null(source, row) for source in self._sources]
            fields += [self._cell_or_null(column, row) for column in self._computed]
        recorded = instant_cell(metadata.tx_time)
        # Most events hold from when they are recorded.
        begins = recorded if metadata.valid_from == metadata.tx_time else _instant_or_null(metadata.valid_from)
        return (
            *fields,
            metadata.entity_id,
            metadata.version,
            metadata.event_type,
            metadata.state,
            metadata.owner,
            metadata.updated_by,
            recorded,
            begins,
            None if metadata.valid_to is None else _instant_or_null(metadata.valid_to),
            ",".join(row.changes),
        )

    def _cell_or_null(self, source: _Source | ComputedColumn, row: LogRow) -> Cell:
        # The log cannot be refused: a value that has no place in its column is missing there, and said to be.
        try:
            return source(row.data or {})
        except Exception as error:
            self._left_out[source.name] += 1
            count = self._left_out[source.name]
            if count <= TOLD_ONE_BY_ONE or count.bit_count() == 1:
                where = f"{self.type_name}.{source.name} of {row.metadata.entity_id} version {row.metadata.version}"
                so_far = "" if count <= TOLD_ONE_BY_ONE else f" ({count:,} values of this column so far)"
                _log.error("%s is shown as null: %s%s", where, error, so_far)
            return None


class _Source:
    """Where a field's cell comes from in an event's data: its name, a former name, or the default."""

    def __init__(self, column: FieldColumn) -> None:
        self.name = column.name
        self._cell = column.cell
        self._former = column.spec.former_names
        self._default = _default_json(column.spec)

    def __call__(self, data: dict[str, Any]) -> Cell:
        if self.name in data:
            return self._cell(data[self.name])
        for name in self._former:
            if name in data:
                return self._cell(data[name])
        return self._cell(self._default)


def _names(columns: Iterable[str] | None) -> list[str] | None:
    if columns is None:
        return None
    names = list(columns) if isinstance(columns, Iterable) and not isinstance(columns, str) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise BridgeError(f"columns takes a list of names, not {columns!r}")
    return names


def _free_name(name: str, taken: Sequence[str]) -> str:
    while name in taken:  # a named expression may have any name
        name += "_"
    return name


def _check_writer(type_name: str, writer: RowWriter, columns: Sequence[str]) -> None:
    """Refuse what is seen to take no rows of these columns before the first row is lost on it."""
    if not callable(getattr(writer, "write_row", None)):
        raise BridgeError(f"writer={writer!r} has no write_row: pass a DynamicTableWriter, or a class that has one")
    table = getattr(writer, "table", None) or getattr(writer, "blink", None)
    taken = [column.name for column in getattr(table, "columns", ())]
    if taken and len(taken) != len(columns):
        raise BridgeError(
            f"the writer of {type_name} has {len(taken)} columns ({', '.join(taken)}), and a row {len(columns)}"
            f" ({', '.join(columns)}): make it of infer_dh_schema(cls, columns)"
        )
    moved = next((pair for pair in zip(taken, columns, strict=False) if pair[0] != pair[1]), None)
    if moved is not None and set(taken) == set(columns):
        raise BridgeError(
            f"the writer of {type_name} has the column {moved[0]!r} where a row has {moved[1]!r}: make it of"
            " infer_dh_schema(cls, columns), with the columns in the order of the class"
        )


def _age(row: LogRow) -> float:
    recorded = row.metadata.tx_time
    return 0.0 if recorded is None else max((datetime.now(timezone.utc) - recorded).total_seconds(), 0.0)


def _default_json(spec: FieldSpec) -> Any:
    return None if spec.default is None else spec.encode(spec.default())


def _instant_or_null(value: Any) -> int | None:
    # A validity may reach beyond what an Instant column can hold: to the year 9999, say.
    try:
        return instant_cell(value)
    except CellRefused:
        return None
