"""From a record class to the columns of its Deephaven tables.

| declared type | column |
|---|---|
| str, UUID | string |
| bool | bool |
| int | long; a value beyond 64 bits is refused, so declare `dh_type_override="BigInteger"` where they occur |
| float | double |
| Decimal | BigDecimal, exact; clients receive it as bytes: `dh_type_override="double"` where a float will do |
| datetime, date, time | Instant, LocalDate, LocalTime |
| Enum, Literal | the column of their values |
| list or tuple of bool, int, float, str | array of these |
| any other list, tuple, dict, dataclass | string: its JSON |

Field names stay as they are. After the fields come those named expressions of the class that are asked for, then the
metadata, in PascalCase. `dh_type_override` of the column registry picks another type: `string` for anything, or a
numeric type for a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin
from uuid import UUID

from bridge.cells import ARRAY_TYPES, JAVA_NAMES, Cell, cell_from_json, python_cell
from bridge.computed_columns import computed_columns, expression_names
from bridge.errors import BridgeError, ColumnTypeError
from store.annotations import split_optional, type_label
from store.base import FieldSpec, Storable, record_schema
from store.errors import nearest_names

if TYPE_CHECKING:
    from deephaven.dtypes import DType

__all__ = [
    "METADATA_COLUMNS",
    "FieldColumn",
    "column_types",
    "extract_row",
    "field_column",
    "field_columns",
    "infer_dh_schema",
]

METADATA_COLUMNS: dict[str, str] = {
    "EntityId": "string",
    "Version": "long",
    "EventType": "string",
    "State": "string",
    "Owner": "string",
    "UpdatedBy": "string",
    "TxTime": "Instant",
    "ValidFrom": "Instant",
    "ValidTo": "Instant",
    "Changed": "string",
}

_SCALARS: dict[Any, str] = {
    str: "string",
    UUID: "string",
    bool: "bool",
    int: "long",
    float: "double",
    Decimal: "BigDecimal",
    datetime: "Instant",
    date: "LocalDate",
    time: "LocalTime",
}
_SPELLINGS = {
    **{name.lower(): name for name in JAVA_NAMES},
    **{java_name.lower(): name for name, java_name in JAVA_NAMES.items()},
    "boolean": "bool",
}


class FieldColumn(NamedTuple):
    """One field of a class as a column.

    Attributes:
        name: The field's name, and the column's.
        dh_type: The type of the column, as in the table above.
        cell: What makes a cell of the stored JSON value.
        spec: The field.
    """

    name: str
    dh_type: str
    cell: Callable[[Any], Cell]
    spec: FieldSpec


def _natural_type(annotation: Any) -> str:
    scalar = _scalar_type(annotation)
    if scalar is not None:
        return scalar
    annotation, _ = split_optional(annotation)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    elements = arguments[:1] if origin is tuple and arguments[1:] == (...,) else arguments
    if origin in (list, tuple) and len(elements) == 1:
        return ARRAY_TYPES.get(_scalar_type(elements[0]) or "", "string")
    return "string"


def _scalar_type(annotation: Any) -> str | None:
    """Return the column type of single values; None for lists, dictionaries and records."""
    annotation, _ = split_optional(annotation)
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return _SCALARS[type(get_args(annotation)[0])]
    if isinstance(origin, type) and issubclass(origin, Enum):
        return _SCALARS[type(next(iter(origin)).value)]
    return _SCALARS.get(origin)


def field_column(type_name: str, spec: FieldSpec) -> FieldColumn:
    """Return one field as a column.

    Args:
        type_name: The class, for messages.
        spec: The field.

    Raises:
        ColumnTypeError: Its `dh_type_override` is no column type, or none for its values.

    Example:
        >>> from store.models import Order
        >>> field_column("Order", record_schema(Order).fields["price"]).dh_type
        'double'
    """
    name, natural = spec.name, _natural_type(spec.annotation)
    dh_type = natural
    override = spec.column.dh_type_override
    if override:
        found = _SPELLINGS.get(override.lower())
        if found is None:
            near = nearest_names(override, JAVA_NAMES)
            hint = f"; did you mean {near[0]!r}?" if near else f"; use one of {', '.join(JAVA_NAMES)}"
            raise ColumnTypeError(type_name, name, f"dh_type_override {override!r} is no column type{hint}")
        dh_type = found
    cell = cell_from_json(natural, dh_type)
    if cell is None:
        raise ColumnTypeError(
            type_name,
            name,
            f"a {type_label(spec.annotation)} cannot be shown as {dh_type} (dh_type_override); it is a {natural}",
        )
    return FieldColumn(name, dh_type, cell, spec)


def field_columns(cls: type[Storable], columns: Iterable[str] | None = None) -> list[FieldColumn]:
    """Return the fields of a class as columns, in the order of the class.

    Args:
        cls: The class.
        columns: The fields wanted, all by default; metadata columns and named expressions among them are passed over.

    Raises:
        BridgeError: The class has no such field or expression.
        ColumnTypeError: A field's name or `dh_type_override` cannot be a column's.

    Example:
        >>> from store.models import Order
        >>> [column.dh_type for column in field_columns(Order, ["quantity"])]
        ['long']
    """
    schema = record_schema(cls)
    wanted = set(schema.fields)
    if columns is not None:
        named = expression_names(cls)
        wanted = set(columns) - set(METADATA_COLUMNS) - set(named)
        for name in sorted(wanted - set(schema.fields)):
            near = nearest_names(name, [*schema.fields, *named, *METADATA_COLUMNS])
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BridgeError(f"{schema.type_name} has no field {name!r}{hint}")
    return [field_column(schema.type_name, spec) for name, spec in schema.fields.items() if name in wanted]


def column_types(cls: type[Storable], columns: Iterable[str] | None = None) -> dict[str, str]:
    """Return the columns of a class's tables and their types: fields, computed ones, metadata. Needs no JVM.

    Args:
        cls: The class.
        columns: The fields and named expressions wanted, all fields by default.

    Raises:
        BridgeError: As in `field_columns`.

    Example:
        >>> from store.models import Order
        >>> column_types(Order)["EntityId"]
        'string'
    """
    names = None if columns is None else list(columns)
    fields = {column.name: column.dh_type for column in field_columns(cls, names)}
    computed = {column.name: column.dh_type for column in computed_columns(cls, names)}
    for name in computed.keys() & METADATA_COLUMNS.keys():
        raise BridgeError(f"{cls.type_name()}: the expression {name!r} has the name of a metadata column: rename it")
    return fields | computed | METADATA_COLUMNS


def infer_dh_schema(cls: type[Storable], columns: Iterable[str] | None = None) -> dict[str, DType]:
    """Return the Deephaven schema of a class's tables, as `DynamicTableWriter` takes it. Needs a running JVM.

    Args:
        cls: The class.
        columns: The fields and named expressions wanted, all fields by default; the metadata columns are always there.

    Returns:
        Column name to Deephaven type, in the order in which `extract_row` and the bridge write values.

    Raises:
        BridgeError: As in `field_columns`, or no JVM runs.

    Example:
        >>> DynamicTableWriter(infer_dh_schema(Order))
    """
    from bridge.java_columns import dh_dtype

    return {name: dh_dtype(dh_type) for name, dh_type in column_types(cls, columns).items()}


def extract_row(obj: Storable, columns: Iterable[str] | Mapping[str, Any]) -> list[Any]:
    """Return the values of an object for `write_row`, one for each column. Instants and the like need a running JVM.

    Args:
        obj: A record; its metadata is null while it has not been written. `Changed` is an event's, so null here.
        columns: Column names in the order wanted, such as the schema of `infer_dh_schema`.

    Raises:
        BridgeError: The class has no such column.
        CellRefused: A value does not fit its column.

    Example:
        >>> from store.models import Order
        >>> extract_row(Order(symbol="AAPL", quantity=100), ["symbol", "quantity", "Version"])
        ['AAPL', 100, None]
    """
    from bridge.java_columns import java_value

    names = list(columns)
    schema = record_schema(type(obj))
    fields = {column.name: column for column in field_columns(type(obj), names)}
    computed = {column.name: column for column in computed_columns(type(obj), names)}
    values = []
    for name in names:
        if name in computed:
            dh_type, cell = computed[name].dh_type, computed[name].cell(computed[name].expression.eval(obj))
        elif name in fields:
            column = fields[name]
            dh_type, cell = column.dh_type, column.cell(schema.encode_value(name, getattr(obj, name)))
        else:
            dh_type = METADATA_COLUMNS[name]
            cell = python_cell(dh_type)(_metadata_value(obj, name))
        values.append(java_value(dh_type, cell))
    return values


def _metadata_value(obj: Storable, name: str) -> Any:
    if name == "Changed":
        return None
    attribute = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
    value = getattr(obj, attribute)
    return str(value) if isinstance(value, UUID) else value
