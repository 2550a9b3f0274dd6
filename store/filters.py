"""Filters pushed down to PostgreSQL: a dict or an expression in, a condition with bound parameters out.

Equality goes through `data @> ...`, which the index on `data` serves; everything else is computed from the row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, Union
from uuid import UUID

from store.base import FieldSpec, RecordSchema, require_entity_id
from store.connection import Database
from store.errors import InvalidFilter, RegistryError, StoreError, nearest_names, shown
from store.items import require_instant
from store.scalars import ValueRefused, numpy_item, require_text

if TYPE_CHECKING:
    from reactive.expr import Expr

__all__ = ["RESERVED_COLUMNS", "Condition", "Filters", "column_sql", "compile_filters", "named_expression_sql"]

Filters: TypeAlias = Union[Mapping[str, Any], "Expr", None]

# Metadata that filters and orders may name, with its PostgreSQL type.
RESERVED_COLUMNS = {
    "entity_id": "uuid",
    "version": "integer",
    "owner": "text",
    "updated_by": "text",
    "tx_time": "timestamptz",
    "valid_from": "timestamptz",
    "valid_to": "timestamptz",
    "state": "text",
    "event_type": "text",
}
CASING = "store.casing"  # see store/sql/casing.sql
ANY_OF = "; a list means any of its values, a list of lists any of the lists"
# What expressions call the types of those columns, and the PostgreSQL types in which they compute.
_KINDS = {"uuid": "str", "integer": "int", "text": "str", "timestamptz": "datetime"}
_SQL_TYPES = {
    "int": "numeric",
    "float": "float8",
    "decimal": "numeric",
    "bool": "boolean",
    "date": "date",
    "datetime": "timestamptz",
}
_CASTS: dict[type, str] = {
    bool: "boolean",
    int: "numeric",
    float: "float8",
    Decimal: "numeric",
    datetime: "timestamptz",
    date: "date",
}


class Condition(NamedTuple):
    """A condition on a row, and the values of its placeholders.

    Attributes:
        text: The SQL.
        params: The values.
        contained: The fields with values that `data` must contain, where they, and `state`, say it all; None where
            there is more to the condition.
        state: The state asked for beside them, None for any.
    """

    text: str
    params: tuple[Any, ...]
    contained: dict[str, Any] | None = None
    state: str | None = None


class Columns:
    """How the rows of one type hold its fields.

    An entity written before a field existed lacks it; a read then gives the field's default, and so must a filter.
    Which fields some entity lacks is asked once a query, and only about fields whose default is not null.
    """

    def __init__(self, database: Database | None, schema: RecordSchema[Any]) -> None:
        """Ask nothing yet; without a database, take it that no entity lacks a field."""
        self._database = database
        self._schema = schema
        self._lacking: set[str] | None = None

    def field(self, name: str, where: str) -> FieldSpec:
        """Return a field, or say which name was meant."""
        spec = self._schema.fields.get(name)
        if spec is None:
            known = [*self._schema.fields, *_named(self._schema), *RESERVED_COLUMNS]
            close = nearest_names(name, known)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InvalidFilter(
                f"{where}: {self._schema.type_name} has no field {name!r}{hint}; it has {', '.join(known)}"
            )
        return spec

    def lacks(self, spec: FieldSpec) -> bool:
        """Say whether some entity may have been written without the field, so that its default matters."""
        if self._database is None:
            return False
        if self._lacking is None:
            rows = self._database.fetch("lacking_fields", self._schema.type_name, list(self._schema.fields))
            self._lacking = set(rows[0][0])
        return spec.name in self._lacking

    def default(self, spec: FieldSpec) -> Any:
        """Return the JSON form of what a read gives for a field that is not stored."""
        try:
            return None if spec.default is None else spec.encode(spec.default())
        except ValueRefused:
            return None  # a read gives it, but it can be neither stored nor asked for

    def text(self, name: str, where: str) -> tuple[str, str]:
        """Return the SQL of a field or reserved column, and the PostgreSQL type that it has."""
        if name in RESERVED_COLUMNS:
            cast = RESERVED_COLUMNS[name]
            return (f'{name} COLLATE "C"' if cast == "text" else name), cast
        cast = _CASTS.get(_plain_type(self.field(name, where)), "text")
        raw = self._stored(self.field(name, where), "->>")
        return (f'({raw}) COLLATE "C"' if cast == "text" else f"({raw})::{cast}"), cast

    def cast(self, name: str, kind: str | None, where: str = "filters") -> str:
        """Return the SQL of a field or reserved column as an expression wants it: a key of `CASTS`, None for text."""
        if name in RESERVED_COLUMNS:
            return "entity_id::text" if name == "entity_id" else name
        spec = self.field(name, where)
        if kind == "json":
            return f"NULLIF({self._stored(spec, '->')}, 'null')"
        return f"({self._stored(spec, '->>')})::{_SQL_TYPES.get(kind or 'str', 'text')}"

    def json(self, spec: FieldSpec) -> str:
        """Return the SQL of a field as jsonb."""
        return self._stored(spec, "->")

    def _stored(self, spec: FieldSpec, arrow: str) -> str:
        raw = f"data{arrow}'{spec.name}'"
        default = self.default(spec)
        if (default is None and not spec.former_names) or not self.lacks(spec):
            return raw
        cases = "".join(f" WHEN data ? '{key}' THEN data{arrow}'{key}'" for key in (spec.name, *spec.former_names))
        if default is None:
            return f"CASE{cases} END"
        text = default if arrow == "->>" and isinstance(default, str) else json.dumps(default)
        return f"CASE{cases} ELSE {_literal(text)}{'::jsonb' if arrow == '->' else ''} END"


def column_sql(database: Database, schema: RecordSchema[Any], name: str, where: str) -> tuple[str, str]:
    """Return the SQL of a field or reserved column, and the PostgreSQL type that it has.

    Raises:
        InvalidFilter: The class has no such field.
    """
    return Columns(database, schema).text(name, where)


def compile_filters(database: Database | None, schema: RecordSchema[Any], filters: Filters) -> Condition:
    """Return the condition of a filter.

    Args:
        database: Where to ask which fields some entity lacks. Without one the condition is what equal filters have in
            common, whatever is stored: good for telling queries apart, not for running them.
        schema: The class that the filter is about.
        filters: The filter.

    Raises:
        InvalidFilter: A name, a value or a node of the expression cannot be used.
    """
    if filters is None:
        return _conjunction([])
    columns = Columns(database, schema)
    if isinstance(filters, Mapping):
        return _conjunction([*_equalities(columns, schema, filters)])
    return _expression(columns, schema, filters)


def named_expression_sql(
    database: Database, schema: RecordSchema[Any], name: str, where: str
) -> tuple[str, tuple[Any, ...], str] | None:
    """Return the SQL of an expression that the class has under a name, its values, and the PostgreSQL type that it has.

    Returns:
        None if the name is a column's, or nobody's.

    Raises:
        InvalidFilter: The expression cannot be computed by PostgreSQL.
    """
    from reactive.errors import ReactiveError
    from reactive.expr.inference import Inference
    from reactive.expr.named import named_expression
    from reactive.expr.sql import CASTS, compile_sql

    if not _is_named(schema, name):
        return None
    columns, kinds = Columns(database, schema), _kinds_of(schema)
    try:
        expr = named_expression(schema.cls, name)
        kind = Inference(kinds).kind(expr) or "str"
        text, params = compile_sql(expr, lambda name, kind: columns.cast(name, kind, where), kinds, casing=CASING)
    except ReactiveError as error:
        raise InvalidFilter(f"{where}: {name}: {error}") from error
    collation = ' COLLATE "C"' if kind == "str" else ""
    return f"({text}){collation}", tuple(params), CASTS[kind]


def _is_named(schema: RecordSchema[Any], name: str) -> bool:
    """Say whether a name is that of an expression of the class; a column of that name comes first."""
    return name not in schema.fields and name not in RESERVED_COLUMNS and name in _named(schema)


def _named(schema: RecordSchema[Any]) -> Iterable[str]:
    """Return the names of the class's expressions."""
    if not hasattr(schema.cls, "expressions"):
        return ()
    from reactive.errors import ReactiveError
    from reactive.expr.named import named_expressions

    try:
        return named_expressions(schema.cls)
    except ReactiveError as error:
        raise InvalidFilter(str(error)) from error


