"""Objects as DataFrames, Arrow tables and HTML, typed as the class declares; and objects from a DataFrame's rows."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from store.base import FieldSpec, Storable, record_schema
from store.errors import StoreError, nearest_names

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["objects_of", "to_arrow", "to_html", "to_pandas"]

T = TypeVar("T", bound=Storable)

METADATA: dict[str, type] = {"entity_id": str, "version": int, "state": str}
LARGEST_INT64 = 2**63 - 1


def to_pandas(cls: type[Storable], objects: Sequence[Storable]) -> pandas.DataFrame:
    """Return a DataFrame of entity_id, version, state and a column a field.

    int64, float64, bool and datetime64[us, UTC] columns; pandas' nullable Int64 and boolean where a value is missing;
    everything else as Python objects. An int beyond 64 bits makes its column one of Python ints.
    """
    import pandas

    columns = {}
    for name, kind, values in _columns(cls, objects):
        missing = any(value is None for value in values)
        dtype: Any = object
        if kind is int and all(value is None or abs(value) <= LARGEST_INT64 for value in values):
            dtype = "Int64" if missing else "int64"
        elif kind is float:
            dtype = "float64"
        elif kind is bool:
            dtype = "boolean" if missing else "bool"
        elif kind is datetime:
            dtype = "datetime64[us, UTC]"
        columns[name] = pandas.Series(values, dtype=dtype)
    return pandas.DataFrame(columns)


def to_arrow(cls: type[Storable], objects: Sequence[Storable]) -> pyarrow.Table:
    """Return an Arrow table of entity_id, version, state and a column a field.

    int64, float64, bool, string, date32, timestamp[us, UTC] and decimal columns; UUIDs and Enums as text; lists, dicts
    and nested dataclasses as JSON text; ints beyond 64 bits as text.
    """
    import pyarrow

    kinds = {
        bool: pyarrow.bool_(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        str: pyarrow.string(),
        datetime: pyarrow.timestamp("us", tz="UTC"),
        date: pyarrow.date32(),
    }
    arrays = {}
    for name, kind, values in _columns(cls, objects):
        if kind is int and any(value is not None and abs(value) > LARGEST_INT64 for value in values):
            arrays[name] = pyarrow.array([None if value is None else str(value) for value in values], pyarrow.string())
        elif kind in kinds:
            arrays[name] = pyarrow.array(values, kinds[kind])
        elif kind is Decimal:
            arrays[name] = pyarrow.array(values) if any(v is not None for v in values) else pyarrow.nulls(len(values))
        else:
            arrays[name] = pyarrow.array([_plain_text(value) for value in values], pyarrow.string())
    return pyarrow.table(arrays)


def to_html(cls: type[Storable], objects: Sequence[Storable], more: bool) -> str:
    """Return an HTML table for a notebook, numbers to the right."""
    schema = record_schema(cls)
    numeric = {name for name, spec in schema.fields.items() if spec.base_type in (int, float, Decimal)} | {"version"}
    columns = _columns(cls, objects)
    head = "".join(f"<th>{html.escape(name)}</th>" for name, _, _ in columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:{"right" if name in numeric else "left"}">'
            f"{'' if values[row] is None else html.escape(str(values[row]))}</td>"
            for name, _, values in columns
        )
        + "</tr>"
        for row in range(len(objects))
    )
    note = f"{len(objects)} {html.escape(schema.type_name)}" + (", more with next_cursor" if more else "")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{note}</p>"


def objects_of(
    cls: type[T], frame: pandas.DataFrame, valid_from: str | datetime | None
) -> tuple[list[T], list[datetime | None]]:
    """Return one object a row, and from when on each holds.

    Raises:
        StoreError: A column is not a field, or a value is missing where the field needs one.
    """
    schema = record_schema(cls)
    names = [str(name) for name in frame.columns]
    starts: list[datetime | None] = [valid_from if isinstance(valid_from, datetime) else None] * len(frame)
    if isinstance(valid_from, str):
        if valid_from not in names:
            raise StoreError(f"valid_from={valid_from!r} is not a column: the frame has {', '.join(names)}")
        starts = [stamp.to_pydatetime() for stamp in frame[valid_from]]
        names = [name for name in names if name != valid_from]
    for name in names:
        if name not in schema.fields:
            close = nearest_names(name, schema.fields)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise StoreError(f"column {name!r} is not a field of {schema.type_name}{hint}; drop it or rename it")
    columns = {name: _values_of(schema.type_name, schema.fields[name], frame[name]) for name in names}
    return [cls(**{name: values[row] for name, values in columns.items()}) for row in range(len(frame))], starts


def _values_of(type_name: str, spec: FieldSpec, series: pandas.Series[Any]) -> list[Any]:
    """Return a column's Python values, None where one is missing."""
    values = series.tolist()
    for row, missing in enumerate(series.isna()):
        if not missing or isinstance(values[row], (list, dict)):
            continue
        if not spec.nullable:
            raise StoreError(f"{type_name}.{spec.name} is missing in row {row}, and the field is not Optional")
        values[row] = None
    if spec.base_type is int:
        # A column of ints with gaps arrives as floats.
        values = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return values


def _columns(cls: type[Storable], objects: Sequence[Storable]) -> list[tuple[str, type | None, list[Any]]]:
    """Return name, type and values of each column: metadata first, then the fields."""
    kinds: dict[str, type | None] = {**METADATA}
    kinds.update({name: spec.base_type for name, spec in record_schema(cls).fields.items()})
    return [(name, kind, [getattr(obj, name) for obj in objects]) for name, kind in kinds.items()]


def _plain_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
