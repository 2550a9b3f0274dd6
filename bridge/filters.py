"""Which entities a bridge shows: an expression over their fields and metadata, as Python values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.computed_columns import expression_names, python_value, with_expressions
from bridge.errors import BridgeError
from store.base import Metadata, Storable, record_schema
from store.errors import nearest_names, shown
from store.filters import RESERVED_COLUMNS

if TYPE_CHECKING:
    from reactive.expr import Expr

__all__ = ["EntityFilter"]

# What expressions call the types of metadata.
_KINDS = {"uuid": "str", "integer": "int", "text": "str", "timestamptz": "datetime"}


class EntityFilter:
    """A condition on entities of one type, with the meaning that `StoreClient.query` gives it.

    Args:
        cls: The type.
        expression: The condition, over fields, metadata such as `state` and `owner`, and the class's own expressions.

    Raises:
        BridgeError: It is no expression, no condition, ill-typed, or names what the type does not have.

    Example:
        >>> EntityFilter(Order, Field("state") == "PENDING").matches(data, metadata)
        True
    """

    def __init__(self, cls: type[Storable], expression: Expr) -> None:
        from reactive.errors import ReactiveError
        from reactive.expr import Expr
        from reactive.expr.inference import Inference

        schema = record_schema(cls)
        if not isinstance(expression, Expr):
            raise BridgeError(f'filter takes an expression such as Field("symbol") == "AAPL", not {shown(expression)}')
        named = expression_names(cls)
        expression = with_expressions(cls, expression)
        for name in sorted(expression.fields()):
            if name not in schema.fields and name not in RESERVED_COLUMNS:
                near = nearest_names(name, [*schema.fields, *named, *RESERVED_COLUMNS])
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise BridgeError(f"the filter names {name!r}, which {schema.type_name} does not have{hint}")
        self._specs = [schema.fields[name] for name in expression.fields() if name in schema.fields]
        self._metadata = [name for name in expression.fields() if name not in schema.fields]
        types: dict[str, Any] = {name: _KINDS[cast] for name, cast in RESERVED_COLUMNS.items()}
        types |= {spec.name: spec.annotation for spec in self._specs}
        try:
            self._expression = expression.bind(types)
            kind = Inference().kind(self._expression)
        except ReactiveError as error:
            raise BridgeError(f"the filter of {schema.type_name}: {error}") from error
        if kind not in (None, "bool"):
            raise BridgeError(
                f"the filter of {schema.type_name}, {shown(expression)}, is no condition but {kind}: compare it with"
                " something"
            )

    def matches(self, data: Mapping[str, Any], metadata: Metadata) -> bool:
        """Say whether an entity with this data and metadata is to be shown."""
        values = {spec.name: python_value(spec, data) for spec in self._specs}
        for name in self._metadata:
            values[name] = getattr(metadata, name)
        return self._expression.eval(values) is True
