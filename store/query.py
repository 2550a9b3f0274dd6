"""Queries over the current state of a type, or over its state at a point of both time axes: filters, order, pages."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

from store import frames
from store.base import RecordSchema, Storable
from store.connection import Database
from store.errors import InvalidFilter, shown
from store.filters import Condition, Filters, column_sql, compile_filters, named_expression_sql
from store.items import require_instant
from store.reading import build, require_class
from store.scalars import numpy_item

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["Filters", "QueryResult", "count", "run"]

T = TypeVar("T", bound=Storable)

LARGEST_GLANCE = 1_001  # rows
LARGEST_LIMIT = 2**62  # PostgreSQL counts rows in 64 bits; whoever passes sys.maxsize wants them all
COLUMNS = "entity_id, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data"

# Heads that no valid time has overtaken answer for themselves; the others are folded from the log.
CURRENT = f"""WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT {{select}} FROM (
    SELECT entity_id, version, owner, updated_by, tx_time, valid_from, nullif(valid_to, 'infinity') AS valid_to,
           state, event_type, data
    FROM store.object_heads WHERE type_name = %s AND present AND due > (SELECT now FROM clock)
    UNION ALL
    SELECT {COLUMNS} FROM store.objects_due(%s, (SELECT now FROM clock))
) AS object"""
AS_OF = f"SELECT {{select}} FROM (SELECT {COLUMNS} FROM store.objects_as_of(%s, %s, %s)) AS object"
SELECT_OBJECT = (
    "entity_id::text, version, owner, updated_by, tx_time, valid_from, valid_to, state, event_type, data::text"
)


class QueryResult(Sequence[T], Generic[T]):
    """One page of objects.

    Attributes:
        items: The objects.
        next_cursor: What to pass as `cursor` for the next page, None when there is none.
    """

    def __init__(self, cls: type[T], items: list[T], next_cursor: str | None) -> None:
        """Hold a page."""
        self.items = items
        self.next_cursor = next_cursor
        self._cls = cls

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the page as a DataFrame: entity_id, version, state, then a column a field, typed as declared.

        Raises:
            PackageMissing: There is no pandas.
        """
        return frames.to_pandas(self._cls, self.items)

    def to_arrow(self) -> pyarrow.Table:
        """Return the page as an Arrow table: entity_id, version, state, then a column a field, typed as declared.

        Raises:
            PackageMissing: There is no pyarrow.
        """
        return frames.to_arrow(self._cls, self.items)

    def __repr__(self) -> str:
        more = ", more to come" if self.next_cursor else ""
        return f"<QueryResult: {len(self.items)} {self._cls.type_name()}{more}>"

    def _repr_html_(self) -> str:
        """Show the page as a table in a notebook, and say when there is more."""
        return frames.to_html(self._cls, self.items, self.next_cursor is not None)


class Order(NamedTuple):
    """What a query is ordered by before the entity id.

    Attributes:
        text: The SQL of a column.
        cast: Its PostgreSQL type.
        descending: Whether the greatest come first.
        source: What has that column where the rows have not: SQL to join them with, with `params` for its values.
    """

    text: str
    cast: str
    descending: bool
    source: str = ""
    params: tuple[Any, ...] = ()


def run(
    database: Database,
    cls: type[T],
    filters: Filters,
    limit: int | None,
    cursor: str | None,
    order_by: str | None,
    tx_time: datetime | None,
    valid_time: datetime | None,
) -> QueryResult[T]:
    """Run a query. See `StoreClient.query`."""
    schema = require_class(cls, database)
    limit = numpy_item(limit)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidFilter(f"limit is a positive number of objects, or None for all, not {shown(limit)}")
    condition = compile_filters(database, schema, filters)
    order = _order(database, schema, order_by)
    relation, params = _relation(schema, tx_time, valid_time)
    digest = _digest(schema, compile_filters(None, schema, filters), order_by, params)
    after = None if cursor is None else _decode_cursor(cursor, digest)
    count = None if limit is None else min(limit, LARGEST_LIMIT) + 1
    rows = None
    if count is not None and count <= LARGEST_GLANCE and relation is CURRENT and order is None:
        rows = _glance(database, schema, condition, after, count)
    if rows is None:
        rows = _search(database, relation, params, condition, order, after, count)
    more = limit is not None and len(rows) > limit
    rows = rows[:limit]
    next_cursor = _encode_cursor(digest, rows[-1][10] if order else None, rows[-1][0]) if more else None
    current = relation is CURRENT
    return QueryResult(cls, [build(cls, schema, row, current=current) for row in rows], next_cursor)


def _glance(
    database: Database,
    schema: RecordSchema[Any],
    condition: Condition,
    after: tuple[str | None, str] | None,
    count: int,
) -> list[tuple[Any, ...]] | None:
    """Return a whole page from the next few entities in order, None when it is not to be found there.

    For a filter that many entities pass, walking them in order until the page is full beats the index, which finds all
    that pass before the first can be shown. The planner cannot know which is which: it has no statistics of `data`,
    lest its estimates tell of others' values.
    """
    if condition.contained is None:
        return None
    contained = json.dumps(condition.contained, ensure_ascii=False)
    last = after[1] if after else None
    rows = database.fetch("first_matches", schema.type_name, contained, condition.state, last, count)
    return rows if len(rows) == count else None