def _equalities(columns: Columns, schema: RecordSchema[Any], filters: Mapping[str, Any]) -> Iterable[Condition]:
    for name in sorted(filters, key=str):
        value = filters[name]
        if not isinstance(name, str):
            raise InvalidFilter(f"filters: a key is the name of a field, not {shown(name)}")
        if name in RESERVED_COLUMNS:
            yield _reserved(name, value)
            continue
        if _is_named(schema, name):
            yield _expression(columns, schema, _equal(name, value))
            continue
        spec = columns.field(name, "filters")
        if isinstance(value, (list, tuple, set, frozenset)):
            options = [_field_equals(columns, spec, _encode(schema, spec, option, value)) for option in value]
            yield _disjunction(sorted(options, key=str) if isinstance(value, (set, frozenset)) else options)
            continue
        yield _field_equals(columns, spec, _encode(schema, spec, value))


def _equal(name: str, value: Any) -> Expr:
    """Return the condition that a named expression has a value, or any of several."""
    from reactive.errors import ReactiveError
    from reactive.expr import Const, Field

    several = isinstance(value, (list, tuple, set, frozenset))
    condition: Expr = Const(False)
    try:
        for option in sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value if several else [value]:
            condition = condition | (Field(name) == option) if several else Field(name) == option
    except ReactiveError as error:
        raise InvalidFilter(f"filters: {name}: {error}") from error
    return condition


