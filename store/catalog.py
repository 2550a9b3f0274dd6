"""The column catalog for people, tools and language models: table, JSON, Markdown, and JSON Schema of a class."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from store.base import Storable, record_schema
from store.column import ColumnDef
from store.records import FieldSpec
from store.values import ValueRefused

__all__ = ["catalog_json", "catalog_markdown", "catalog_rows", "catalog_table", "json_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HEADINGS = ("column", "type", "role", "unit", "constraints", "description")


def _json_ready(column: ColumnDef, value: Any) -> Any:
    return None if value is None else column.codec.encode(value)


def catalog_rows(columns: Iterable[ColumnDef]) -> list[dict[str, Any]]:
    """Return one flat dictionary a column, every attribute of ColumnDef in JSON-ready form.

    Example:
        >>> from store.columns import REGISTRY
        >>> catalog_rows([REGISTRY.resolve("price")[0]])[0]["unit"]
        'USD'
    """
    rows: list[dict[str, Any]] = []
    for column in columns:
        row: dict[str, Any] = {item.name: getattr(column, item.name) for item in fields(column)}
        row["python_type"] = column.type_name
        for name in ("default", "min_value", "max_value"):
            row[name] = _json_ready(column, row[name])
        for name in ("enum", "sample_values"):
            row[name] = None if row[name] is None else [_json_ready(column, value) for value in row[name]]
        for name in ("synonyms", "tags", "allowed_prefixes"):
            row[name] = list(row[name])
        rows.append(row)
    return rows


def catalog_json(columns: Iterable[ColumnDef]) -> str:
    """Return the catalog as a JSON array of the rows of `catalog_rows`."""
    return json.dumps(catalog_rows(columns), indent=2, ensure_ascii=False)


def _constraints(column: ColumnDef) -> str:
    """Return a column's constraints as one short text."""
    parts: list[str] = []
    if column.enum is not None:
        parts.append(" | ".join(str(value) for value in column.enum))
    if column.min_value is not None:
        parts.append(f">= {column.min_value}")
    if column.max_value is not None:
        parts.append(f"<= {column.max_value}")
    if column.max_length is not None:
        parts.append(f"{column.max_length} characters")
    if column.pattern is not None:
        parts.append(column.pattern)
    if column.check is not None:
        parts.append(column.check)
    if column.nullable:
        parts.append("nullable")
    if column.allowed_prefixes:
        parts.append(f"prefixes {', '.join(column.allowed_prefixes)}")
    return ", ".join(parts)


def _cells(column: ColumnDef) -> tuple[str, ...]:
    description = column.description
    if column.deprecated:
        told = column.deprecated if isinstance(column.deprecated, str) else "no longer used"
        description = f"{description} (deprecated: {told})"
    return (column.name, column.type_name, column.role, column.unit or "", _constraints(column), description)


def catalog_table(columns: Iterable[ColumnDef], width: int | None = None) -> str:
    """Return the catalog as a plain table with aligned columns.

    Args:
        columns: The columns to show.
        width: Cut each line to this many characters; None leaves lines whole.

    Example:
        >>> from store.columns import REGISTRY
        >>> print(catalog_table([REGISTRY.resolve("active")[0]], width=60))
        column  type  role       unit  constraints  description
        active  bool  dimension        nullable     Whether the obj…
    """
    rows = [_HEADINGS, *(_cells(column) for column in columns)]
    widths = [max(len(row[number]) for row in rows) for number in range(len(_HEADINGS))]
    lines: list[str] = []
    for row in rows:
        line = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        lines.append(line if width is None or len(line) <= width else line[: width - 1] + "…")
    return "\n".join(lines)


def _markdown_cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def catalog_markdown(columns: Iterable[ColumnDef]) -> str:
    """Return the catalog as Markdown, one table a category; columns without a category come first.

    Example:
        >>> from store.columns import REGISTRY
        >>> print(catalog_markdown([REGISTRY.resolve("active")[0]]))
        ## General
        <BLANKLINE>
        | column | type | role | unit | constraints | description |
        |---|---|---|---|---|---|
        | active | bool | dimension |  | nullable | Whether the object is in use |
        <BLANKLINE>
    """
    groups: dict[str, list[ColumnDef]] = {}
    for column in sorted(columns, key=lambda column: column.category is not None):
        groups.setdefault(column.category or "core", []).append(column)
    lines: list[str] = []
    for category, members in groups.items():
        lines += [f"## {category.capitalize()}", "", f"| {' | '.join(_HEADINGS)} |", "|---" * len(_HEADINGS) + "|"]
        lines += [f"| {' | '.join(_markdown_cell(cell) for cell in _cells(column))} |" for column in members]
        lines.append("")
    return "\n".join(lines)


def _property_schema(spec: FieldSpec) -> dict[str, Any]:
    """Return the JSON Schema of one field: its type, its column's constraints, and what the column says of itself."""
    column = spec.column
    inner: dict[str, Any] = dict(spec.schema["anyOf"][0] if spec.nullable else spec.schema)
    is_number = inner.get("type") in ("integer", "number")
    limits = {
        # Of text, JSON Schema knows no bounds: dates and decimals say theirs in extension keywords.
        "minimum" if is_number else "x-minimum": _json_ready(column, column.min_value),
        "maximum" if is_number else "x-maximum": _json_ready(column, column.max_value),
        "maxLength": column.max_length,
        "pattern": column.pattern,
        "x-check": column.check,
    }
    inner |= {key: value for key, value in limits.items() if value is not None}
    if column.enum is not None:
        inner.setdefault("enum", [column.codec.encode(value) for value in column.enum])
    about = {
        "title": column.display_name,
        "description": column.description,
        "examples": [column.codec.encode(value) for value in column.sample_values],
        "deprecated": bool(column.deprecated),
        "x-column": column.name,
        "x-role": column.role,
        "x-unit": column.unit,
        "x-aggregation": column.aggregation,
        "x-semantic-type": column.semantic_type,
        "x-synonyms": list(column.synonyms),
        "x-sensitivity": column.sensitivity,
    }
    schema = {"anyOf": [inner, {"type": "null"}]} if spec.nullable else inner
    return schema | {key: value for key, value in about.items() if value}


def _storable_default(spec: FieldSpec) -> Any:
    """Return a field's default in JSON form, or raise ValueRefused when there is none that could be stored."""
    if spec.default is None:
        raise ValueRefused("a default", None)
    value = spec.encode(spec.default())
    broken = spec.column.broken
    if value is not None and broken is not None and broken(value) is not None:
        raise ValueRefused("a default that could be stored", value)
    return value


def _first_line(cls: type) -> str:
    """Return what a class says of itself; the signature that the dataclass decorator writes there says nothing."""
    told = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]
    return "" if told.startswith(f"{cls.__name__}(") else told


def json_schema(cls: type[Storable]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a stored class, for tools, forms and language models.

    It describes the data as `encode_valid` accepts it: a field whose default could not be stored is required. What
    JSON Schema cannot say stands in keywords that begin with `x-`.

    Args:
        cls: The class.

    Returns:
        The schema as `json.dumps` takes it.

    Example:
        >>> from store.models import Limit
        >>> json_schema(Limit)["properties"]["warn"]["type"]
        'number'
    """
    schema = record_schema(cls)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, spec in schema.fields.items():
        properties[name] = _property_schema(spec)
        try:
            properties[name]["default"] = _storable_default(spec)
        except ValueRefused:
            required.append(name)
    return {
        "$schema": _DIALECT,
        "title": schema.type_name,
        "description": _first_line(cls),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