def _search(
    database: Database,
    relation: str,
    params: list[Any],
    condition: Condition,
    order: Order | None,
    after: tuple[str | None, str] | None,
    count: int | None,
) -> list[tuple[Any, ...]]:
    """Return the rows of a page, wherever they are."""
    where, where_params = condition.text, list(condition.params)
    if after is not None:
        behind, behind_params = _after(order, after)
        where, where_params = f"({where}) AND ({behind})", where_params + behind_params
    key = f", ({order.text})::text AS position" if order else ""
    direction = "DESC" if order and order.descending else "ASC"
    sort = f"{order.text} {direction} NULLS LAST, " if order else ""
    source = f"\n{order.source}" if order and order.source else ""
    params = [*params, *(order.params if order else ())]
    text = relation.format(select=SELECT_OBJECT + key) + f"{source}\nWHERE {where}\nORDER BY {sort}object.entity_id"
    if count is None:
        return database.fetch_text(text, [*params, *where_params])
    return database.fetch_text(f"{text} LIMIT %s", [*params, *where_params, count])


def count(
    database: Database, cls: type[Storable], filters: Filters, tx_time: datetime | None, valid_time: datetime | None
) -> int:
    """Count the objects of a query. See `StoreClient.count`."""
    schema = require_class(cls, database)
    condition = compile_filters(database, schema, filters)
    relation, params = _relation(schema, tx_time, valid_time)
    rows = database.fetch_text(
        relation.format(select="count(*)") + f"\nWHERE {condition.text}", [*params, *condition.params]
    )
    return int(rows[0][0])


def _relation(
    schema: RecordSchema[Any], tx_time: datetime | None, valid_time: datetime | None
) -> tuple[str, list[Any]]:
    known, valid = require_instant("tx_time", tx_time), require_instant("valid_time", valid_time)
    if known is None and valid is None:
        return CURRENT, [schema.type_name, schema.type_name]
    return AS_OF, [schema.type_name, known, valid if valid is not None else known]


def _order(database: Database, schema: RecordSchema[Any], order_by: str | None) -> Order | None:
    if order_by is None:
        return None
    if not isinstance(order_by, str):
        raise InvalidFilter(f"order_by is the name of a field, '-' in front for descending, not {shown(order_by)}")
    name, descending = order_by.removeprefix("-"), order_by.startswith("-")
    named = named_expression_sql(database, schema, name, "order_by")
    if named is not None:
        text, params, cast = named
        return Order("key.value", cast, descending, f"CROSS JOIN LATERAL (SELECT {text} AS value) AS key", params)
    return Order(*column_sql(database, schema, name, "order_by"), descending)


def _after(order: Order | None, position: tuple[str | None, str]) -> tuple[str, list[Any]]:
    """Return the condition for rows behind a position: in the order's direction, nulls last, then by entity id."""
    key, entity_id = position
    if order is None:
        return "entity_id > %s::uuid", [entity_id]
    if key is None:
        return f"{order.text} IS NULL AND entity_id > %s::uuid", [entity_id]
    beyond = "<" if order.descending else ">"
    value = f"%s::{order.cast}"
    return (
        f"{order.text} {beyond} {value} OR ({order.text} = {value} AND entity_id > %s::uuid) OR {order.text} IS NULL",
        [key, key, entity_id],
    )


def _digest(schema: RecordSchema[Any], condition: Condition, order_by: str | None, points: list[Any]) -> str:
    """Return what tells a query from others, the same in every process and whatever is stored."""
    parts = [schema.type_name, condition.text, [str(p) for p in condition.params], order_by, [str(p) for p in points]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _encode_cursor(digest: str, key: str | None, entity_id: str) -> str:
    position = [_seal(digest, key, entity_id), key, entity_id]
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _decode_cursor(cursor: str, digest: str) -> tuple[str | None, str]:
    try:
        seal, key, entity_id = json.loads(base64.urlsafe_b64decode(cursor))
        fits = seal == _seal(digest, key, entity_id)
    except (ValueError, TypeError, RecursionError):
        raise InvalidFilter(f"{shown(cursor)} is not a cursor: pass the next_cursor of the page before") from None
    if not fits:
        raise InvalidFilter(
            "this cursor belongs to another query: pass it with the same class, filters, order_by, tx_time and"
            " valid_time"
        )
    return key, entity_id


def _seal(digest: str, key: str | None, entity_id: str) -> str:
    """Return what ties a position to its query. No secret: a forged position shows nobody more than they may see."""
    return hashlib.sha256(json.dumps([digest, key, entity_id]).encode()).hexdigest()[:16]