def _plain(columns: Columns, spec: FieldSpec, encoded: Any) -> bool:
    """Say whether containment alone tells that a field has this value."""
    if encoded is None or isinstance(encoded, (list, dict)):
        return False
    return not (spec.former_names or encoded == columns.default(spec)) or not columns.lacks(spec)


def _field_equals(columns: Columns, spec: FieldSpec, encoded: Any) -> Condition:
    if _plain(columns, spec, encoded):
        return _contains({spec.name: encoded})
    if encoded is None:
        return Condition(f"coalesce({columns.json(spec)}, 'null') = 'null'::jsonb", ())
    return Condition(f"{columns.json(spec)} = %s::jsonb", (json.dumps(encoded, ensure_ascii=False),))


def _reserved(name: str, value: Any) -> Condition:
    cast = RESERVED_COLUMNS[name]
    if value is None:
        return Condition(f"{name} IS NULL", ())
    if isinstance(value, (list, tuple, set, frozenset)):
        options = [_reserved(name, option) for option in value]
        return _disjunction(sorted(options, key=str) if isinstance(value, (set, frozenset)) else options)
    expected: type[Any] = {"integer": int, "timestamptz": datetime}.get(cast, str)
    value = str(value) if cast == "uuid" and isinstance(value, UUID) else numpy_item(value)
    if not isinstance(value, expected) or isinstance(value, bool):
        raise InvalidFilter(f"filters: {name} takes {expected.__name__}, not {shown(value)}")
    try:
        value = require_instant(name, value) if cast == "timestamptz" else value
        value = require_entity_id(value) if cast == "uuid" else value
        value = require_text(value) if cast == "text" else value
    except (StoreError, ValueRefused) as error:
        raise InvalidFilter(f"filters: {name}: {error}") from None
    if name == "state":
        return Condition("state = %s::text", (value,), {}, value)
    return Condition(f"{name} = %s::{'numeric' if cast == 'integer' else cast}", (value,))


