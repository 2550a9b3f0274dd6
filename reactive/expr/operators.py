"""Python's operators on expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from reactive.expr.base import Expr
    from reactive.expr.nodes import BinOp, Func, IsNull, StrOp, UnaryOp

__all__ = ["Operators"]


class Operators:
    """Operators and methods that build a node of their operands; the other operand may be a plain Python value."""

    __slots__ = ()
    # NumPy's scalars leave the operation to the expression then, instead of making an array of it.
    __array_ufunc__ = None

    if TYPE_CHECKING:
        # Given by Expr, which knows the nodes.
        def _binary(self, op: str, left: Any, right: Any) -> BinOp: ...
        def _unary(self, op: str) -> UnaryOp: ...
        def _function(self, name: str, *arguments: Any) -> Func: ...
        def _string(self, op: str, *arguments: Any) -> StrOp: ...
        def _is_null(self) -> IsNull: ...

    def __add__(self, other: Any) -> BinOp:
        return self._binary("+", self, other)

    def __radd__(self, other: Any) -> BinOp:
        return self._binary("+", other, self)

    def __sub__(self, other: Any) -> BinOp:
        return self._binary("-", self, other)

    def __rsub__(self, other: Any) -> BinOp:
        return self._binary("-", other, self)

    def __mul__(self, other: Any) -> BinOp:
        return self._binary("*", self, other)

    def __rmul__(self, other: Any) -> BinOp:
        return self._binary("*", other, self)

    def __truediv__(self, other: Any) -> BinOp:
        return self._binary("/", self, other)

    def __rtruediv__(self, other: Any) -> BinOp:
        return self._binary("/", other, self)

    def __mod__(self, other: Any) -> BinOp:
        return self._binary("%", self, other)

    def __rmod__(self, other: Any) -> BinOp:
        return self._binary("%", other, self)

    def __pow__(self, other: Any) -> BinOp:
        return self._binary("**", self, other)

    def __rpow__(self, other: Any) -> BinOp:
        return self._binary("**", other, self)

    def __neg__(self) -> UnaryOp:
        return self._unary("neg")

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> UnaryOp:
        return self._unary("abs")

    def __round__(self, places: int | None = None) -> Func:
        return self._function("round", *(() if places is None else (places,)))

    def __floor__(self) -> Func:
        return self._function("floor")

    def __ceil__(self) -> Func:
        return self._function("ceil")

    def __gt__(self, other: Any) -> BinOp:
        return self._binary(">", self, other)

    def __lt__(self, other: Any) -> BinOp:
        return self._binary("<", self, other)

    def __ge__(self, other: Any) -> BinOp:
        return self._binary(">=", self, other)

    def __le__(self, other: Any) -> BinOp:
        return self._binary("<=", self, other)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        if other is None:
            return self.is_null()
        return self._binary("==", self, other)

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        if other is None:
            return ~self.is_null()
        return self._binary("!=", self, other)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> BinOp:
        return self._binary("&", self, other)

    def __rand__(self, other: Any) -> BinOp:
        return self._binary("&", other, self)

    def __or__(self, other: Any) -> BinOp:
        return self._binary("|", self, other)

    def __ror__(self, other: Any) -> BinOp:
        return self._binary("|", other, self)

    def __invert__(self) -> UnaryOp:
        return self._unary("not")

    def is_null(self) -> IsNull:
        """Return whether the value is null.

        Example:
            >>> from reactive.expr import Field
            >>> Field("price").is_null().eval({})
            True
        """
        return self._is_null()

    def length(self) -> StrOp:
        """Return the number of code points of a string."""
        return self._string("length")

    def upper(self) -> StrOp:
        """Return a string in upper case."""
        return self._string("upper")

    def lower(self) -> StrOp:
        """Return a string in lower case."""
        return self._string("lower")

    def contains(self, part: Any) -> StrOp:
        """Return whether a string contains another, taken literally."""
        return self._string("contains", part)

    def starts_with(self, prefix: Any) -> StrOp:
        """Return whether a string starts with another, taken literally."""
        return self._string("starts_with", prefix)

    def concat(self, *others: Any) -> StrOp:
        """Return strings joined; null if one of them is.

        Example:
            >>> from reactive.expr import Field
            >>> Field("base").concat("/", Field("quote")).eval({"base": "EUR", "quote": "USD"})
            'EUR/USD'
        """
        return self._string("concat", *others)
