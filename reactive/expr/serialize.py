"""Expressions as JSON and back.

Version 1 is `{"version": 1, "expr": NODE}`, where a node is an object: its class under `node`, its own attributes, and
its operands, if any, under `args`. Constants that JSON has no form for carry their `type`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from reactive.errors import ExpressionError, MalformedExpression, did_you_mean, shown
from reactive.expr.base import MAX_DEPTH, MAX_SIZE, Expr
from reactive.expr.nodes import NODES, BinOp, Const, Field, Func, StrOp, UnaryOp

__all__ = ["VERSION", "from_json", "to_json"]

VERSION = 1
_NAMED: dict[type[Expr], str] = {BinOp: "op", UnaryOp: "op", StrOp: "op", Func: "name"}
_WRITE: dict[type, tuple[str, Callable[[Any], str]]] = {
    Decimal: ("decimal", str),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
}
_READ: dict[str, Callable[[str], Any]] = {
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}
# The most characters of one text: enough for MAX_SIZE nodes, and far from what would fill the memory.
_MAX_LENGTH = 200 * MAX_SIZE


def to_json(expr: Expr) -> str:
    """Return an expression as JSON text; see `Expr.to_json`."""
    return json.dumps({"version": VERSION, "expr": _node(expr)}, ensure_ascii=False, allow_nan=False)


def _node(expr: Expr) -> dict[str, Any]:
    document: dict[str, Any] = {"node": type(expr).__name__}
    if isinstance(expr, Const):
        if type(expr.value) in _WRITE:
            document["type"], write = _WRITE[type(expr.value)]
            document["value"] = write(expr.value)
        else:
            document["value"] = expr.value
    elif isinstance(expr, Field):
        document["name"] = expr.name
        if expr.declared.kind is not None:
            document["type"] = expr.declared.kind
        if expr.declared.nullable is not None:
            document["nullable"] = expr.declared.nullable
    elif type(expr) in _NAMED:
        attribute = _NAMED[type(expr)]
        document[attribute] = getattr(expr, attribute)
    if expr.children:
        document["args"] = [_node(child) for child in expr.children]
    return document


def from_json(document: str | bytes | Mapping[str, Any]) -> Expr:
    """Return the expression that `to_json` wrote.

    Args:
        document: The JSON text, or what `json.loads` made of it. It need not be trusted.

    Raises:
        MalformedExpression: It is not an expression, of another version, too deep or too large; the place is named.

    Example:
        >>> from_json(Field("price").to_json())
        Field('price')
    """
    if isinstance(document, (str, bytes, bytearray)):
        if len(document) > _MAX_LENGTH:
            raise MalformedExpression(f"a text of {len(document):,} characters is longer than {_MAX_LENGTH:,}")
        try:
            document = json.loads(document, parse_constant=_refuse_constant)
        except MalformedExpression:
            raise
        except (ValueError, RecursionError) as error:
            raise MalformedExpression(f"not JSON: {error}") from None
    if not isinstance(document, Mapping):
        raise MalformedExpression(f"expected an object with version and expr, found {shown(document)}")
    _require_keys(document, {"version", "expr"}, set(), "the document")
    version = document["version"]
    if version != VERSION or isinstance(version, bool):
        raise MalformedExpression(f"version {shown(version)} is not known here: this library reads version {VERSION}")
    return _read(document["expr"], "expr", 1)


def _refuse_constant(text: str) -> Any:
    raise MalformedExpression(f"{text} is not a number that an expression can hold: use null for a missing value")


def _read(document: Any, path: str, depth: int) -> Expr:
    # Before the recursion goes deeper, so that a hostile document cannot exhaust the stack.
    if depth > MAX_DEPTH:
        raise MalformedExpression(f"more than {MAX_DEPTH} levels", path[:200])
    if not isinstance(document, Mapping):
        raise MalformedExpression(f"expected an object, found {shown(document)}", path)
    name = document.get("node")
    node = NODES.get(name) if isinstance(name, str) else None
    if node is None:
        hint = did_you_mean(name, NODES)
        raise MalformedExpression(f"no node {shown(name)}{hint}; there is {', '.join(NODES)}", path)
    try:
        if node is Field:
            _require_keys(document, {"node", "name"}, {"type", "nullable"}, path)
            nullable = document.get("nullable")
            if nullable is not None and not isinstance(nullable, bool):
                raise MalformedExpression(f"nullable is true or false, not {shown(nullable)}", path)
            kind = document.get("type")
            if kind is not None and not isinstance(kind, str):
                raise MalformedExpression(f"type is the name of a kind, not {shown(kind)}", path)
            return Field(document["name"], kind, nullable=nullable)
        if node is Const:
            _require_keys(document, {"node", "value"}, {"type"}, path)
            return Const(_value(document, path))
        attribute = _NAMED.get(node)
        _require_keys(document, {"node", "args"} | ({attribute} if attribute else set()), set(), path)
        arguments = document["args"]
        if not isinstance(arguments, list):
            raise MalformedExpression(f"args is a list, not {shown(arguments)}", path)
        children = [_read(each, f"{path}.args[{place}]", depth + 1) for place, each in enumerate(arguments)]
        own = [document[attribute]] if attribute else []
        return node(*own, *children)
    except MalformedExpression:
        raise
    except (ExpressionError, TypeError) as error:
        # A TypeError also comes of a wrong number of operands.
        raise MalformedExpression(str(error), path) from error


def _value(document: Mapping[str, Any], path: str) -> Any:
    value, kind = document["value"], document.get("type")
    if kind is None:
        if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        raise MalformedExpression(
            f"a constant without a type is null, a boolean, number or string: {shown(value)}", path
        )
    if not isinstance(kind, str) or kind not in _READ or not isinstance(value, str):
        raise MalformedExpression(f"no constant of type {shown(kind)} with the value {shown(value)}", path)
    try:
        return _READ[kind](value)
    except (ValueError, ArithmeticError):
        raise MalformedExpression(f"{shown(value)} is not a {kind}", path) from None


def _require_keys(document: Mapping[str, Any], required: set[str], optional: set[str], path: str) -> None:
    missing, unknown = required - document.keys(), document.keys() - required - optional
    if missing:
        raise MalformedExpression(f"{', '.join(sorted(missing))} is missing", path)
    if unknown:
        raise MalformedExpression(f"unknown key {', '.join(shown(key) for key in sorted(map(str, unknown))[:5])}", path)