def _expression(columns: Columns, schema: RecordSchema[Any], expr: Any) -> Condition:
    """Compile an expression; equalities at its top level go through the index."""
    from reactive.errors import ReactiveError
    from reactive.expr import Const, Expr, Field
    from reactive.expr.inference import Inference
    from reactive.expr.named import with_named
    from reactive.expr.sql import compile_sql, equality_conjuncts

    if not isinstance(expr, Expr):
        raise InvalidFilter(f"filters is a dict or an expression, not {shown(expr)}")
    if hasattr(schema.cls, "expressions"):
        try:
            expr = with_named(expr, schema.cls)
        except ReactiveError as error:
            raise InvalidFilter(f"filters: {error}") from error
    conditions: list[Condition] = []
    equalities, rest = equality_conjuncts(expr)
    for name, value in equalities.items():
        try:
            if name in RESERVED_COLUMNS:
                conditions.append(_reserved(name, value))
            else:
                spec = columns.field(name, "filters")
                conditions.append(_field_equals(columns, spec, spec.encode(value)))
        except (InvalidFilter, ValueRefused):
            # Not a value of the field's own type, such as 5.0 for an int: compared as an expression, or refused there.
            comparison = Field(name) == Const(value)
            rest = comparison if rest is None else rest & comparison
    if rest is not None:
        kinds = _kinds_of(schema)
        try:
            kind = Inference(kinds).kind(rest)
            if kind not in (None, "bool"):
                raise InvalidFilter(f"filters: {rest!r} is no condition but {kind}: compare it with something")
            text, params = compile_sql(rest, lambda name, kind: columns.cast(name, kind), kinds, casing=CASING)
        except ReactiveError as error:
            raise InvalidFilter(f"filters: {error}") from error
        conditions.append(Condition(text, tuple(params)))
    return _conjunction(conditions)


def _kinds_of(schema: RecordSchema[Any]) -> dict[str, str]:
    """Return what expressions call the types of a class's columns."""
    kinds = {name: _KINDS[cast] for name, cast in RESERVED_COLUMNS.items()}
    return kinds | {name: _kind_of(spec) for name, spec in schema.fields.items()}


def _kind_of(spec: FieldSpec) -> str:
    """Return the name that expressions have for a field's type."""
    kind = _plain_type(spec)
    names = {bool: "bool", int: "int", float: "float", Decimal: "decimal", str: "str", UUID: "str", date: "date"}
    return "datetime" if issubclass(kind, datetime) else names.get(kind, "json")


def _plain_type(spec: FieldSpec) -> type:
    """Return the type of a field's values, for an Enum that of its members' values."""
    kind = spec.base_type
    return type(next(iter(kind)).value) if issubclass(kind, Enum) else kind


def _encode(schema: RecordSchema[Any], spec: FieldSpec, value: Any, among: Any = None) -> Any:
    """Return the JSON form of a value, perhaps one of several, that a field is compared with."""
    if value is None:
        return None
    try:
        return schema.encode_value(spec.name, value)
    except RegistryError as error:
        several = among is not None or (isinstance(value, Iterable) and not isinstance(value, (str, bytes)))
        raise InvalidFilter(f"filters: {error}{ANY_OF if several else ''}") from error


def _contains(contained: dict[str, Any]) -> Condition:
    return Condition("data @> %s::jsonb", (json.dumps(contained, ensure_ascii=False),), contained)


def _conjunction(conditions: list[Condition]) -> Condition:
    """Join conditions with AND; what `data` must contain becomes one condition, and one look into the index."""
    contained: dict[str, Any] = {}
    others, state, complete = [], None, True
    for condition in conditions:
        contained.update(condition.contained or {})
        if not condition.contained:
            others.append(condition)
            complete = complete and condition.contained is not None
            state = condition.state
    parts = [*([_contains(contained)] if contained else []), *others]
    text = " AND ".join(f"({part.text})" for part in parts) or "true"
    return Condition(text, tuple(p for part in parts for p in part.params), contained if complete else None, state)


def _disjunction(conditions: list[Condition]) -> Condition:
    if not conditions:
        return Condition("false", ())
    return Condition(" OR ".join(f"({c.text})" for c in conditions), tuple(p for c in conditions for p in c.params))


def _literal(text: str) -> str:
    """Quote a constant of ours for SQL text that goes through placeholder substitution."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
