"""Objects as DataFrames, Arrow tables and HTML, typed as the class declares; and objects from a DataFrame's rows."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import MISSING, fields
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from store.base import FieldSpec, Storable, record_schema
from store.errors import InvalidRange, PackageMissing, StoreError, nearest_names, shown
from store.items import require_instant
from store.reading import require_class

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["objects_of", "to_arrow", "to_html", "to_pandas"]

T = TypeVar("T", bound=Storable)

METADATA: dict[str, type] = {"entity_id": str, "version": int, "state": str}
LARGEST_INT64 = 2**63 - 1
LARGEST_WHOLE_FLOAT = 2**53  # beyond it, floats are further apart than 1
LARGEST_ARROW_DECIMAL = 76  # digits
MOST_HTML_ROWS = 100
LONGEST_HTML_TEXT = 200  # characters


def to_pandas(cls: type[Storable], objects: Sequence[Storable]) -> pandas.DataFrame:
    """Return a DataFrame of entity_id, version, state and a column a field.

    int64, float64, bool and datetime64[us, UTC] columns; pandas' nullable Int64 and boolean where a value is missing;
    everything else as Python objects, missing ones as None. An int beyond 64 bits makes its column one of Python ints.
    """
    with _needed_by("to_pandas"):
        import pandas

    columns = {}
    for name, kind, values in _columns(cls, objects):
        missing = any(value is None for value in values)
        dtype: Any = object
        if kind is int and _fits_int64(values):
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

    int64, float64, bool, string, date32, time64[us], timestamp[us, UTC] and decimal columns; Enums as their values,
    UUIDs as text; lists, dicts and nested dataclasses as JSON text. What Arrow cannot hold makes its column one of
    text: ints beyond 64 bits, Decimals beyond 76 digits, times of day with a time zone.
    """
    with _needed_by("to_arrow"):
        import pyarrow

    specs = record_schema(cls).fields
    arrays = {}
    for name, kind, values in _columns(cls, objects):
        if kind is not None and issubclass(kind, Enum):
            values = [None if value is None else value.value for value in values]
            kind = type(next(iter(kind)).value)
        arrow = _arrow_type(kind, values)
        if arrow is None and kind is not str:
            values = [_text(specs[name], value) for value in values]
        arrays[name] = pyarrow.array(values, arrow if arrow is not None else pyarrow.string())
    return pyarrow.table(arrays)


def to_html(cls: type[Storable], objects: Sequence[Storable], more: bool) -> str:
    """Return an HTML table for a notebook, numbers to the right, in the formats that the columns declare."""
    schema = record_schema(cls)
    numeric = {name for name, spec in schema.fields.items() if spec.base_type in (int, float, Decimal)} | {"version"}
    columns = _columns(cls, objects[:MOST_HTML_ROWS])
    head = "".join(f"<th>{html.escape(name)}</th>" for name, _, _ in columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:{"right" if name in numeric else "left"}">'
            f"{html.escape(_cell(schema.fields.get(name), values[row]))}</td>"
            for name, _, values in columns
        )
        + "</tr>"
        for row in range(min(len(objects), MOST_HTML_ROWS))
    )
    note = f"{len(objects)} {html.escape(schema.type_name)}"
    if len(objects) > MOST_HTML_ROWS:
        note = f"first {MOST_HTML_ROWS} of {note}"
    if more:
        note += ", more with next_cursor"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{note}</p>"


def objects_of(
    cls: type[T], frame: pandas.DataFrame, valid_from: str | datetime | None
) -> tuple[list[T], list[datetime | None]]:
    """Return one object a row, and from when on each holds.

    Raises:
        StoreError: A column is not a field, a field that needs one has none, or a value is missing where the field
            needs one.
        InvalidRange: A time of `valid_from` is not one.
        PackageMissing: There is no pandas.
    """
    with _needed_by("write_frame"):
        import pandas

    schema = require_class(cls)
    if not isinstance(frame, pandas.DataFrame):
        raise StoreError(f"write_frame takes a pandas DataFrame, not {shown(frame)}")
    names = list(frame.columns)
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise StoreError(f"the frame has more than one column named {', '.join(map(repr, repeated))}: keep one")
    starts: list[Any] = [valid_from] * len(frame)
    if isinstance(valid_from, str):
        if valid_from not in names:
            listed = ", ".join(map(str, names))
            raise StoreError(f"valid_from={valid_from!r} is not a column: the frame has {listed}")
        starts = _times_of(valid_from, frame[valid_from])
        if valid_from not in schema.fields:
            names.remove(valid_from)
    for name in names:
        if name not in schema.fields:
            close = nearest_names(name, schema.fields) if isinstance(name, str) else ()
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise StoreError(f"column {name!r} is not a field of {schema.type_name}{hint}; drop it or rename it")
    for item in fields(cls):  # type: ignore[arg-type]
        if item.init and item.name not in names and item.default is MISSING and item.default_factory is MISSING:
            raise StoreError(f"{schema.type_name}.{item.name} has no default: the frame needs a column {item.name!r}")
        if not item.init and item.name in names:
            raise StoreError(f"{schema.type_name}.{item.name} is set by the class itself: drop the column")
    columns = {name: _values_of(schema.type_name, schema.fields[name], frame[name]) for name in names}
    return [cls(**{name: values[row] for name, values in columns.items()}) for row in range(len(frame))], starts


