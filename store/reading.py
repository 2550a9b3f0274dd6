"""The reading half of a client: one entity now, at a point of both time axes, or over its whole history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from store.base import Metadata, RecordSchema, Storable, record_schema, require_entity_id, types_by_name
from store.connection import Database
from store.drift import require_agreement
from store.errors import EntityNotFound, InvalidValue, RegistryError, StoreError, TypeMismatch, shown
from store.items import require_instant
from store.wording import printable

__all__ = ["Change", "Point", "as_of", "audit", "build", "diff", "history", "object_of", "read", "require_class"]

T = TypeVar("T", bound=Storable)

# A version, or a (tx_time, valid_time) pair in which None means now.
Point = int | tuple[datetime | None, datetime | None]


class Change(NamedTuple):
    """One field's value at two points."""

    before: Any
    after: Any


def read(database: Database, cls: type[T], entity_id: str) -> T | None:
    """Return an entity as it is now, None when it is not there."""
    schema = require_class(cls, database)
    rows = database.fetch("read_head", require_entity_id(entity_id))
    if not rows:
        return None
    *columns, type_name, present, due = rows[0]
    _require_type(schema, type_name, entity_id)
    if due:
        return as_of(database, cls, entity_id, None, None)
    return build(cls, schema, columns, current=True) if present else None


def as_of(
    database: Database, cls: type[T], entity_id: str, tx_time: datetime | None, valid_time: datetime | None
) -> T | None:
    """Return State(tx_time, valid_time); a missing valid_time is the tx_time, a missing tx_time is now."""
    schema = require_class(cls, database)
    known, valid = require_instant("tx_time", tx_time), require_instant("valid_time", valid_time)
    rows = database.fetch("read_as_of", require_entity_id(entity_id), known, valid if valid is not None else known)
    if not rows:
        return None
    *columns, type_name = rows[0]
    _require_type(schema, type_name, entity_id)
    return build(cls, schema, columns) if columns[1] is not None else None


def history(database: Database, cls: type[T], entity_id: str) -> list[T]:
    """Return one object an event, oldest first."""
    schema = require_class(cls, database)
    objects = []
    for *columns, type_name in database.fetch("read_history", require_entity_id(entity_id)):
        _require_type(schema, type_name, entity_id)
        objects.append(build(cls, schema, columns))
    return objects


def audit(database: Database, entity_id: str) -> list[dict[str, Any]]:
    """Return one dict an event or grant, oldest first."""
    trail = []
    for row in database.fetch("read_audit", require_entity_id(entity_id)):
        version, event_type, updated_by, tx_time, valid_from, valid_to, state, changes, old, meta, type_name = row
        schema = _known_schema(type_name)
        before = json.loads(old or "{}")
        trail.append(
            {
                "version": version,
                "event_type": event_type,
                "updated_by": updated_by,
                "tx_time": tx_time,
                "valid_from": valid_from,
                "valid_to": valid_to,
                "state": state,
                "changes": {
                    name: {"old": _decoded(schema, name, before.get(name)), "new": _decoded(schema, name, value)}
                    for name, value in json.loads(changes).items()
                },
                "meta": json.loads(meta or "{}"),
            }
        )
    return trail


def diff(database: Database, cls: type[T], entity_id: str, a: Point, b: Point) -> dict[str, Change]:
    """Return each field, and `state`, whose value differs between two points."""
    before, after = (_at(database, cls, entity_id, point) for point in (a, b))
    return {
        name: Change(old, new)
        for name in (*record_schema(cls).fields, "state")
        if (old := getattr(before, name, None)) != (new := getattr(after, name, None))
    }


def build(cls: type[T], schema: RecordSchema[T], columns: Sequence[Any], *, current: bool = False) -> T:
    """Make an object of a row: the nine columns of its metadata, then its data as JSON text."""
    return object_of(cls, Metadata(*columns[:9]), json.loads(columns[9]), schema, current=current)


def object_of(
    cls: type[T],
    metadata: Metadata,
    data: dict[str, Any],
    schema: RecordSchema[T] | None = None,
    *,
    current: bool = False,
) -> T:
    """Make an object of its metadata and its fields in JSON form, as an event of the log has them.

    Args:
        cls: The class.
        metadata: The metadata.
        data: The fields.
        schema: The class's schema, where the caller has it.
        current: See `Storable._bind`.

    Raises:
        InvalidValue: A field's value does not fit its declared type; the message names the entity.
    """
    try:
        obj: T = (schema or record_schema(cls)).decode(data)
    except InvalidValue as error:
        message = f"{metadata.entity_id}: {error}"
        raise InvalidValue(message, type_name=error.type_name, violations=error.violations) from None
    obj._bind(metadata, data, current=current)
    return obj


def require_class(cls: type[T], database: Database | None = None) -> RecordSchema[T]:
    """Return the schema of a class that the store can hold.

    Args:
        cls: The class.
        database: Where it shall be used: it must fit what is published there.

    Raises:
        StoreError: It is not one.
        SchemaDrift: It does not fit.
    """
    if not (isinstance(cls, type) and issubclass(cls, Storable) and cls is not Storable):
        raise StoreError(f"pass a Storable class first, not {shown(cls)}")
    schema = record_schema(cls)
    if database is not None:
        require_agreement(database, cls)
    return schema


def _at(database: Database, cls: type[T], entity_id: str, point: Point) -> T | None:
    if isinstance(point, int) and not isinstance(point, bool):
        versions = history(database, cls, entity_id)
        if not 1 <= point <= len(versions):
            raise EntityNotFound(
                f"{cls.__name__} {entity_id} has no version {point}: it has {len(versions)}", entity_id=entity_id
            )
        return versions[point - 1]
    if not (isinstance(point, tuple) and len(point) == 2):
        raise StoreError(f"a point is a version or a pair (tx_time, valid_time), not {shown(point)}")
    return as_of(database, cls, entity_id, *point)


def _known_schema(type_name: str) -> RecordSchema[Any] | None:
    """Return the schema of a type by its name, None when no usable class of it is defined here."""
    cls = types_by_name.get(type_name)
    try:
        return None if cls is None else record_schema(cls)
    except RegistryError:
        return None


def _decoded(schema: RecordSchema[Any] | None, name: str, value: Any) -> Any:
    """Return a value in its declared type, where the class knows the field and takes the value; else as JSON."""
    if value is None or schema is None or name not in schema.fields:
        return value
    try:
        return schema.decode_value(name, value)
    except RegistryError:
        return value  # the class has changed since


def _require_type(schema: RecordSchema[Any], actual: str, entity_id: str) -> None:
    if actual != schema.type_name:
        raise TypeMismatch(
            f"{entity_id} is a {printable(actual)}, not a {schema.type_name}",
            entity_id=entity_id,
            expected=schema.type_name,
            actual=actual,
        )