@contextmanager
def _needed_by(method: str) -> Iterator[None]:
    """Say what to do where a package cannot be imported that the store does not bring."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{method}() needs {error.name}, which is not installed: pip install {error.name}"
        raise PackageMissing(message, name=error.name) from error


def _times_of(name: str, series: pandas.Series[Any]) -> list[datetime | None]:
    """Return a column of times, None where one is missing."""
    times: list[datetime | None] = []
    for row, (value, missing) in enumerate(zip(series.tolist(), series.isna(), strict=True)):
        try:
            times.append(None if missing else require_instant(name, value))
        except InvalidRange as error:
            raise InvalidRange(f"row {row}: {error}") from None
    return times


def _values_of(type_name: str, spec: FieldSpec, series: pandas.Series[Any]) -> list[Any]:
    """Return a column's Python values, None where one is missing; undo what pandas itself does to a type."""
    values = series.tolist()
    for row, missing in enumerate(series.isna()):
        if not missing:
            continue
        if not spec.nullable:
            raise StoreError(f"{type_name}.{spec.name} is missing in row {row}, and the field is not Optional")
        values[row] = None
    if spec.base_type is int:
        # A column of ints with gaps arrives as floats.
        numbered = enumerate(values)
        return [_whole(type_name, spec, row, value) if isinstance(value, float) else value for row, value in numbered]
    if spec.base_type is date:
        # pandas has no dates of its own: they arrive as naive midnights.
        return [value.date() if _is_midnight(value) else value for value in values]
    if spec.base_type is list:
        return [value.tolist() if type(value).__module__ == "numpy" else value for value in values]
    return values


def _whole(type_name: str, spec: FieldSpec, row: int, value: float) -> int | float:
    """Return the int that a float stands for, the float itself where it stands for none."""
    if not value.is_integer():
        return value
    if abs(value) > LARGEST_WHOLE_FLOAT:
        raise StoreError(
            f"{type_name}.{spec.name} in row {row} is {value!r}, a float: so large a one may not be the int that it"
            " was; give the column the dtype Int64"
        )
    return int(value)


def _is_midnight(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is None and value.time() == time()


def _columns(cls: type[Storable], objects: Sequence[Storable]) -> list[tuple[str, type | None, list[Any]]]:
    """Return name, type and values of each column: metadata first, then the fields."""
    kinds: dict[str, type | None] = {**METADATA}
    kinds.update({name: spec.base_type for name, spec in record_schema(cls).fields.items()})
    return [(name, kind, [getattr(obj, name) for obj in objects]) for name, kind in kinds.items()]


def _fits_int64(values: list[Any]) -> bool:
    return all(value is None or -LARGEST_INT64 <= value <= LARGEST_INT64 for value in values)


def _arrow_type(kind: type | None, values: list[Any]) -> pyarrow.DataType | None:
    """Return the Arrow type of a column, None for one of text."""
    import pyarrow

    if kind is int:
        return pyarrow.int64() if _fits_int64(values) else None
    if kind is time:
        zoned = any(value is not None and value.tzinfo is not None for value in values)
        return None if zoned else pyarrow.time64("us")
    if kind is Decimal:
        return _arrow_decimal(values)
    plain = {
        bool: pyarrow.bool_(),
        float: pyarrow.float64(),
        datetime: pyarrow.timestamp("us", tz="UTC"),
        date: pyarrow.date32(),
    }
    return None if kind is None else plain.get(kind)


def _arrow_decimal(values: list[Any]) -> pyarrow.DataType | None:
    """Return the narrowest decimal type that holds all values exactly, None where there is none."""
    import pyarrow

    whole, fraction = 1, 0
    for value in values:
        if value is not None:
            exponent = value.as_tuple().exponent
            whole = max(whole, value.adjusted() + 1)
            fraction = max(fraction, -exponent)
    if whole + fraction > LARGEST_ARROW_DECIMAL:
        return None
    make = pyarrow.decimal128 if whole + fraction <= 38 else pyarrow.decimal256
    return make(whole + fraction, fraction)


def _text(spec: FieldSpec, value: Any) -> str | None:
    """Return a value as text: as it stands for scalars, as JSON for what holds others."""
    if value is None:
        return None
    encoded = spec.encode(value)
    return encoded if isinstance(encoded, str) else json.dumps(encoded, ensure_ascii=False)


def _cell(spec: FieldSpec | None, value: Any) -> str:
    """Return a value as a person reads it, cut where it is long."""
    if value is None:
        return ""
    value = value.value if isinstance(value, Enum) else value
    text = str(value)
    if spec is not None and spec.column.format is not None:
        with suppress(ValueError, TypeError):  # a format that this value does not take
            text = format(value, spec.column.format)
    return text if len(text) <= LONGEST_HTML_TEXT else text[:LONGEST_HTML_TEXT] + "…"
